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
}

impl CaError {
    pub(super) fn new(path: &Path, source: impl Into<BoxError>) -> Self {
        Self {
            path: path.to_owned(),
            source: source.into(),
        }
    }

    /// The existing CA is unusable, and a new one is the remedy.
    pub(super) fn unusable(path: &Path, reason: &str) -> Self {
        Self::new(
            path,
            format!("{reason}: `gitferry ca rotate` creates a new CA"),
        )
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
