//! The certificates of the run: one CA, and one leaf for the origin and the peers that terminate. P-256 throughout.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use crate::Result;

/// The host whose TLS is terminated.
pub(crate) const HOST: &str = "origin.test";
/// The same origin by the name that is tunnelled.
pub(crate) const TUNNELLED_HOST: &str = "tunnelled.test";

/// The CA's certificate.
pub(crate) fn authority(directory: &Path) -> PathBuf {
    directory.join("ca.pem")
}

/// The leaf's certificate, and its key in the same file, as HAProxy wants them.
pub(crate) fn leaf(directory: &Path) -> PathBuf {
    directory.join("leaf.pem")
}

/// Makes both, into `directory`.
pub(crate) fn make(directory: &Path) -> Result<()> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "gitferry bench CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    fs::write(authority(directory), params.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new([HOST.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, HOST);
    let certificate = params.signed_by(&key, &issuer)?;
    fs::write(leaf(directory), certificate.pem() + &key.serialize_pem())?;
    Ok(())
}
