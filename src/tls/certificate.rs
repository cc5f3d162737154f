//! The local CA's certificate from its file: name, validity, constraints, fingerprint. `ca` handles the key.
//!
//! `gitferry ca show`, `path` and `export` read only the certificate, so they need no permission to read the key. The hosts that the CA may
//! sign for are read from the certificate's name constraints, not from the config.

use std::{
    fs, io,
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{
    prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate, X509Name},
    time::ASN1Time,
};

use super::{
    CaError,
    files::{CERTIFICATE_FILE, KEY_FILE},
};
use crate::{
    model::{Host, HostPattern},
    track::{moment, redact},
};

/// A CA's certificate.
#[derive(Clone, Debug)]
pub(crate) struct CaCertificate {
    pem: String,
    der: CertificateDer<'static>,
    subject: String,
    permitted: CaConstraints,
    not_before: SystemTime,
    not_after: SystemTime,
    public_key: Vec<u8>,
}

/// The hosts that the name constraints permit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CaConstraints {
    /// DNS subtrees: each name, and all names below it.
    pub names: Vec<String>,
    /// Single addresses.
    pub addresses: Vec<IpAddr>,
}

impl CaCertificate {
    /// Reads the certificate of the CA in `directory`; `None` where there is none yet.
    ///
    /// Fails where the file cannot be read or holds no CA certificate.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, CaError> {
        let path = directory.join(CERTIFICATE_FILE);
        match fs::read(&path) {
            Ok(bytes) => Self::from_pem(&bytes).map(Some).map_err(|reason| {
                // The copy is unusable; the daemon writes it again from the key's file.
                let advice = format!("`gitferry run` writes it again from {KEY_FILE}");
                CaError::new(&path, reason).with_advice(advice)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CaError::new(&path, error)),
        }
    }

    /// Reads the first certificate of a PEM text. Fails with the reason where there is none, or where it is not a CA's.
    pub(super) fn from_pem(bytes: &[u8]) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(bytes)
            .map_err(|error| format!("it contains no certificate ({error})"))?;
        let (_, parsed) = X509Certificate::from_der(&der)
            .map_err(|error| format!("its certificate is invalid ({error})"))?;
        if !parsed.is_ca() {
            return Err("its certificate is not a CA certificate".to_owned());
        }
        Ok(Self {
            pem: pem(&der),
            subject: parsed.subject().to_string(),
            permitted: CaConstraints::read(&parsed),
            not_before: system_time(parsed.validity().not_before),
            not_after: system_time(parsed.validity().not_after),
            public_key: parsed.public_key().raw.to_vec(),
            der: der.clone(),
        })
    }

    /// True where the name constraints permit `host`.
    pub(crate) fn covers(&self, host: &Host) -> bool {
        match host {
            Host::Name(name) => self.permitted.covers_name(name),
            Host::Ip(ip) => self.permitted.addresses.contains(ip),
        }
    }

    /// The patterns for whose hosts the CA may not sign. They need a new CA.
    pub(crate) fn missing<'a>(&self, hosts: &'a [HostPattern]) -> Vec<&'a HostPattern> {
        hosts
            .iter()
            .filter(|pattern| match pattern {
                HostPattern::Exact(host) => !self.covers(host),
                HostPattern::Wildcard(_) => !pattern
                    .subtree()
                    .is_some_and(|subtree| self.permitted.covers_name(subtree)),
            })
            .collect()
    }

    /// The certificate alone, as PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate alone, as DER.
    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The certificate's name.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// The names that it may sign for.
    pub(crate) fn permitted(&self) -> &CaConstraints {
        &self.permitted
    }

    /// The begin of its validity.
    pub(crate) fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// The end of its validity.
    pub(crate) fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// The SHA-256 of the certificate, in the form of browsers and of `openssl x509 -fingerprint`.
    pub(crate) fn fingerprint(&self) -> String {
        // The cipher suite provides the hash, so no further crate is needed for it.
        let suite = cipher_suite::TLS13_AES_128_GCM_SHA256.tls13();
        let digest = suite.map(|suite| suite.common.hash_provider.hash(&self.der));
        let bytes = digest.iter().flat_map(|digest| digest.as_ref());
        bytes
            .map(|byte| format!("{byte:02X}"))
            .collect::<Vec<_>>()
            .join(":")
    }

    /// True where `key` is the key of this certificate.
    pub(super) fn belongs_to(&self, key: &rcgen::KeyPair) -> bool {
        rcgen::PublicKeyData::subject_public_key_info(key) == self.public_key
    }
}

