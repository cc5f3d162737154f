//! Keys with several values: strings, paths, ports, tables, and tables with user-chosen names.

use std::path::PathBuf;

use toml::{Spanned, de::DeValue};

use super::{Layer, Location, Section, report_wrong_value};

/// A string of a list, and its location.
pub(in crate::config) struct Item<'s, 'a> {
    pub(in crate::config) text: &'s str,
    pub(in crate::config) place: Location<'s, 'a>,
}

fn item<'s, 'a>(
    layer: &Layer<'s, 'a>,
    key: &'static str,
    value: &'s Spanned<DeValue<'a>>,
) -> Option<Item<'s, 'a>> {
    let text = value.get_ref().as_str()?;
    let place = layer.place(layer.key(key), value.span());
    Some(Item { text, place })
}

impl<'s, 'a> Section<'s, 'a> {
    /// A list of strings; empty where the key is not set.
    pub(in crate::config) fn strings(&self, key: &'static str) -> Vec<Item<'s, 'a>> {
        self.items(key, "a list of strings")
    }

    /// True where the key is set to a list without elements. A list of wrong elements has an error of its own.
    pub(in crate::config) fn is_empty_list(&self, key: &'static str) -> bool {
        let value = self.find(key).map(|(_, value)| value.get_ref());
        value
            .and_then(DeValue::as_array)
            .is_some_and(|list| list.is_empty())
    }

    /// One string or a list of strings; empty where the key is not set.
    pub(in crate::config) fn string_or_strings(&self, key: &'static str) -> Vec<Item<'s, 'a>> {
        match self.find(key) {
            Some((layer, value)) => item(layer, key, value).map_or_else(
                || self.items(key, "a string or a list of strings"),
                |one| vec![one],
            ),
            None => Vec::new(),
        }
    }

    fn items(&self, key: &'static str, expected: &str) -> Vec<Item<'s, 'a>> {
        let Some((layer, value)) = self.find(key) else {
            return Vec::new();
        };
        let Some(array) = value.get_ref().as_array() else {
            let text = value.get_ref().as_str();
            let hint = text.map(|text| format!("write it as a list: [{text:?}]"));
            report_wrong_value(layer, key, value, expected, hint.as_deref());
            return Vec::new();
        };
        let mut strings = Vec::new();
        for value in array.iter() {
            match item(layer, key, value) {
                Some(item) => strings.push(item),
                None => report_wrong_value(layer, key, value, "a list of strings", None),
            }
        }
        strings
    }

    /// A list of paths, relative to the file that contains them, with their locations.
    pub(in crate::config) fn paths(&self, key: &'static str) -> Vec<(PathBuf, Location<'s, 'a>)> {
        let items = self.strings(key).into_iter();
        items
            .map(|item| (item.place.source.path(item.text), item.place))
            .collect()
    }

    /// An optional list of ports.
    pub(in crate::config) fn ports(&self, key: &'static str) -> Option<Vec<u16>> {
        let (layer, value) = self.find(key)?;
        let Some(array) = value.get_ref().as_array() else {
            report_wrong_value(layer, key, value, "a list of ports", None);
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
                None => report_wrong_value(
                    layer,
                    key,
                    item,
                    "a list of ports, each from 1 to 65535",
                    None,
                ),
            }
        }
        Some(ports)
    }

    /// The tables of an array of tables, from the first layer that has it; `hint` shows the syntax.
    pub(in crate::config) fn sections(&self, key: &'static str, hint: &str) -> Vec<Self> {
        match self.find(key) {
            Some((layer, value)) => tables(layer, key, value, hint),
            None => Vec::new(),
        }
    }

    /// The tables of an array of tables from all layers: those of the file, then the built-in ones.
    pub(in crate::config) fn sections_by_layer(
        &self,
        key: &'static str,
        hint: &str,
    ) -> (Vec<Self>, Vec<Self>) {
        self.read_keys.borrow_mut().insert(key);
        let mut all = (Vec::new(), Vec::new());
        for layer in self.layers() {
            if let Some(value) = layer.get(key) {
                let tables = tables(layer, key, value, hint);
                if layer.source.is_built_in() {
                    all.1.extend(tables);
                } else {
                    all.0.extend(tables);
                }
            }
        }
        all
    }

    /// Every key of a table with user-chosen names, each as a section.
    pub(in crate::config) fn named(&self) -> Vec<(&'s str, Location<'s, 'a>, Self)> {
        let mut sections = Vec::new();
        for layer in self.layers() {
            for (name, value) in layer.table.into_iter().flatten() {
                let text: &'s str = name.get_ref();
                if !value.get_ref().is_table() {
                    report_wrong_value(layer, text, value, "a table", None);
                }
                let place = layer.place(layer.key(text), name.span());
                let below = layer.below(layer.key(text), value);
                sections.push((text, place, Self::of(below, Vec::new())));
            }
        }
        sections
    }

    /// Every key of a table of strings or lists of strings with user-chosen names.
    pub(in crate::config) fn named_lists(
        &self,
    ) -> Vec<(&'s str, Location<'s, 'a>, Vec<Item<'s, 'a>>)> {
        let mut lists = Vec::new();
        for layer in self.layers() {
            for (name, value) in layer.table.into_iter().flatten() {
                let text: &'s str = name.get_ref();
                let place = layer.place(layer.key(text), name.span());
                lists.push((text, place, list(layer, text, value)));
            }
        }
        lists
    }
}

fn list<'s, 'a>(
    layer: &Layer<'s, 'a>,
    key: &str,
    value: &'s Spanned<DeValue<'a>>,
) -> Vec<Item<'s, 'a>> {
    let values: Vec<_> = match value.get_ref() {
        DeValue::Array(array) => array.iter().collect(),
        _ => vec![value],
    };
    let read = |value: &&'s Spanned<DeValue<'a>>| {
        let text = value.get_ref().as_str()?;
        let place = layer.place(layer.key(key), value.span());
        Some(Item { text, place })
    };
    let items: Vec<_> = values.iter().filter_map(read).collect();
    if items.is_empty() || items.len() < values.len() {
        report_wrong_value(layer, key, value, "a string or a list of strings", None);
    }
    items
}

fn tables<'s, 'a>(
    layer: &Layer<'s, 'a>,
    key: &str,
    value: &'s Spanned<DeValue<'a>>,
    hint: &str,
) -> Vec<Section<'s, 'a>> {
    let wrong = |value| report_wrong_value(layer, key, value, "a list of tables", Some(hint));
    let Some(array) = value.get_ref().as_array() else {
        wrong(value);
        return Vec::new();
    };
    if let Some(odd) = array.iter().find(|item| !item.get_ref().is_table()) {
        wrong(odd);
        return Vec::new();
    }
    let items = array.iter().enumerate();
    items
        .map(|(at, item)| {
            let label = label(item.get_ref()).unwrap_or_else(|| at.to_string());
            let name = format!("{}[{label}]", layer.key(key));
            Section::of(layer.below(name, item), Vec::new())
        })
        .collect()
}

/// The label of an entry of a list of tables in messages: its name, or the first of its hosts.
fn label(table: &DeValue<'_>) -> Option<String> {
    let name = table.get("name").and_then(|name| name.get_ref().as_str());
    let hosts = table.get("hosts")?.get_ref();
    let host = hosts.as_str().or_else(|| hosts.get(0)?.get_ref().as_str());
    name.or(host).map(str::to_owned)
}
