//! One leaf certificate per host, created on first use and kept in memory.
//!
//! The leaves of a process share one key. It never leaves memory, and separate keys would protect nothing more.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::PrivateKeyDer,
    server::ServerConfig,
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::ca::Authority;
use crate::{
    config::HttpVersion,
    model::{Host, fault::BoxError},
    sync::Mutex,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Apple's clients refuse more than 398 days (CA/Browser Forum, Baseline Requirements 6.3.2).
const VALIDITY: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// A leaf is replaced when less than this time remains.
const RENEW: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The largest number of cached leaves: more hosts than the routes of a user cover. Beyond it the cache is emptied.
const LIMIT: usize = 512;

/// Leaves of one CA.
pub(crate) struct Leaves {
    pub(super) authority: Arc<Authority>,
    key: KeyPair,
    ready: Mutex<HashMap<(Host, bool), Leaf>>,
    tickets: Option<Arc<dyn rustls::server::ProducesTickets>>,
}

struct Leaf {
    config: Arc<ServerConfig>,
    renew_at: SystemTime,
}

impl Leaves {
    /// An empty cache; fails where no key can be generated.
    pub(crate) fn new(authority: Arc<Authority>) -> Result<Self, BoxError> {
        Ok(Self {
            authority,
            key: KeyPair::generate()?,
            ready: Mutex::default(),
            tickets: aws_lc_rs::Ticketer::new().ok(),
        })
    }

    /// True where the CA may sign for `host`.
    pub(crate) fn covers(&self, host: &Host) -> bool {
        self.authority.covers(host)
    }

    /// TLS for clients of `host`, offering at most `http`.
    ///
    /// Fails where the CA does not cover `host`.
    pub(crate) fn server_config(
        &self,
        host: &Host,
        http: HttpVersion,
    ) -> Result<Arc<ServerConfig>, BoxError> {
        self.server_config_at(host, http, SystemTime::now())
    }

    fn server_config_at(
        &self,
        host: &Host,
        http: HttpVersion,
        now: SystemTime,
    ) -> Result<Arc<ServerConfig>, BoxError> {
        if !self.covers(host) {
            return Err(
                format!("the local CA does not cover {host}: run `gitferry ca rotate`").into(),
            );
        }
        let key = (host.clone(), http == HttpVersion::Http2);
        let mut ready = self.ready.lock();
        if let Some(leaf) = ready.get(&key).filter(|leaf| leaf.renew_at > now) {
            return Ok(Arc::clone(&leaf.config));
        }
        let config = Arc::new(self.config(self.sign(host)?, http)?);
        if ready.len() >= LIMIT {
            ready.clear();
        }
        ready.insert(
            key,
            Leaf {
                config: Arc::clone(&config),
                renew_at: now + VALIDITY - RENEW,
            },
        );
        Ok(config)
    }

    fn sign(&self, host: &Host) -> Result<Certificate, BoxError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "gitferry");
        params.subject_alt_names = vec![match host {
            Host::Name(name) => {
                // A common name has at most 64 characters (RFC 5280, appendix A.1). Clients no longer compare it.
                if name.len() <= 64 {
                    params
                        .distinguished_name
                        .push(DnType::CommonName, name.to_string());
                }
                SanType::DnsName(name.to_string().try_into()?)
            }
            // No common name: GnuTLS reads it as a DNS name where there is no other, and applies the name constraints to it.
            Host::Ip(ip) => SanType::IpAddress(*ip),
        }];
        // rcgen would derive the serial number from the key, which all leaves share. NSS refuses two certificates with the same one.
        params.serial_number = Some(fastrand::u64(1..).into());
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = (SystemTime::now() + VALIDITY).into();
        Ok(params.signed_by(&self.key, self.authority.issuer())?)
    }

    fn config(&self, leaf: Certificate, http: HttpVersion) -> Result<ServerConfig, BoxError> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der())?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = vec![
            leaf.der().clone(),
            self.authority.certificate().der().clone(),
        ];
        let certified = CertifiedKey::from_der(chain, key, &provider)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = super::alpn::offered(http);
        if let Some(tickets) = &self.tickets {
            config.ticketer = Arc::clone(tickets);
        }
        config.send_tls13_tickets = 1;
        Ok(config)
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaves")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
