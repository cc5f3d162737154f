//! The location of a value, for messages about it.

use std::path::Path;

use super::{SourceFile, Span};

/// A key and its location.
pub(in crate::config) struct Location<'s, 'a> {
    pub(super) source: &'s SourceFile<'a>,
    pub(super) span: Span,
    /// The dotted name.
    pub(in crate::config) key: String,
}

impl Location<'_, '_> {
    /// Records a mistake, for which the config is refused.
    pub(in crate::config) fn problem(&self, message: impl Into<String>, hint: Option<&str>) {
        self.source
            .problem(self.span.clone(), &self.key, message, hint);
    }

    /// Records a probable mistake that does not prevent use.
    pub(in crate::config) fn warning(&self, message: impl Into<String>, hint: Option<&str>) {
        self.source
            .warning(self.span.clone(), &self.key, message, hint);
    }

    /// Records a file whose content belongs to the config. A change of it triggers a reload.
    pub(in crate::config) fn depends_on(&self, file: &Path) {
        self.source.depends_on(file);
    }

    /// True where the location is in the built-in text.
    pub(in crate::config) fn is_built_in(&self) -> bool {
        self.source.is_built_in()
    }
}
