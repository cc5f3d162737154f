//! What a name-constrained CA is for: clients trust it for its hosts, and its stolen key is worth nothing elsewhere.

use std::fs;

use rcgen::{CertificateParams, DnType, Issuer, KeyPair};

use crate::{
    clients::{CLIENTS, Visit},
    support::{
        ca::Leaf,
        ferry::Ferry,
        git_host::{GitHost, Manners},
        world::{MAIN, STORAGE, World},
    },
};

/// Permitted, as every name below a configured host.
const BELOW: &str = "below.main.test";
/// Never configured to be terminated.
const FOREIGN: &str = "foreign.example";
const FOREIGN_ADDRESS: &str = "192.0.2.9";

/// A leaf for `names` that the daemon would not make, signed by its CA's own key.
fn forge(key_file: &str, names: &[&str]) -> Leaf {
    let (key, certificate) = key_file.split_at(key_file.find("-----BEGIN CERTIFICATE").unwrap());
    let issuer = Issuer::from_ca_cert_pem(certificate, KeyPair::from_pem(key).unwrap()).unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    // No common name: GnuTLS would hold it for a DNS name of its own.
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "forged");
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    params.not_after =
        (std::time::SystemTime::now() + std::time::Duration::from_secs(86_400)).into();
    params.not_before =
        (std::time::SystemTime::now() - std::time::Duration::from_secs(86_400)).into();
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &issuer).unwrap();
    Leaf {
        certificate: leaf.pem(),
        key: key.serialize_pem(),
    }
}

#[test]
fn real_clients_trust_the_ca_for_its_hosts_alone_even_with_its_key() {
    let world = World::new();
    let settings = world.plain_settings();
    let mut ferry = Ferry::start(&settings);
    let state = world.path("ferry/state");
    let stolen = fs::read_to_string(state.join("ca-key.pem")).unwrap();
    let host = |name: &str, names: &[&str]| {
        let files = world.ca.files(name, &forge(&stolen, names));
        GitHost::start(world.path(name), &files, Manners::default())
    };
    let below = host("forged-below", &[BELOW]);
    let foreign = host("forged-foreign", &[FOREIGN]);
    let address = host("forged-address", &[FOREIGN_ADDRESS]);
    // They are tunnelled, so that the clients meet the forged leaves themselves.
    let settings = settings
        .route(BELOW, "tunnel", &["direct"], below.https)
        .route(FOREIGN, "tunnel", &["direct"], foreign.https)
        .route(FOREIGN_ADDRESS, "tunnel", &["direct"], address.https);
    ferry.reload(&settings);
    ferry.wait_for_event("config reloaded");

    let (ca, bundle, stranger) = (state.join("ca.pem"), ferry.bundle(), world.ca.pem_file());
    for client in CLIENTS {
        let home = world.path(client.name);
        fs::create_dir_all(&home).unwrap();
        let trusts = |host, roots| {
            client.trusts(&Visit {
                ferry: &ferry,
                host,
                roots,
                home: &home,
            })
        };
        let name = client.name;
        for host in [MAIN, STORAGE] {
            assert!(trusts(host, &ca), "{name} refuses {host}");
        }
        assert!(trusts(MAIN, &bundle), "{name} refuses the bundle");
        assert!(!trusts(MAIN, &stranger), "{name} trusts a stranger's CA");
        // Nothing but the constraints is wrong with what is forged.
        assert!(trusts(BELOW, &ca), "{name} refuses a permitted name");
        for host in [FOREIGN, FOREIGN_ADDRESS] {
            assert!(!trusts(host, &ca), "{name} takes a stolen key for {host}");
        }
    }
}

#[test]
fn real_clients_trust_a_leaf_for_an_address() {
    let world = World::new();
    let address = "192.0.2.7";
    let leaf = world.ca.files(
        "address",
        &world.ca.leaf(&[address], crate::support::ca::Flaw::None),
    );
    let host = GitHost::start(world.path("address"), &leaf, Manners::default());
    let ferry = Ferry::start(&world.settings().route(
        address,
        "terminate",
        &["direct"],
        host.https,
    ));
    let home = world.path("curl");
    fs::create_dir_all(&home).unwrap();
    let ca = world.path("ferry/state/ca.pem");
    for client in CLIENTS {
        let visit = Visit {
            ferry: &ferry,
            host: address,
            roots: &ca,
            home: &home,
        };
        assert!(client.trusts(&visit), "{} refuses an address", client.name);
    }
    ferry.wait_for_transfer(address, |event| event["front"] == "intercept");
}
