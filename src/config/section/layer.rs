//! One layer of a section.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Location;
use crate::config::file::{SourceFile, Span};

/// The table of a section in one source.
#[derive(Clone)]
pub(super) struct Layer<'s, 'a> {
    pub(super) source: &'s SourceFile<'a>,
    /// `None` where the value is missing or not a table.
    pub(super) table: Option<&'s DeTable<'a>>,
    pub(super) name: String,
    pub(super) span: Span,
}

impl<'s, 'a> Layer<'s, 'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'s Spanned<DeValue<'a>>> {
        self.table.and_then(|table| table.get(key))
    }

    pub(super) fn key(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }

    pub(super) fn below(&self, name: String, value: &'s Spanned<DeValue<'a>>) -> Self {
        Self {
            source: self.source,
            table: value.get_ref().as_table(),
            name,
            span: value.span(),
        }
    }

    pub(super) fn place(&self, key: String, span: Span) -> Location<'s, 'a> {
        Location {
            source: self.source,
            span,
            key,
        }
    }
}
