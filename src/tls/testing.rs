//! Helpers for the tests of this module: CAs in temporary directories, and certificates with chosen faults.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer},
};

use super::{Authority, Leaves, trust::Roots};
use crate::model::HostPattern;

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) fn patterns(hosts: &[&str]) -> Vec<HostPattern> {
    hosts.iter().map(|host| host.parse().unwrap()).collect()
}

pub(super) fn leaves(hosts: &[&str]) -> Leaves {
    let directory = tempfile::tempdir().unwrap();
    let (authority, _) = Authority::open(directory.path(), &patterns(hosts)).unwrap();
    Leaves::new(Arc::new(authority)).unwrap()
}

/// An external CA.
pub(crate) struct ExternalCa(CertifiedIssuer<'static, KeyPair>);

impl ExternalCa {
    pub(crate) fn new() -> Self {
        // With two roots of one name, the error would be a bad signature and not an unknown issuer.
        let mut parameters = named(&format!("Test Root {:08x}", fastrand::u32(..)));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn roots(&self) -> Roots {
        Roots::of(vec![self.root()], Vec::new())
    }

    pub(super) fn store(&self) -> RootCertStore {
        let mut store = RootCertStore::empty();
        store.add(self.root()).unwrap();
        store
    }

    /// A server with a certificate of this CA for `names`, modified by `change`.
    pub(crate) fn server(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        self.server_of(names, change, rustls::ALL_VERSIONS)
    }

    /// Like [`ExternalCa::server`], limited to `versions`.
    pub(super) fn server_of(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut parameters = leaf(names);
        change(&mut parameters);
        let certificate = parameters.signed_by(&key, &self.0).unwrap();
        server_of(vec![certificate.der().clone()], &key, versions)
    }

    /// A server behind an intermediate CA, which `change` modifies.
    pub(super) fn server_behind(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        let mut parameters = named("Test Intermediate");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let intermediate = CertifiedIssuer::signed_by(parameters, key, &self.0).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = leaf(&[name]).signed_by(&key, &intermediate).unwrap();
        server(
            vec![certificate.der().clone(), intermediate.der().clone()],
            &key,
        )
    }
}

/// A server whose certificate is signed by its own key.
pub(super) fn self_signed(name: &str) -> (Arc<ServerConfig>, CertificateDer<'static>) {
    signed_by_itself(leaf(&[name]))
}

/// Like [`self_signed`], with a CA certificate.
pub(super) fn self_signed_ca(name: &str) -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let mut parameters = leaf(&[name]);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    signed_by_itself(parameters)
}

fn signed_by_itself(parameters: CertificateParams) -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap().der().clone();
    (server(vec![certificate.clone()], &key), certificate)
}

pub(super) fn validity(parameters: &mut CertificateParams, from: SystemTime, until: SystemTime) {
    parameters.not_before = from.into();
    parameters.not_after = until.into();
}

fn leaf(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.distinguished_name = named("Test Leaf").distinguished_name;
    parameters
}

fn named(name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::now();
    validity(&mut parameters, now - DAY, now + DAY);
    parameters
}

fn server(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> Arc<ServerConfig> {
    server_of(chain, key, rustls::ALL_VERSIONS)
}

fn server_of(
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_protocol_versions(versions)
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    Arc::new(config)
}
