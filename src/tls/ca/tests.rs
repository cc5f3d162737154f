use std::fs;
use std::os::unix::fs::MetadataExt;

use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use super::*;
use crate::tls::testing::patterns;

const HOSTS: [&str; 4] = ["huggingface.co", "*.hf.co", "cdn.hf.co", "192.0.2.7"];

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn chain(error: &CaError) -> String {
    let advice = error.advice.as_deref().unwrap_or_default();
    format!("{error}: {}\n{advice}", error.source)
}

#[test]
fn the_first_run_creates_a_ca_and_the_second_loads_it() {
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("a/gitferry");
    let (made, opened) = Authority::open(&directory, &patterns(&HOSTS)).unwrap();
    assert_eq!(opened, CaOrigin::Created);
    assert_eq!(mode(&directory), 0o755);
    assert_eq!(mode(&directory.join(KEY_FILE)), 0o600);
    assert_eq!(mode(&directory.join(CERTIFICATE_FILE)), 0o644);

    let (found, opened) = Authority::open(&directory, &patterns(&["other.example"])).unwrap();
    assert_eq!(opened, CaOrigin::Found);
    assert_eq!(found.certificate().pem(), made.certificate().pem());
    assert!(found.warnings().is_empty(), "{:?}", found.warnings());
    assert_eq!(
        fs::read_to_string(directory.join(CERTIFICATE_FILE)).unwrap(),
        made.certificate().pem()
    );
}

#[test]
fn the_certificate_permits_only_the_configured_hosts() {
    let state = tempfile::tempdir().unwrap();
    let (ca, _) = Authority::open(state.path(), &patterns(&HOSTS)).unwrap();
    let (_, parsed) = X509Certificate::from_der(ca.certificate().der()).unwrap();
    let constraints = parsed
        .extensions()
        .iter()
        .find(|extension| extension.oid.to_id_string() == "2.5.29.30")
        .unwrap();
    assert!(constraints.critical);
    let basic = parsed.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca && basic.value.path_len_constraint == Some(0));
    assert!(parsed.key_usage().unwrap().unwrap().value.key_cert_sign());

    let permitted = ca.certificate().permitted();
    assert_eq!(permitted.names, ["hf.co", "huggingface.co"]);
    assert_eq!(
        permitted.addresses,
        ["192.0.2.7".parse::<IpAddr>().unwrap()]
    );
    for (host, covered) in [
        ("huggingface.co", true),
        ("a.b.hf.co", true),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("::1", false),
        ("github.com", false),
        ("evil-huggingface.co", false),
    ] {
        assert_eq!(ca.covers(&host.parse().unwrap()), covered, "{host}");
    }
    let wanted = patterns(&["cdn-*.hf.co", "github.com", "*.192.example", "192.0.2.8"]);
    let missing: Vec<String> = ca
        .certificate()
        .missing(&wanted)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(missing, ["github.com", "*.192.example", "192.0.2.8"]);
}

#[test]
fn every_ca_has_its_own_name() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, _) = Authority::open(one.path(), &patterns(&HOSTS)).unwrap();
    let (two, _) = Authority::open(two.path(), &patterns(&HOSTS)).unwrap();
    assert!(
        one.certificate()
            .subject()
            .starts_with("CN=gitferry local CA ")
    );
    assert_ne!(one.certificate().subject(), two.certificate().subject());
    assert_eq!(one.certificate().fingerprint().len(), 32 * 3 - 1);
}

#[test]
fn daemons_that_start_at_once_use_the_same_ca() {
    let state = tempfile::tempdir().unwrap();
    let open = || {
        let (ca, opened) = Authority::open(state.path(), &patterns(&HOSTS)).unwrap();
        (ca.certificate().pem().to_owned(), opened)
    };
    let opened: Vec<(String, CaOrigin)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let on_disk = fs::read_to_string(state.path().join(CERTIFICATE_FILE)).unwrap();
    assert!(opened.iter().all(|(pem, _)| *pem == on_disk));
    let made = opened
        .iter()
        .filter(|(_, opened)| *opened == CaOrigin::Created);
    assert_eq!(made.count(), 1);
}

