//! Whom gitferry believes upstream, and the bundle that clients are given.

use std::{fs, io, path::Path, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::ca::{self, Authority, CaError};
use crate::config::Trust;

/// The bundle's file in the state directory.
pub const BUNDLE_FILE: &str = "bundle.pem";

/// The platform's roots and the user's own.
#[derive(Clone, Debug)]
pub struct Roots {
    /// For verification.
    pub store: Arc<RootCertStore>,
    /// What could not be read, a line each; the rest is used.
    pub problems: Vec<String>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Reads them. Never fails: without roots every verification fails, and `problems` says why.
    pub fn load(trust: &Trust) -> Self {
        let mut problems = Vec::new();
        let mut certificates = Vec::new();
        if trust.platform_roots {
            let native = rustls_native_certs::load_native_certs();
            problems.extend(native.errors.iter().map(ToString::to_string));
            certificates.extend(native.certs);
        }
        for file in &trust.extra_roots {
            match CertificateDer::pem_file_iter(file)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            {
                Ok(read) if read.is_empty() => {
                    problems.push(format!("{}: no certificate in it", file.display()))
                }
                Ok(read) => certificates.extend(read),
                Err(error) => problems.push(format!("{}: {error}", file.display())),
            }
        }
        certificates.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        certificates.dedup();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(certificates.iter().cloned());
        if added == 0 {
            problems
                .push("no root certificate: every origin will be refused as unknown-issuer".into());
        }
        Self {
            store: Arc::new(store),
            problems,
            certificates,
        }
    }

    /// Writes the bundle (these roots and the CA's certificate) into the state directory, atomically, and only where it would change.
    ///
    /// Fails where the file cannot be written.
    pub fn write_bundle(
        &self,
        state_directory: &Path,
        authority: &Authority,
    ) -> Result<(), CaError> {
        let path = state_directory.join(BUNDLE_FILE);
        let mut bundle = authority.pem().to_owned();
        for certificate in &self.certificates {
            bundle.push_str("-----BEGIN CERTIFICATE-----\n");
            let encoded = BASE64_STANDARD.encode(certificate);
            let mut rest = encoded.as_str();
            while !rest.is_empty() {
                let (line, after) = rest.split_at(rest.len().min(64));
                bundle.push_str(line);
                bundle.push('\n');
                rest = after;
            }
            bundle.push_str("-----END CERTIFICATE-----\n");
        }
        match fs::read(&path) {
            Ok(old) if old == bundle.as_bytes() => Ok(()),
            Ok(_) => ca::write(&path, bundle.as_bytes(), 0o644),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                ca::write(&path, bundle.as_bytes(), 0o644)
            }
            Err(error) => Err(CaError {
                path,
                source: error.into(),
            }),
        }
    }
}
