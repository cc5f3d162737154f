use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::*;
use crate::tls::testing;

/// A leaf for `host`.
fn made(leaves: &Leaves, host: &str) -> rcgen::Certificate {
    leaves.sign(&host.parse().unwrap()).unwrap()
}

fn config(leaves: &Leaves, host: &str, http: HttpVersion, now: SystemTime) -> Arc<ServerConfig> {
    let host = host.parse().unwrap();
    leaves.server_config_at(&host, http, now).unwrap()
}

#[test]
fn a_leaf_is_cached_until_a_week_before_it_expires() {
    let leaves = testing::leaves(&["hf.co"]);
    let now = SystemTime::now();
    let at = |now| config(&leaves, "hf.co", HttpVersion::Http1, now);
    let first = at(now);
    assert!(Arc::ptr_eq(&first, &at(now + 80 * DAY)));
    assert!(!Arc::ptr_eq(&first, &at(now + 84 * DAY)));
}

#[test]
fn http2_is_offered_only_where_it_is_enabled() {
    let leaves = testing::leaves(&["hf.co"]);
    let offered = |http| {
        config(&leaves, "hf.co", http, SystemTime::now())
            .alpn_protocols
            .len()
    };
    assert_eq!(offered(HttpVersion::Http2), 2);
    assert_eq!(offered(HttpVersion::Http1), 1);
}

#[test]
fn a_leaf_has_one_name_a_short_validity_and_the_purpose_server() {
    let leaves = testing::leaves(&["*.hf.co", "::1"]);
    let mut serials = Vec::new();
    for (host, name) in [("cdn.hf.co", "DNSName(cdn.hf.co)"), ("::1", "IPAddress(")] {
        let made = made(&leaves, host);
        let (_, leaf) = X509Certificate::from_der(made.der()).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap().value;
        assert_eq!(names.general_names.len(), 1);
        assert!(names.general_names[0].to_string().starts_with(name));
        let validity = leaf.validity();
        let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
        assert!(seconds <= 397 * 86400);
        assert!(!leaf.is_ca());
        let usage = leaf.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth && !usage.any);
        serials.push(leaf.raw_serial_as_string());
    }
    // NSS refuses two certificates of one issuer with the same serial number; the leaves of a process share a key.
    assert_ne!(serials[0], serials[1]);
}

#[test]
fn two_leaves_for_one_name_have_different_serial_numbers() {
    let leaves = testing::leaves(&["hf.co"]);
    let [one, two] = [made(&leaves, "hf.co"), made(&leaves, "hf.co")];
    let number = |made: &rcgen::Certificate| {
        let (_, leaf) = X509Certificate::from_der(made.der()).unwrap();
        leaf.raw_serial_as_string()
    };
    assert_ne!(number(&one), number(&two));
}

#[test]
fn a_name_over_64_characters_is_only_in_the_alternative_names() {
    let name = format!("{}.{}.hf.co", "a".repeat(60), "b".repeat(60));
    let leaves = testing::leaves(&["*.hf.co"]);
    let made = made(&leaves, &name);
    let (_, leaf) = X509Certificate::from_der(made.der()).unwrap();
    assert_eq!(leaf.subject().to_string(), "O=gitferry");
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1);
    let name = format!("DNSName({name})");
    assert_eq!(names.value.general_names[0].to_string(), name);
}

#[test]
fn a_host_that_the_ca_does_not_cover_gets_no_leaf() {
    let leaves = testing::leaves(&["hf.co"]);
    let host = "evil.example".parse().unwrap();
    assert!(!leaves.covers(&host));
    let error = leaves.server_config(&host, HttpVersion::Http1).unwrap_err();
    assert!(error.to_string().contains("`gitferry ca rotate`"));
}
