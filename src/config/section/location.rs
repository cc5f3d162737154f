//! Where a value stands, so that what is wrong with it can be said there.

use std::path::Path;

use super::{SourceFile, Span};

/// A key, and where it stands.
pub(in crate::config) struct Location<'s, 'a> {
    pub(super) source: &'s SourceFile<'a>,
    pub(super) span: Span,
    /// The dotted name.
    pub(in crate::config) key: String,
}

impl Location<'_, '_> {
    /// Notes a mistake; the config is refused.
    pub(in crate::config) fn problem(&self, message: impl Into<String>, hint: Option<&str>) {
        self.source
            .problem(self.span.clone(), &self.key, message, hint);
    }

    /// Notes what is probably not meant; it stops nothing.
    pub(in crate::config) fn warning(&self, message: impl Into<String>, hint: Option<&str>) {
        self.source
            .warning(self.span.clone(), &self.key, message, hint);
    }

    /// Notes a file whose content is part of the config: a change of it is a reason to load the config again.
    pub(in crate::config) fn depends_on(&self, file: &Path) {
        self.source.depends_on(file);
    }

    /// True where the place is in the built-in text.
    pub(in crate::config) fn is_built_in(&self) -> bool {
        self.source.is_built_in()
    }
}