impl CaConstraints {
    /// The smallest constraints that cover `hosts`.
    pub(super) fn of(hosts: &[HostPattern]) -> Self {
        let mut names: Vec<&str> = hosts.iter().filter_map(HostPattern::subtree).collect();
        names.sort_by_key(|name| name.len());
        let mut permitted = Self::default();
        for name in names {
            if !permitted.covers_name(name) {
                permitted.names.push(name.to_owned());
            }
        }
        permitted.names.sort();
        permitted.addresses = hosts
            .iter()
            .filter_map(|pattern| match pattern {
                HostPattern::Exact(host) => host.ip(),
                HostPattern::Wildcard(_) => None,
            })
            .collect();
        permitted.addresses.sort();
        permitted.addresses.dedup();
        permitted
    }

    fn read(certificate: &X509Certificate<'_>) -> Self {
        let mut permitted = Self::default();
        for extension in certificate.extensions() {
            let ParsedExtension::NameConstraints(constraints) = extension.parsed_extension() else {
                continue;
            };
            for subtree in constraints.permitted_subtrees.iter().flatten() {
                match &subtree.base {
                    GeneralName::DNSName(name) => permitted.names.push((*name).to_owned()),
                    GeneralName::IPAddress(bytes) => {
                        permitted.addresses.extend(single_address(bytes))
                    }
                    _ => {}
                }
            }
        }
        permitted
    }

    fn covers_name(&self, name: &str) -> bool {
        self.names.iter().any(|subtree| {
            name.strip_suffix(subtree.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

/// An address with a full mask (RFC 5280, section 4.2.1.10).
fn single_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes {
        [a, b, c, d, 255, 255, 255, 255] => Some(IpAddr::from([*a, *b, *c, *d])),
        bytes => {
            let (address, mask) = bytes.split_at_checked(16)?;
            let address: [u8; 16] = address.try_into().ok()?;
            (mask == [255; 16]).then(|| IpAddr::from(address))
        }
    }
}

/// The certificate as PEM, in lines of 64 characters (RFC 7468, section 2).
pub(super) fn pem(certificate: &CertificateDer<'_>) -> String {
    let encoded = BASE64_STANDARD.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// A point in time for people: `2026-08-01 12:00:00 UTC`.
pub(crate) fn date(time: SystemTime) -> String {
    format!("{} UTC", moment::display(time))
}

/// The name of the issuer of `der`; `None` where it is no certificate.
pub(super) fn issuer(der: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(one_line(certificate.issuer()))
}

/// Organisation and common name, where present.
pub(crate) fn one_line(name: &X509Name<'_>) -> String {
    let organisation = name.iter_organization().next();
    let common = name.iter_common_name().next();
    let mut parts: Vec<&str> = Vec::new();
    for text in [organisation, common]
        .into_iter()
        .flatten()
        .filter_map(|part| part.as_str().ok())
    {
        if !parts.contains(&text) {
            parts.push(text);
        }
    }
    let text = match parts.is_empty() {
        true => name.to_string(),
        false => parts.join(", "),
    };
    redact::escaped(&text).chars().take(80).collect()
}

fn system_time(time: ASN1Time) -> SystemTime {
    SystemTime::UNIX_EPOCH
        + Duration::from_secs(u64::try_from(time.timestamp()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_seconds_and_its_time_zone() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(951_827_696);
        assert_eq!(date(time), "2000-02-29 12:34:56 UTC");
    }
}
