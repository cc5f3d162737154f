//! Why there is no local CA.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

use crate::model::fault::BoxError;

/// Why there is no CA.
#[derive(Debug)]
pub(crate) struct CaError {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: BoxError,
    /// What to do about it.
    pub advice: Option<Box<str>>,
}

impl CaError {
    pub(super) fn new(path: &Path, source: impl Into<BoxError>) -> Self {
        Self {
            path: path.to_owned(),
            source: source.into(),
            advice: None,
        }
    }

    /// The same with what to do about it.
    #[must_use]
    pub(super) fn advice(mut self, advice: impl Into<Box<str>>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The existing CA is unusable, and a new one is the remedy.
    pub(super) fn unusable(path: &Path, reason: &str) -> Self {
        Self::new(path, reason).advice("`gitferry ca rotate` creates a new CA")
    }
}

impl fmt::Display for CaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the local CA at {}", self.path.display())
    }
}

impl Error for CaError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
