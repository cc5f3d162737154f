//! The local CA: made on first run, its key readable by its owner alone, name-constrained to the configured hosts.
//!
//! The truth about what it may sign for is in its certificate: the constraints are read back from there.

use std::{
    error::Error,
    fmt, fs, io,
    io::Write,
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, GeneralSubtree, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, NameConstraints,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

use crate::model::{Host, HostPattern, fault::BoxError};

/// The certificate's file in the state directory.
pub const CERTIFICATE_FILE: &str = "ca.pem";
/// The key's file, readable by its owner alone.
pub const KEY_FILE: &str = "ca-key.pem";
/// The certificate before the last rotation.
pub const OLD_FILE: &str = "ca.old.pem";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The CA's certificate and key.
pub struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    permitted: Permitted,
    not_after: SystemTime,
    subject: String,
}

/// What the name constraints permit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permitted {
    /// DNS subtrees: the name itself and everything below.
    pub names: Vec<String>,
    /// Single addresses.
    pub addresses: Vec<IpAddr>,
}

/// Whether a CA was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It was.
    Found,
    /// It was made.
    Made,
}

impl Authority {
    /// Loads the CA of `directory`, or makes one that may sign for `hosts` alone; says which it was.
    ///
    /// Fails where the directory or a file cannot be read or written, and where certificate and key are no pair.
    pub fn open(directory: &Path, hosts: &[HostPattern]) -> Result<(Self, Opened), CaError> {
        let certificate = directory.join(CERTIFICATE_FILE);
        match fs::read_to_string(&certificate) {
            Ok(pem) => Self::load(directory, pem).map(|ca| (ca, Opened::Found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::make(directory, hosts).map(|ca| (ca, Opened::Made))
            }
            Err(error) => Err(CaError::new(certificate, error)),
        }
    }

    /// Makes a new CA in place of the old one, whose certificate stays beside it.
    ///
    /// Fails as [`Authority::open`] does.
    pub fn rotate(directory: &Path, hosts: &[HostPattern]) -> Result<Self, CaError> {
        let certificate = directory.join(CERTIFICATE_FILE);
        match fs::copy(&certificate, directory.join(OLD_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CaError::new(certificate, error))
            }
            _ => Self::make(directory, hosts),
        }
    }

    fn make(directory: &Path, hosts: &[HostPattern]) -> Result<Self, CaError> {
        let failed = |error: io::Error| CaError::new(directory.to_owned(), error);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(directory)
            .map_err(failed)?;
        let key = KeyPair::generate().map_err(|error| CaError::new(directory.to_owned(), error))?;
        let params = params(&Permitted::of(hosts));
        let pem = params
            .self_signed(&key)
            .map_err(|error| CaError::new(directory.to_owned(), error))?
            .pem();
        // The key first: a certificate in place says that its key is too.
        write(
            &directory.join(KEY_FILE),
            key.serialize_pem().as_bytes(),
            0o600,
        )?;
        write(&directory.join(CERTIFICATE_FILE), pem.as_bytes(), 0o644)?;
        Self::load(directory, pem)
    }

