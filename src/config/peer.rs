//! `roots`, `client_certificate` and `client_key` of a route or hop: TLS settings for that peer.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use serde::Serialize;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::section::{Location, Section};

/// The certificates that are trusted for a peer in addition to the common roots, and gitferry's client certificate for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct PeerTls {
    /// PEM files with the servers' own certificates: each is trusted directly, and not as a CA.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roots: Vec<PathBuf>,
    /// gitferry's client certificate, for a peer that requests one.
    #[serde(flatten)]
    pub client: Option<ClientCertificate>,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct ClientCertificate {
    /// A PEM file with the certificate and its intermediates.
    #[serde(rename = "client_certificate")]
    pub certificate: PathBuf,
    /// A PEM file with the key, readable only by its owner.
    #[serde(rename = "client_key")]
    pub key: PathBuf,
}

impl PeerTls {
    pub(super) fn read(section: &Section<'_, '_>) -> Self {
        Self {
            roots: certificates(section, "roots"),
            client: client(section),
        }
    }

    /// A copy without the client certificate, for a mirror that is not trusted with it.
    pub(crate) fn without_client(&self) -> Self {
        Self {
            roots: self.roots.clone(),
            client: None,
        }
    }
}

/// Files with certificates. This check only finds a wrong file; `tls` checks whether the certificates can be roots.
pub(super) fn certificates(section: &Section<'_, '_>, key: &'static str) -> Vec<PathBuf> {
    let files = section.paths(key).into_iter();
    files
        .map(|(file, place)| {
            check_certificates(&file, &place);
            file
        })
        .collect()
}

/// The files of `extra_roots`, with a warning for a server's own certificate.
pub(super) fn extra_roots(section: &Section<'_, '_>) -> Vec<PathBuf> {
    for (file, place) in section.paths("extra_roots") {
        let bytes = fs::read(&file).unwrap_or_default();
        let mut found = CertificateDer::pem_slice_iter(&bytes).filter_map(Result::ok);
        if found.any(|certificate| is_of_a_server(&certificate)) {
            place.warning(
                format!(
                    "{} is a server's self-signed certificate; here it acts as a CA for all hosts",
                    file.display()
                ),
                Some(
                    "move it to `roots` of the route or hop, where it is accepted for that server only",
                ),
            );
        }
    }
    certificates(section, "extra_roots")
}

/// True for a self-signed CA certificate with the name of a host: `openssl req -x509` creates such a certificate for a server.
fn is_of_a_server(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let host = |name: &GeneralName<'_>| {
        matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_))
    };
    let names = parsed.subject_alternative_name().ok().flatten();
    let in_names = names.is_some_and(|names| names.value.general_names.iter().any(host));
    let is_host = |name: &str| name.contains('.') && !name.contains(' ');
    let mut common = parsed.subject().iter_common_name();
    let in_common = common.any(|name| name.as_str().is_ok_and(is_host));
    parsed.is_ca() && parsed.subject() == parsed.issuer() && (in_names || in_common)
}

fn check_certificates(file: &Path, place: &Location<'_, '_>) {
    place.depends_on(file);
    let problem = match fs::read(file) {
        Err(error) => Some(format!("cannot read {}: {error}", file.display())),
        Ok(bytes) => (!holds(&bytes, "CERTIFICATE-----"))
            .then(|| format!("{} has no certificate in PEM form", file.display())),
    };
    if let Some(message) = problem {
        let hint = "a PEM file with one or more certificates";
        place.problem(message, Some(hint));
    }
}

fn holds(bytes: &[u8], kind: &str) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().filter(|line| line.starts_with("-----BEGIN "));
    lines.any(|line| line.trim_end().ends_with(kind))
}

fn client(section: &Section<'_, '_>) -> Option<ClientCertificate> {
    let certificate = section.path("client_certificate");
    let key = section.path("client_key");
    if let Some(file) = &certificate {
        check_certificates(file, &section.at("client_certificate"));
    }
    if let Some(file) = &key {
        check_key(file, &section.at("client_key"));
    }
    let alone = match (&certificate, &key) {
        (Some(_), None) => Some(("client_certificate", "client_key")),
        (None, Some(_)) => Some(("client_key", "client_certificate")),
        (Some(_), Some(_)) | (None, None) => None,
    };
    if let Some((set, missing)) = alone
        && !section.has(missing)
    {
        section
            .at(set)
            .problem(format!("`{set}` without `{missing}`"), Some("set both"));
    }
    Some(ClientCertificate {
        certificate: certificate?,
        key: key?,
    })
}

fn check_key(file: &Path, place: &Location<'_, '_>) {
    place.depends_on(file);
    let shown = file.display();
    let found = fs::metadata(file).and_then(|found| Ok((found, fs::read(file)?)));
    let (found, bytes) = match found {
        Ok(found) => found,
        Err(error) => {
            place.problem(format!("cannot read {shown}: {error}"), None);
            return;
        }
    };
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        place.problem(
            format!("others can read the key {shown} (mode {mode:o})"),
            Some(&format!("`chmod 600 {shown}`")),
        );
    }
    if holds(&bytes, "ENCRYPTED PRIVATE KEY-----") {
        let hint = format!("`openssl pkey -in {shown}` decrypts it");
        place.problem(format!("the key {shown} is encrypted"), Some(&hint));
    } else if !holds(&bytes, "PRIVATE KEY-----") {
        place.problem(format!("{shown} has no private key in PEM form"), None);
    }
}
