//! Why there is no local CA.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

use crate::model::fault::BoxError;

/// A CA that is missing or unusable, and why.
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

    /// Adds the advice.
    #[must_use]
    pub(super) fn with_advice(mut self, advice: impl Into<Box<str>>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The error of an existing CA that only a new one can replace.
    pub(super) fn unusable(path: &Path, reason: &str) -> Self {
        Self::new(path, reason).with_advice("`gitferry ca rotate` creates a new CA")
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
