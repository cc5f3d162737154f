//! One table of the file: asked key by key, so that what was not asked for is known to be a mistake.

mod lists;

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    file::{Source, Span},
    problem::nearest,
    value,
};

/// A table of the file; [`Section::finish`] refuses what was not asked for.
pub(super) struct Section<'s, 'a> {
    pub(super) source: &'s Source<'a>,
    table: Option<&'s DeTable<'a>>,
    name: String,
    span: Span,
    asked: RefCell<BTreeSet<&'static str>>,
    forbidden: RefCell<BTreeSet<String>>,
}

impl<'s, 'a> Section<'s, 'a> {
    /// The whole document.
    pub(super) fn root(source: &'s Source<'a>, table: &'s DeTable<'a>) -> Self {
        Self {
            source,
            table: Some(table),
            name: String::new(),
            span: 0..0,
            asked: RefCell::default(),
            forbidden: RefCell::default(),
        }
    }

    /// Where it stands.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The dotted name of a key of it.
    pub(super) fn key(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    fn get(&self, key: &'static str) -> Option<&'s Spanned<DeValue<'a>>> {
        self.asked.borrow_mut().insert(key);
        self.table.and_then(|table| table.get(key))
    }

    /// Where a key's value stands; the section's own place where it is not set.
    pub(super) fn place(&self, key: &'static str) -> Span {
        self.get(key).map_or_else(|| self.span(), Spanned::span)
    }

    pub(super) fn has(&self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// True where a key that is never valid is set; it is reported as its caller says, not as unknown.
    pub(super) fn forbidden(&self, key: &str) -> Option<Span> {
        let (name, _) = self.table?.get_key_value(key)?;
        self.forbidden.borrow_mut().insert(key.to_owned());
        Some(name.span())
    }

    fn wrong(&self, key: &'static str, value: &Spanned<DeValue<'a>>, wanted: &str) {
        self.wrong_for(key, value, wanted, None);
    }

    fn wrong_for(
        &self,
        key: &'static str,
        value: &Spanned<DeValue<'a>>,
        wanted: &str,
        hint: Option<&str>,
    ) {
        let message = format!(
            "`{}` must be {wanted}, not {}",
            self.key(key),
            value.get_ref().type_str()
        );
        self.source
            .problem(value.span(), &self.key(key), message, hint);
    }

    pub(super) fn string(&self, key: &'static str) -> Option<&'s str> {
        self.string_as(key, None)
    }

    /// A string; `hint` says how it is written.
    fn string_as(&self, key: &'static str, hint: Option<&str>) -> Option<&'s str> {
        let value = self.get(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_for(key, value, "a string", hint);
        }
        text
    }

    pub(super) fn bool(&self, key: &'static str) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref().as_bool() {
            Some(value) => Some(value),
            None => {
                self.wrong(key, value, "true or false");
                None
            }
        }
    }

    pub(super) fn integer(
        &self,
        key: &'static str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let value = self.get(key)?;
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong(key, value, &wanted);
            return None;
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!(
                "`{}` must be {wanted}, not {}",
                self.key(key),
                integer.as_str()
            );
            self.source
                .problem(value.span(), &self.key(key), message, None);
        }
        number
    }

    pub(super) fn duration(&self, key: &'static str) -> Option<Duration> {
        self.parsed(
            key,
            value::duration,
            "durations are written \"250ms\", \"20s\", \"5m\", \"1h\"",
        )
    }

    pub(super) fn size(&self, key: &'static str) -> Option<usize> {
        self.parsed(
            key,
            value::size,
            "sizes are written \"512 B\", \"64 KiB\", \"1 MiB\", \"5 GiB\"",
        )
    }

    /// A string that `read` understands.
    pub(super) fn parsed<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
        hint: &str,
    ) -> Option<T> {
        let text = self.string_as(key, Some(hint))?;
        match read(text) {
            Ok(value) => Some(value),
            Err(message) => {
                let message = format!("`{}`: {message}", self.key(key));
                self.source
                    .problem(self.place(key), &self.key(key), message, Some(hint));
                None
            }
        }
    }

    /// One of `names`.
    pub(super) fn one_of<T: Copy>(
        &self,
        key: &'static str,
        names: &[(&'static str, T)],
    ) -> Option<T> {
        let list = names
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let read = |text: &str| {
            let found = names.iter().find(|(name, _)| *name == text);
            found
                .map(|(_, value)| *value)
                .ok_or_else(|| format!("{text:?} is not known"))
        };
        self.parsed(key, read, &format!("one of {list}"))
    }

    /// A table below; an empty one where it is not set.
    pub(super) fn section(&self, key: &'static str) -> Section<'s, 'a> {
        let value = self.get(key);
        if let Some(value) = value
            && !value.get_ref().is_table()
        {
            self.wrong(key, value, "a table");
        }
        self.below(self.key(key), value)
    }

    fn below(&self, name: String, value: Option<&'s Spanned<DeValue<'a>>>) -> Section<'s, 'a> {
        Section {
            source: self.source,
            table: value.and_then(|value| value.get_ref().as_table()),
            span: value.map_or_else(|| self.span(), Spanned::span),
            name,
            asked: RefCell::default(),
            forbidden: RefCell::default(),
        }
    }

    /// Refuses every key that was not asked for.
    pub(super) fn finish(self) {
        let asked = self.asked.borrow();
        for (name, _) in self.table.into_iter().flatten() {
            let text: &str = name.get_ref();
            if asked.contains(text) || self.forbidden.borrow().contains(text) {
                continue;
            }
            let valid = asked
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ");
            let hint = match nearest(text, asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`? Valid here: {valid}"),
                None => format!("valid here: {valid}"),
            };
            let key = self.key(text);
            self.source.problem(
                name.span(),
                &key,
                format!("unknown key `{key}`"),
                Some(&hint),
            );
        }
    }
}
