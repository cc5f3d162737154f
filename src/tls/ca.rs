//! The local CA: created on first run, with a key that only its owner can read, and name-constrained to the configured hosts.
//!
//! One file holds the key and its certificate; `ca.pem` is a copy of the certificate for clients. Two daemons that start at once, or a
//! power failure, can therefore never leave a key beside another key's certificate.

use std::{
    fmt,
    fs::{File, Metadata, Permissions},
    io::Read as _,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};

use super::{
    CaError,
    certificate::{CaCertificate, CaConstraints, date},
    files::{self, CERTIFICATE_FILE, KEY_FILE, OLD_FILE},
    state,
};
use crate::model::{Host, HostPattern, fault::BoxError};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// A certificate that expires within this time causes a warning.
const SOON: Duration = Duration::from_secs(60 * 24 * 60 * 60);

/// The CA's certificate and key.
pub(crate) struct Authority {
    certificate: CaCertificate,
    issuer: Issuer<'static, KeyPair>,
    warnings: Vec<String>,
}

/// Whether a CA existed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CaOrigin {
    /// It existed.
    Found,
    /// It was created.
    Created,
}

impl Authority {
    /// Loads the CA of `directory`, or creates one that may sign only for `hosts`. Returns which of the two it did.
    ///
    /// Fails where the directory or a file cannot be read or written, and where the existing CA is damaged or expired. It never replaces an
    /// existing CA, because clients trust that one.
    pub(crate) fn open(
        directory: &Path,
        hosts: &[HostPattern],
    ) -> Result<(Self, CaOrigin), CaError> {
        state::check(directory, state::StateUsers::OwnerOrRoot)?;
        if let Some(found) = Self::load(directory)? {
            return Ok((found, CaOrigin::Found));
        }
        let path = directory.join(KEY_FILE);
        let failed = |error: BoxError| CaError::new(&path, error);
        let made = make(&params(&CaConstraints::of(hosts))).map_err(failed)?;
        let first =
            files::create(&path, made.as_bytes(), 0o600).map_err(|error| failed(error.into()))?;
        let opened = if first {
            CaOrigin::Created
        } else {
            CaOrigin::Found
        };
        // Another process may have created the file first, so the file is loaded in either case.
        let authority = Self::load(directory)?.ok_or_else(|| failed("it was removed".into()))?;
        Ok((authority, opened))
    }

    /// Replaces the CA with a new one, even if the old one is damaged or expired. Keeps a copy of the old certificate, but not of its key.
    ///
    /// Fails where the directory or a file cannot be written.
    pub(crate) fn rotate(directory: &Path, hosts: &[HostPattern]) -> Result<Self, CaError> {
        let path = directory.join(KEY_FILE);
        let failed = |error: BoxError| CaError::new(&path, error);
        state::check(directory, state::StateUsers::OwnerOrRoot)?;
        let made = make(&params(&CaConstraints::of(hosts))).map_err(failed)?;
        if let Ok(Some(old)) = files::read_regular(&directory.join(CERTIFICATE_FILE)) {
            let kept = directory.join(OLD_FILE);
            files::replace(&kept, &old, 0o644).map_err(|error| CaError::new(&kept, error))?;
        }
        files::replace(&path, made.as_bytes(), 0o600).map_err(|error| failed(error.into()))?;
        Self::load(directory)?.ok_or_else(|| failed("it was removed".into()))
    }

    /// True where the CA's name constraints permit `host`.
    pub(crate) fn covers(&self, host: &Host) -> bool {
        self.certificate.covers(host)
    }

    /// The certificate, which is public.
    pub(crate) fn certificate(&self) -> &CaCertificate {
        &self.certificate
    }

