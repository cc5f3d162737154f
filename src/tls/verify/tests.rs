use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::crypto::aws_lc_rs;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A certificate like those of `openssl req -x509`: CA:TRUE, self-signed for `common`.
fn params(common: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + DAY).into();
    params
}

fn signed(params: CertificateParams) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().clone()
}

fn verified(
    listed: &CertificateDer<'static>,
    shown: &CertificateDer<'static>,
    name: &str,
) -> Result<(), Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = Arc::new(RootCertStore::empty());
    let verifier = Verifier::new(vec![listed.clone()], &roots, &provider).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let chain = [listed.clone()];
    let verified = verifier.verify_server_cert(shown, &chain, &name, &[], UnixTime::now());
    verified.map(drop)
}

fn refusal(change: impl FnOnce(&mut CertificateParams), name: &str) -> String {
    let mut params = params("cn.test", &["git.test", "192.0.2.1"]);
    change(&mut params);
    let certificate = signed(params);
    let refused = verified(&certificate, &certificate, name);
    refused.map_or_else(|error| format!("{error:?}"), |()| "accepted".into())
}

#[test]
fn a_listed_certificate_is_accepted_for_its_names_its_dates_and_its_purpose() {
    for name in ["git.test", "192.0.2.1"] {
        assert_eq!(refusal(|_| {}, name), "accepted", "{name}");
    }
    for name in ["other.test", "cn.test", "192.0.2.2"] {
        let error = refusal(|_| {}, name);
        assert!(error.contains("NotValidForName"), "{name}: {error}");
    }
    let past = refusal(
        |it| it.not_after = (SystemTime::now() - DAY / 2).into(),
        "git.test",
    );
    assert!(past.contains("Expired"), "{past}");
    let future = refusal(
        |it| it.not_before = (SystemTime::now() + DAY / 2).into(),
        "git.test",
    );
    assert!(future.contains("NotValidYet"), "{future}");
    let client = |it: &mut CertificateParams| {
        it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    let purpose = refusal(client, "git.test");
    assert!(purpose.contains("InvalidPurpose"), "{purpose}");
}

#[test]
fn a_common_name_is_accepted_where_there_is_no_other_name() {
    let certificate = signed(params("git.test", &[]));
    verified(&certificate, &certificate, "GIT.test").unwrap();
    verified(&certificate, &certificate, "other.test").unwrap_err();
    let certificate = signed(params("192.0.2.1", &[]));
    verified(&certificate, &certificate, "192.0.2.1").unwrap();
}

#[test]
fn a_certificate_that_a_listed_one_signed_is_refused() {
    let key = KeyPair::generate().unwrap();
    let own = CertifiedIssuer::self_signed(params("git.test", &["git.test"]), key).unwrap();
    let mut leaf = params("leaf", &["git.test"]);
    leaf.is_ca = IsCa::NoCa;
    let key = KeyPair::generate().unwrap();
    let leaf = leaf.signed_by(&key, &own).unwrap().der().clone();
    let refused = verified(own.der(), &leaf, "git.test").unwrap_err();
    assert!(
        format!("{refused:?}").contains("Issuer(\"git.test\")"),
        "{refused:?}"
    );
    // Another certificate with the same names and key usage is refused too.
    let twin = signed(params("git.test", &["git.test"]));
    verified(own.der(), &twin, "git.test").unwrap_err();
}