#[test]
fn a_rotation_keeps_the_old_certificate_and_not_the_old_key() {
    let state = tempfile::tempdir().unwrap();
    let (old, _) = Authority::open(state.path(), &patterns(&["hf.co"])).unwrap();
    let new = Authority::rotate(state.path(), &patterns(&["github.com"])).unwrap();
    assert!(new.covers(&"github.com".parse().unwrap()));
    assert!(!new.covers(&"hf.co".parse().unwrap()));
    let kept = fs::read_to_string(state.path().join(OLD_FILE)).unwrap();
    assert_eq!(kept, old.certificate().pem());
    assert_eq!(mode(&state.path().join(KEY_FILE)), 0o600);
    let found = Authority::load(state.path()).unwrap().unwrap();
    assert_eq!(found.certificate().pem(), new.certificate().pem());
}

#[test]
fn a_key_that_others_can_read_loses_that_permission_with_a_warning() {
    let state = tempfile::tempdir().unwrap();
    Authority::open(state.path(), &patterns(&HOSTS)).unwrap();
    let key = state.path().join(KEY_FILE);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (ca, _) = Authority::open(state.path(), &patterns(&HOSTS)).unwrap();
    assert_eq!(mode(&key), 0o600);
    assert_eq!(ca.warnings().len(), 1);
    assert!(ca.warnings()[0].contains("mode 644"));
}

#[test]
fn a_damaged_ca_is_an_error_that_names_ca_rotate_and_is_not_replaced() {
    let state = tempfile::tempdir().unwrap();
    let (ca, _) = Authority::open(state.path(), &patterns(&HOSTS)).unwrap();
    let other = tempfile::tempdir().unwrap();
    Authority::open(other.path(), &patterns(&HOSTS)).unwrap();
    let other_key = KeyPair::generate().unwrap().serialize_pem();
    let key = state.path().join(KEY_FILE);
    for damaged in [
        String::new(),
        "garbage".to_owned(),
        ca.certificate().pem().to_owned(),
        other_key.clone(),
        other_key + ca.certificate().pem(),
    ] {
        fs::write(&key, &damaged).unwrap();
        let error = Authority::open(state.path(), &patterns(&HOSTS)).unwrap_err();
        assert!(chain(&error).contains("`gitferry ca rotate`"), "{error:?}");
        assert_eq!(fs::read_to_string(&key).unwrap(), damaged);
    }
    fs::remove_file(&key).unwrap();
    let error = Authority::open(state.path(), &patterns(&HOSTS)).unwrap_err();
    assert!(chain(&error).contains("`gitferry ca rotate`"));
    Authority::rotate(state.path(), &patterns(&HOSTS)).unwrap();
    Authority::open(state.path(), &patterns(&HOSTS)).unwrap();
}

#[test]
fn an_expired_or_future_ca_is_an_error_and_one_that_expires_soon_a_warning() {
    let state = tempfile::tempdir().unwrap();
    let (ca, _) = Authority::open(state.path(), &patterns(&HOSTS)).unwrap();
    let ca = ca.certificate();
    let end = ca.not_after();
    assert!(judge(ca, end - SOON - DAY).unwrap().is_none());
    assert!(
        judge(ca, end - DAY)
            .unwrap()
            .unwrap()
            .contains("`gitferry ca rotate`")
    );
    assert!(judge(ca, end).unwrap_err().contains("expired"));
    let before = ca.not_before() - DAY;
    assert!(judge(ca, before).unwrap_err().contains("clock"));
}

#[test]
fn debug_output_does_not_contain_the_key() {
    let state = tempfile::tempdir().unwrap();
    let (ca, _) = Authority::open(state.path(), &patterns(&HOSTS)).unwrap();
    let text = fs::read_to_string(state.path().join(KEY_FILE)).unwrap();
    let line = text.lines().nth(1).unwrap();
    assert!(!format!("{ca:?}").contains(line));
}
