//! The roots that gitferry trusts for upstream connections, and the bundle for clients.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{
    Authority, CaError,
    certificate::pem,
    files::{self, BUNDLE_FILE},
};
use crate::{config::Trust, model::fault::BoxError};

/// The platform's roots and the user's own.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    /// For verification.
    pub store: Arc<RootCertStore>,
    /// The errors of unreadable files, a line each; the other files are used.
    pub problems: Vec<String>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// Reads the roots. Never fails: without roots every verification fails, and `problems` says why.
    pub(crate) fn load(trust: &Trust) -> Self {
        let mut problems = Vec::new();
        let mut certificates = Vec::new();
        if trust.platform_roots {
            let native = rustls_native_certs::load_native_certs();
            problems.extend(native.errors.iter().map(ToString::to_string));
            certificates.extend(native.certs);
        }
        for file in &trust.extra_roots {
            match read(file) {
                Ok(read) => certificates.extend(read),
                Err(problem) => problems.push(format!("{}: {problem}", file.display())),
            }
        }
        Self::of(certificates, problems)
    }

    /// A store of these roots, each once.
    pub(super) fn of(
        mut certificates: Vec<CertificateDer<'static>>,
        mut problems: Vec<String>,
    ) -> Self {
        certificates.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
        certificates.dedup();
        let mut store = RootCertStore::empty();
        let (added, _) = store.add_parsable_certificates(certificates.iter().cloned());
        if added == 0 {
            problems.push("no root certificate: every origin is refused as unknown-issuer".into());
        }
        Self {
            store: Arc::new(store),
            problems,
            certificates,
        }
    }

    /// Writes the bundle (these roots and the CA's certificate) into the state directory, atomically, and only if its content changes.
    ///
    /// Fails where the file cannot be written.
    pub(crate) fn write_bundle(
        &self,
        state_directory: &Path,
        authority: &Authority,
    ) -> Result<(), CaError> {
        self.write_bundle_with(state_directory, authority, "")
    }

    /// Like [`Self::write_bundle`], with `also` in PEM: the previous CA, with which a running daemon signs until it has loaded the new one. The
    /// daemon's next start or reload writes the bundle without it.
    ///
    /// Fails where the file cannot be written.
    pub(crate) fn write_bundle_with(
        &self,
        state_directory: &Path,
        authority: &Authority,
        also: &str,
    ) -> Result<(), CaError> {
        let path = state_directory.join(BUNDLE_FILE);
        let mut bundle = authority.certificate().pem().to_owned();
        bundle.push_str(also);
        let ca = authority.certificate().der();
        for certificate in self.certificates.iter().filter(|root| *root != ca) {
            bundle.push_str(&pem(certificate));
        }
        files::replace_if_changed(&path, bundle.as_bytes(), 0o644)
            .map_err(|error| CaError::new(&path, error))
    }
}

/// The certificates of a PEM file. Fails where there is none, or where one of them cannot be a root.
fn read(file: &Path) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let certificates =
        CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<CertificateDer<'_>>, _>>()?;
    if certificates.is_empty() {
        return Err("it contains no certificate in PEM form".into());
    }
    let mut probe = RootCertStore::empty();
    for certificate in &certificates {
        probe.add(certificate.clone())?;
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests;
