//! One table of the config in all its layers: the file's own table, then the built-in one.
//!
//! A key is searched in one layer after the other, so code that reads a section need not know where a value comes from. A section below a
//! route has four layers: the route in the file, the section in the file, the built-in route, the built-in section. A key that no reader has
//! requested is unknown.
//!
//! A reader records a wrong or missing value as a problem and returns a placeholder. One line therefore reads one key, and all mistakes of
//! a file are found at once. A config with problems is never used.

mod layer;
mod lists;
mod location;

use std::{
    cell::RefCell, collections::BTreeSet, iter, ops::RangeInclusive, path::PathBuf, time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use layer::Layer;
pub(super) use lists::Item;
pub(super) use location::Location;

use super::{
    file::{SourceFile, Span},
    problem::nearest,
    value,
};
use crate::model::unit;

const DURATIONS: &str = "write a duration like \"250ms\", \"20s\", \"5m\" or \"1h\"";
const SIZES: &str = "write a size like \"512 B\", \"64 KiB\", \"1 MiB\" or \"5 GiB\"";

/// A table of the config; [`Section::finish`] refuses the keys that no reader has requested.
pub(super) struct Section<'s, 'a> {
    top_layer: Layer<'s, 'a>,
    below: Vec<Layer<'s, 'a>>,
    read_keys: RefCell<BTreeSet<&'static str>>,
    forbidden: RefCell<BTreeSet<String>>,
}

impl<'s, 'a> Section<'s, 'a> {
    /// The whole document: the layer of `source`, then the layer of `below`.
    pub(super) fn root(
        source: (&'s SourceFile<'a>, &'s DeTable<'a>),
        below: Option<(&'s SourceFile<'a>, &'s DeTable<'a>)>,
    ) -> Self {
        let layer = |(source, table)| Layer {
            source,
            table: Some(table),
            name: String::new(),
            span: 0..0,
        };
        Self::of(layer(source), below.map(layer).into_iter().collect())
    }

    fn of(top_layer: Layer<'s, 'a>, below: Vec<Layer<'s, 'a>>) -> Self {
        Self {
            top_layer,
            below,
            read_keys: RefCell::default(),
            forbidden: RefCell::default(),
        }
    }

    fn layers(&self) -> impl Iterator<Item = &Layer<'s, 'a>> {
        iter::once(&self.top_layer).chain(&self.below)
    }

    /// The first layer that has the key, and its value there.
    fn find(&self, key: &'static str) -> Option<(&Layer<'s, 'a>, &'s Spanned<DeValue<'a>>)> {
        self.read_keys.borrow_mut().insert(key);
        self.layers()
            .find_map(|layer| Some((layer, layer.get(key)?)))
    }

    /// True where a layer has the key.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.find(key).is_some()
    }

    /// True where the file has this section, not only the built-in text.
    pub(super) fn is_in_file(&self) -> bool {
        !self.top_layer.source.is_built_in()
    }

    /// The location of the section.
    pub(super) fn place(&self) -> Location<'s, 'a> {
        let layer = &self.top_layer;
        layer.place(layer.name.clone(), layer.span.clone())
    }

    /// The location of a key's value; that of the file's section where the value is built in or missing.
    pub(super) fn at(&self, key: &'static str) -> Location<'s, 'a> {
        match self.find(key) {
            Some((layer, value)) if !layer.source.is_built_in() || !self.is_in_file() => {
                layer.place(layer.key(key), value.span())
            }
            _ => self
                .top_layer
                .place(self.top_layer.key(key), self.top_layer.span.clone()),
        }
    }

    /// The location of a key that is never valid. The caller reports it, so it does not count as unknown.
    pub(super) fn forbidden(&self, key: &str) -> Option<Location<'s, 'a>> {
        let found = self.layers().find_map(|layer| {
            let (name, _) = layer.table?.get_key_value(key)?;
            Some(layer.place(layer.key(key), name.span()))
        });
        self.forbidden.borrow_mut().insert(key.to_owned());
        found
    }

    /// A table below, with all layers that have it.
    pub(super) fn section(&self, key: &'static str) -> Self {
        self.read_keys.borrow_mut().insert(key);
        let mut layers = self.layers().filter_map(|layer| {
            let value = layer.get(key)?;
            if !value.get_ref().is_table() {
                report_wrong_value(layer, key, value, "a table", None);
            }
            Some(layer.below(layer.key(key), value))
        });
        match layers.next() {
            Some(top_layer) => Self::of(top_layer, layers.collect()),
            None => {
                let (name, span) = (self.top_layer.key(key), self.top_layer.span.clone());
                let source = self.top_layer.source;
                let nothing = Layer {
                    source,
                    table: None,
                    name,
                    span,
                };
                Self::of(nothing, Vec::new())
            }
        }
    }

    /// A table below that takes precedence over the table of the same name in `root`. Tables of the file come before built-in ones.
    pub(super) fn section_over(&self, key: &'static str, root: &Self) -> Self {
        let (own, general) = (self.section(key), root.section(key));
        let mut layers: Vec<_> = iter::once(own.top_layer)
            .chain(own.below)
            .chain(iter::once(general.top_layer))
            .chain(general.below)
            .filter(|layer| layer.table.is_some())
            .collect();
        layers.sort_by_key(|layer| layer.source.is_built_in());
        let mut layers = layers.into_iter();
        match layers.next() {
            Some(top_layer) => Self::of(top_layer, layers.collect()),
            None => self.section(key),
        }
    }

    /// The same section with `below` as its lowest layers.
    pub(super) fn on_top_of(mut self, below: &Self) -> Self {
        self.below.extend(below.layers().cloned());
        self
    }

    /// The value that `read` returns; `wanted` and `hint` describe the expected one.
    fn read<T>(
        &self,
        key: &'static str,
        (wanted, hint): (&str, Option<&str>),
        read: impl FnOnce(&'s DeValue<'a>) -> Option<T>,
    ) -> Option<T> {
        let (layer, value) = self.find(key)?;
        let read = read(value.get_ref());
        if read.is_none() {
            report_wrong_value(layer, key, value, wanted, hint);
        }
        read
    }

    /// The value, or a placeholder. A key that no layer has is recorded as missing.
    fn required<T: Default>(&self, key: &'static str, value: Option<T>) -> T {
        if value.is_none() && !self.has(key) {
            let place = self.at(key);
            place.problem(format!("`{}` is missing", place.key), None);
        }
        value.unwrap_or_default()
    }

    /// An optional string.
    pub(super) fn string(&self, key: &'static str) -> Option<&'s str> {
        self.read(key, ("a string", None), DeValue::as_str)
    }

    /// An optional path, relative to the file that contains it.
    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        let written = self.string(key)?;
        let (layer, _) = self.find(key)?;
        Some(layer.source.path(written))
    }

    /// An optional boolean.
    pub(super) fn optional_bool(&self, key: &'static str) -> Option<bool> {
        self.read(key, ("true or false", None), DeValue::as_bool)
    }

    /// A boolean.
    pub(super) fn bool(&self, key: &'static str) -> bool {
        self.required(key, self.optional_bool(key))
    }

    /// A whole number.
    pub(super) fn integer(&self, key: &'static str, range: RangeInclusive<u32>) -> u32 {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let number = self.read(key, (&wanted, None), |value| {
            let integer = value.as_integer()?;
            u32::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .filter(|number| range.contains(number))
        });
        self.required(key, number)
    }

    /// An optional duration.
    pub(super) fn optional_duration(&self, key: &'static str) -> Option<Duration> {
        self.parsed(key, value::duration, DURATIONS)
    }

    /// A duration, which may be 0.
    pub(super) fn duration(&self, key: &'static str) -> Duration {
        self.required(key, self.optional_duration(key))
    }

    /// A duration greater than 0; `hint` says how to disable the feature.
    pub(super) fn positive(&self, key: &'static str, hint: Option<&str>) -> Duration {
        let time = self.optional_duration(key);
        if time.is_some_and(|time| time.is_zero()) {
            let place = self.at(key);
            place.problem(format!("`{}` must be greater than 0", place.key), hint);
        }
        self.required(key, time)
    }

    /// A size in bytes.
    pub(super) fn size(&self, key: &'static str) -> u64 {
        let size = self.parsed(key, value::size, SIZES);
        self.required(key, size)
    }

    /// A size within a range.
    pub(super) fn size_within(&self, key: &'static str, range: RangeInclusive<u64>) -> u64 {
        let size = self.parsed(key, value::size, SIZES);
        if size.is_some_and(|size| !range.contains(&size)) {
            let (least, most) = (unit::size(*range.start()), unit::size(*range.end()));
            let place = self.at(key);
            place.problem(
                format!("`{}` must be between {least} and {most}", place.key),
                None,
            );
        }
        self.required(key, size)
    }

    /// An optional string that `read` parses.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
        hint: &str,
    ) -> Option<T> {
        let text = self.read(key, ("a string", Some(hint)), DeValue::as_str)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(message) => {
                let place = self.at(key);
                place.problem(format!("`{}`: {message}", place.key), Some(hint));
                None
            }
        }
    }

    /// An optional choice among `names`.
    pub(super) fn optional_choice<T: Copy>(
        &self,
        key: &'static str,
        names: &[(&'static str, T)],
    ) -> Option<T> {
        let list: Vec<String> = names
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let read = |text: &str| {
            let found = names.iter().find(|(name, _)| *name == text);
            found
                .map(|(_, value)| *value)
                .ok_or_else(|| format!("unknown value {text:?}"))
        };
        self.parsed(key, read, &format!("one of {}", list.join(", ")))
    }

    /// A choice among `names`.
    pub(super) fn choice<T: Copy + Default>(
        &self,
        key: &'static str,
        names: &[(&'static str, T)],
    ) -> T {
        self.required(key, self.optional_choice(key, names))
    }

    /// Refuses every key that no reader has requested.
    pub(super) fn finish(self) {
        let read_keys = self.read_keys.borrow();
        let valid: Vec<String> = read_keys.iter().map(|name| format!("`{name}`")).collect();
        let valid = valid.join(", ");
        for layer in self.layers() {
            for (name, _) in layer.table.into_iter().flatten() {
                let text: &str = name.get_ref();
                if read_keys.contains(text) || self.forbidden.borrow().contains(text) {
                    continue;
                }
                let hint = match nearest(text, read_keys.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`? Valid keys: {valid}"),
                    None => format!("valid keys: {valid}"),
                };
                let place = layer.place(layer.key(text), name.span());
                place.problem(format!("unknown key `{}`", place.key), Some(&hint));
            }
        }
    }
}

/// Records that a value is not `wanted`.
fn report_wrong_value(
    layer: &Layer<'_, '_>,
    key: &str,
    value: &Spanned<DeValue<'_>>,
    wanted: &str,
    hint: Option<&str>,
) {
    let place = layer.place(layer.key(key), value.span());
    let is = match value.get_ref() {
        DeValue::Integer(number) => number.as_str(),
        DeValue::String(_) => "a string",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    place.problem(format!("`{}` must be {wanted}, not {is}", place.key), hint);
}

#[cfg(test)]
mod tests;
