//! The local CA: made on first run, its key readable by its owner alone, name-constrained to the configured hosts.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

use crate::model::{Host, HostPattern};

/// The CA's certificate and key.
#[derive(Debug)]
pub struct Authority;

impl Authority {
    /// Loads the CA of `directory`, or makes one that may sign for `hosts` alone; says which it was.
    pub fn open(directory: &Path, hosts: &[HostPattern]) -> Result<(Self, Opened), CaError> {
        let _ = (directory, hosts);
        Err(CaError {
            path: directory.to_owned(),
            source: "not made yet".into(),
        })
    }
    /// Makes a new CA in place of the old one, which stays beside it as `ca.old.pem` (the certificate only).
    pub fn rotate(directory: &Path, hosts: &[HostPattern]) -> Result<Self, CaError> {
        Self::open(directory, hosts).map(|(ca, _)| ca)
    }
    /// True where the CA's name constraints permit `host`.
    pub fn covers(&self, host: &Host) -> bool {
        let _ = host;
        false
    }
    /// The patterns that the CA may not sign for: it must be renewed for them.
    pub fn missing<'a>(&self, hosts: &'a [HostPattern]) -> Vec<&'a HostPattern> {
        hosts.iter().collect()
    }
    /// The certificate.
    pub fn pem(&self) -> &str {
        ""
    }
}

/// Whether a CA was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It was.
    Found,
    /// It was made.
    Made,
}

/// Why there is no CA.
#[derive(Debug)]
pub struct CaError {
    /// The file or directory.
    pub path: PathBuf,
    /// What was wrong with it.
    pub source: Box<dyn Error + Send + Sync>,
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