    /// Warnings about a working CA, a sentence each.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    /// Loads the CA of `directory`; `None` where there is none yet.
    fn load(directory: &Path) -> Result<Option<Self>, CaError> {
        let path = directory.join(KEY_FILE);
        let mend = "`gitferry ca rotate` replaces it";
        let Some((mut file, found)) = files::open_own(&path, mend)? else {
            return keyless(directory).map_or(Ok(None), Err);
        };
        let mut text = Vec::new();
        file.read_to_end(&mut text)
            .map_err(|error| CaError::new(&path, error))?;
        let tightened = tighten(&path, &file, &found)?;
        let unusable = |reason: String| CaError::unusable(&path, &reason);
        let mut authority = Self::from_pem(&text).map_err(unusable)?;
        let soon = judge(&authority.certificate, SystemTime::now()).map_err(unusable)?;
        authority.warnings.extend(tightened.into_iter().chain(soon));
        let copy = directory.join(CERTIFICATE_FILE);
        files::replace_if_changed(&copy, authority.certificate.pem().as_bytes(), 0o644)
            .map_err(|error| CaError::new(&copy, error))?;
        Ok(Some(authority))
    }

    fn from_pem(text: &[u8]) -> Result<Self, String> {
        let certificate = CaCertificate::from_pem(text)?;
        let key = PrivateKeyDer::from_pem_slice(text)
            .map_err(|error| format!("it contains no private key ({error})"))?;
        let key = KeyPair::try_from(&key)
            .map_err(|error| format!("its private key is invalid ({error})"))?;
        if !certificate.belongs_to(&key) {
            return Err("its certificate and key do not match".to_owned());
        }
        let issuer = Issuer::from_ca_cert_der(certificate.der(), key)
            .map_err(|error| format!("its certificate is invalid ({error})"))?;
        Ok(Self {
            certificate,
            issuer,
            warnings: Vec::new(),
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("subject", &self.certificate.subject())
            .field("permitted", self.certificate.permitted())
            .finish_non_exhaustive()
    }
}

/// A warning where `certificate` expires soon. Fails with the reason where it is not valid at `now`.
fn judge(certificate: &CaCertificate, now: SystemTime) -> Result<Option<String>, String> {
    let (begin, end) = (certificate.not_before(), certificate.not_after());
    if end <= now {
        return Err(format!("it has expired on {}", date(end)));
    }
    if begin > now {
        return Err(format!(
            "it is valid only from {}; is this machine's clock right?",
            date(begin)
        ));
    }
    Ok((end < now + SOON).then(|| {
        format!(
            "the local CA expires on {}: `gitferry ca rotate` creates a new one",
            date(end)
        )
    }))
}

/// The error for a certificate that exists without its key: a new CA must not replace it silently.
fn keyless(directory: &Path) -> Option<CaError> {
    let certificate = directory.join(CERTIFICATE_FILE);
    let reason = format!("it is missing, but its certificate {CERTIFICATE_FILE} exists");
    certificate
        .exists()
        .then(|| CaError::unusable(&directory.join(KEY_FILE), &reason))
}

/// A new key and its certificate, in one text.
fn make(params: &CertificateParams) -> Result<String, BoxError> {
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(key.serialize_pem() + &certificate.pem())
}

fn params(permitted: &CaConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    let id: String = (0..8)
        .map(|_| fastrand::alphanumeric().to_ascii_lowercase())
        .collect();
    // Each CA has its own name: GnuTLS and NSS look issuers up by name, and fail where two keys have the same one.
    params
        .distinguished_name
        .push(DnType::CommonName, format!("gitferry local CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    // Name constraints do not limit the purpose. This does: the key cannot sign mail or code.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
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
    // Name constraints limit only the kinds of names that they mention (RFC 5280, section 4.2.1.10), so kinds without a permitted name are
    // excluded.
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

/// Makes the key readable by its owner only. Returns a warning where it was not.
fn tighten(key: &Path, file: &File, found: &Metadata) -> Result<Option<String>, CaError> {
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(None);
    }
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(|error| CaError::new(key, error))?;
    Ok(Some(format!(
        "others could read {} (mode {mode:o}) until now: if somebody may have read it, run `gitferry ca rotate`",
        key.display()
    )))
}

#[cfg(test)]
mod tests;