    fn load(directory: &Path, pem: String) -> Result<Self, CaError> {
        let certificate = directory.join(CERTIFICATE_FILE);
        let bad = |error: BoxError| CaError {
            path: certificate.clone(),
            source: error,
        };
        let key_file = directory.join(KEY_FILE);
        let key =
            fs::read_to_string(&key_file).map_err(|error| CaError::new(key_file.clone(), error))?;
        tighten(&key_file)?;
        let key = KeyPair::from_pem(&key).map_err(|error| CaError::new(key_file, error))?;
        let der =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| bad(error.into()))?;
        let (permitted, not_after, subject) = {
            let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| bad(error.into()))?;
            if parsed.public_key().raw != rcgen::PublicKeyData::subject_public_key_info(&key) {
                return Err(bad(
                    "certificate and key are no pair: `gitferry ca rotate` makes a new CA".into(),
                ));
            }
            let seconds =
                u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
            (
                Permitted::read(&parsed),
                SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
                parsed.subject().to_string(),
            )
        };
        if not_after < SystemTime::now() {
            return Err(bad(
                "the CA has expired: `gitferry ca rotate` makes a new one".into(),
            ));
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|error| bad(error.into()))?;
        Ok(Self {
            pem,
            der,
            issuer,
            permitted,
            not_after,
            subject,
        })
    }

    /// True where the CA's name constraints permit `host`.
    pub fn covers(&self, host: &Host) -> bool {
        match host {
            Host::Name(name) => self.permitted.covers_name(name),
            Host::Ip(ip) => self.permitted.addresses.contains(ip),
        }
    }

    /// The patterns that the CA may not sign for: it must be renewed for them.
    pub fn missing<'a>(&self, hosts: &'a [HostPattern]) -> Vec<&'a HostPattern> {
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

    /// The certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// What it may sign for.
    pub fn permitted(&self) -> &Permitted {
        &self.permitted
    }

    /// When it ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Its name.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// SHA-256 of the certificate, as browsers and `openssl x509 -fingerprint` show it.
    pub fn fingerprint(&self) -> String {
        let digest = rustls::crypto::aws_lc_rs::default_provider()
            .cipher_suites
            .iter()
            .find_map(|suite| {
                suite
                    .tls13()
                    .filter(|suite| suite.common.hash_provider.output_len() == 32)
            })
            .map(|suite| suite.common.hash_provider.hash(&self.der));
        let bytes = digest
            .as_ref()
            .map(|digest| digest.as_ref())
            .unwrap_or_default();
        bytes
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect::<Vec<_>>()
            .join(":")
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("subject", &self.subject)
            .field("permitted", &self.permitted)
            .finish_non_exhaustive()
    }
}

impl Permitted {
    /// The least that covers `hosts`.
    fn of(hosts: &[HostPattern]) -> Self {
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

fn params(permitted: &Permitted) -> CertificateParams {
    let mut params = CertificateParams::default();
    let id: String = (0..8)
        .map(|_| fastrand::alphanumeric().to_ascii_lowercase())
        .collect();
    // A name of its own for each CA: GnuTLS and NSS look issuers up by name, and two keys under one name confuse them.
    params
        .distinguished_name
        .push(DnType::CommonName, format!("gitferry local CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + VALIDITY).into();
    let name = |name: &String| GeneralSubtree::DnsName(name.clone());
    let address = |ip: &IpAddr| {
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
            *ip,
            if ip.is_ipv4() { 32 } else { 128 },
        ))
    };
    let mut excluded = Vec::new();
    // Constraints bind only the kinds of names they mention (RFC 5280, section 4.2.1.10): what is not permitted is excluded.
    if permitted.names.is_empty() {
        excluded.push(GeneralSubtree::DnsName(String::new()));
    }
    if !permitted.addresses.iter().any(IpAddr::is_ipv4) {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(
            [0; 4], 0,
        )));
    }
    if !permitted.addresses.iter().any(IpAddr::is_ipv6) {
        excluded.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(
            [0; 16], 0,
        )));
    }
    let permitted_subtrees = permitted
        .names
        .iter()
        .map(name)
        .chain(permitted.addresses.iter().map(address))
        .collect();
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees,
        excluded_subtrees: excluded,
    });
    params
}

/// A key that others could read is tightened: the CA is theirs to misuse otherwise.
fn tighten(key: &Path) -> Result<(), CaError> {
    let mode = fs::metadata(key)
        .map_err(|error| CaError::new(key.to_owned(), error))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        tracing::warn!(file = %key.display(), "ca key was readable by others");
        fs::set_permissions(key, fs::Permissions::from_mode(0o600))
            .map_err(|error| CaError::new(key.to_owned(), error))?;
    }
    Ok(())
}

/// Writes beside and renames, so that a reader sees the old file or the new one.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CaError> {
    let failed = |error: io::Error| CaError::new(path.to_owned(), error);
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&beside)
        .map_err(failed)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}

/// Why there is no CA.
#[derive(Debug)]
pub struct CaError {
    /// The file or directory.
    pub path: PathBuf,
    /// What was wrong with it.
    pub source: BoxError,
}

impl CaError {
    fn new(path: PathBuf, source: impl Into<BoxError>) -> Self {
        Self {
            path,
            source: source.into(),
        }
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
