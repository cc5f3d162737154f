//! Keys that hold several values: strings, ports, tables, and tables whose names are the user's own.

use toml::de::DeValue;

use super::Section;
use crate::config::file::{Listed, Span};

impl<'s, 'a> Section<'s, 'a> {
    /// A string, or a list of strings, each with its place.
    pub(in crate::config) fn strings(
        &self,
        key: &'static str,
        or_one: bool,
    ) -> Option<Vec<(&'s str, Span)>> {
        let value = self.get(key)?;
        if or_one && let Some(one) = value.get_ref().as_str() {
            return Some(vec![(one, value.span())]);
        }
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(
                key,
                value,
                if or_one {
                    "a string or a list of strings"
                } else {
                    "a list of strings"
                },
            );
            return None;
        };
        let mut strings = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) => strings.push((text, item.span())),
                None => self.wrong(key, item, "a list of strings"),
            }
        }
        Some(strings)
    }

    /// A list of ports.
    pub(in crate::config) fn ports(&self, key: &'static str) -> Option<Vec<u16>> {
        let value = self.get(key)?;
        let Some(array) = value.get_ref().as_array() else {
            self.wrong(key, value, "a list of ports");
            return None;
        };
        let mut ports = Vec::new();
        for item in array.iter() {
            let port = item
                .get_ref()
                .as_integer()
                .and_then(|n| u16::from_str_radix(n.as_str(), n.radix()).ok());
            match port.filter(|port| *port > 0) {
                Some(port) => ports.push(port),
                None => self.wrong(key, item, "a list of ports, each from 1 to 65535"),
            }
        }
        Some(ports)
    }

    /// The tables of an array of tables; `None` where it is not set, or has something else. `hint` says how it is written.
    pub(in crate::config) fn sections(
        &self,
        key: &'static str,
        hint: &str,
    ) -> Option<Vec<Section<'s, 'a>>> {
        let value = self.get(key)?;
        let wrong = |item| self.wrong_for(key, item, "a list of tables", Some(hint));
        let Some(array) = value.get_ref().as_array() else {
            wrong(value);
            return None;
        };
        let odd = array.iter().find(|item| !item.get_ref().is_table());
        if let Some(odd) = odd {
            wrong(odd);
            return None;
        }
        let name = |at| format!("{}[{at}]", self.key(key));
        let items = array.iter().enumerate();
        Some(
            items
                .map(|(at, item)| self.below(name(at), Some(item)))
                .collect(),
        )
    }

    /// Every key of a table whose names are the user's own, each as a section.
    pub(in crate::config) fn named(&self) -> Vec<(&'s str, Span, Section<'s, 'a>)> {
        let Some(table) = self.table else {
            return Vec::new();
        };
        table
            .iter()
            .map(|(name, value)| {
                let text: &'s str = name.get_ref();
                if !value.get_ref().is_table() {
                    let message = format!(
                        "`{}` must be a table, not {}",
                        self.key(text),
                        value.get_ref().type_str()
                    );
                    self.source
                        .problem(value.span(), &self.key(text), message, None);
                }
                (text, name.span(), self.below(self.key(text), Some(value)))
            })
            .collect()
    }

    /// Every key of a table of strings or lists of strings, whose names are the user's own.
    pub(in crate::config) fn lists(&self) -> Vec<Listed<'s>> {
        let Some(table) = self.table else {
            return Vec::new();
        };
        let mut lists = Vec::new();
        for (name, value) in table {
            let text: &'s str = name.get_ref();
            let items: Vec<_> = match value.get_ref() {
                DeValue::String(one) => vec![(one.as_ref(), value.span())],
                DeValue::Array(array) => array
                    .iter()
                    .filter_map(|item| Some((item.get_ref().as_str()?, item.span())))
                    .collect(),
                _ => Vec::new(),
            };
            let whole = value
                .get_ref()
                .as_array()
                .is_none_or(|array| array.len() == items.len());
            if items.is_empty() || !whole {
                let message = format!("`{}` must be a string or a list of strings", self.key(text));
                self.source
                    .problem(value.span(), &self.key(text), message, None);
            }
            lists.push((text, name.span(), items));
        }
        lists
    }
}
