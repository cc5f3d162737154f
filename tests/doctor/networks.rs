//! Networks that are broken in one way, and the verdict: what fails, and the one change that mends it.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    sync::Arc,
};

use rustls::{ServerConfig, server::WebPkiClientVerifier, version::TLS12};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::{
    island::{Island, LOST, REACHED},
    network::Network,
    run::{Said, command, doctor, doctor_by, page},
    support::{
        background::Background,
        ca::{Flaw, TestCa},
        ferry::Ferry,
        git_host::{GitHost, Manners},
        hop::{Hop, PASSWORD, USER},
        process::ClosedPort,
        relay::Relay,
        skip::is_root,
        world::{MAIN, STORAGE, World},
    },
};

/// The main site through this hop alone.
fn through(world: &World, hop: &str) -> Said {
    let settings = world
        .settings()
        .hop_without_credentials("office", hop)
        .route(MAIN, "terminate", &["office"], world.host.https);
    doctor(&settings.write("127.0.0.1:0"), &[])
}

#[track_caller]
fn assert_verdict(said: &Said, broken: &str, change: &str) {
    let found = said.broken();
    assert!(found.contains(broken), "{found}");
    let sentence = said.change("sentence");
    assert!(sentence.contains(change), "{sentence}");
}

#[test]
fn a_hop_that_does_not_run_is_not_taken_for_a_site_that_does_not() {
    let (world, port) = (World::new(), ClosedPort::new());
    let said = through(&world, &format!("http://{}", port.address));
    let change = "check `url` of `office` in `[hops]`, and that the proxy runs";
    assert_verdict(&said, "the proxy office does not run", change);
}

/// Another route goes out directly, so that this is no news to anybody.
#[test]
fn a_hop_that_does_not_run_while_the_direct_way_works_is_put_behind_it() {
    let (world, port) = (World::new(), ClosedPort::new());
    let settings = world
        .settings()
        .hop_without_credentials("office", &format!("http://{}", port.address))
        .route(MAIN, "terminate", &["office"], world.host.https)
        .route(STORAGE, "terminate", &["direct"], world.lfs.storage);
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    let change = "make route `main` try `direct` before `office`";
    assert_verdict(&said, "the proxy office does not run", change);
}

/// Whoever sends everything through a hop may have a reason: neither the name server nor the network sees the name.
#[test]
fn a_site_that_no_route_dials_directly_is_not_dialled_directly_for_a_check() {
    let (world, port) = (World::new(), ClosedPort::new());
    let relay = Relay::faultless(world.host.https);
    let settings = world
        .settings()
        .hop_without_credentials("office", &format!("http://{}", port.address))
        .route(MAIN, "terminate", &["office"], relay.address);
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    let checks = said.json["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["upstream"] == "office"));
    assert!(checks.iter().all(|check| check["upstream"] != "direct"));
    assert_eq!(relay.connections(), 0);
}

#[test]
fn a_hop_that_requires_a_password_is_reported_with_the_keys_to_set() {
    let world = World::new();
    let hop = Hop::http(world.path("tinyproxy"));
    let broken = "office requires a user name and a password, and none are configured";
    let change = "set `username` and `password_file` of `office` in `[hops]`";
    assert_verdict(&through(&world, &hop.url), broken, change);
}

#[test]
fn a_hop_that_cannot_reach_the_site_does_not_forbid_it() {
    let world = World::new();
    let said = through(&world, &Hop::answers_502().url);
    assert_verdict(
        &said,
        "office cannot reach this host",
        "add another upstream",
    );
    let said = through(&world, &Hop::hangs_up().url);
    assert_verdict(
        &said,
        "office does not allow this host or cannot reach it",
        "ask its owner",
    );
}

#[test]
fn a_middlebox_that_is_known_by_name_is_named_and_its_ca_asked_for() {
    let world = World::new();
    let ca = TestCa::named(world.path("middlebox"), "FortiGate CA");
    let leaf = ca.files("main", &ca.leaf(&[MAIN], Flaw::None));
    let office = GitHost::start(world.path("office"), &leaf, Manners::default());
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], office.https);
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    let change = "get the CA certificate of a Fortinet firewall";
    assert_verdict(&said, "a Fortinet firewall inspects TLS", change);
    assert!(
        said.change("toml").contains("extra_roots"),
        "{:#}",
        said.json
    );
}

/// The daemon trusts it, and so does doctor.
#[test]
fn a_server_whose_own_certificate_the_route_lists_works() {
    let world = World::new();
    let ca = TestCa::named(world.path("elsewhere"), "nobody's CA");
    let leaf = ca.files("main", &ca.leaf(&[MAIN], Flaw::SelfSigned));
    let office = GitHost::start(world.path("office"), &leaf, Manners::default());
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], office.https)
        .route_line(&format!("roots = [\"{}\"]", leaf.certificate.display()));
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    for check in ["tls", "certificate", "http"] {
        assert_eq!(said.state(MAIN, "direct", check), "ok", "{:#}", said.json);
    }
    assert!(said.verdict("works").contains(MAIN), "{:#}", said.json);
}

/// With TLS 1.2 a server ends the handshake of a client without a certificate.
#[test]
fn a_site_that_asks_for_a_client_certificate_gets_the_one_of_its_route() {
    let world = World::new();
    let ca = TestCa::named(world.path("clients"), "a CA for clients");
    let me = ca.files("me", &ca.leaf(&["me.test"], Flaw::None));
    fs::set_permissions(&me.key, fs::Permissions::from_mode(0o600)).unwrap();
    let leaf = ca.leaf(&[MAIN], Flaw::SelfSigned);
    let site = ca.files("site", &leaf);
    let verifier = WebPkiClientVerifier::builder(ca.roots()).build().unwrap();
    let config = ServerConfig::builder_with_protocol_versions(&[&TLS12])
        .with_client_cert_verifier(verifier)
        .with_single_cert(leaf.chain(), leaf.private_key());
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let background = Background::new();
    let address = background.serve(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut client) = acceptor.accept(stream).await else {
                return;
            };
            let _ = client.read(&mut [0; 4096]).await;
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], address)
        .route_line(&format!("roots = [\"{}\"]", site.certificate.display()))
        .route_line(&format!(
            "client_certificate = \"{}\"\nclient_key = \"{}\"",
            me.certificate.display(),
            me.key.display()
        ));
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    for check in ["tls", "certificate", "http"] {
        assert_eq!(said.state(MAIN, "direct", check), "ok", "{:#}", said.json);
    }
}

/// As a Wi-Fi does it before one has logged in: only port 80 answers.
#[test]
fn a_portal_that_closes_the_tls_port_is_recognised_by_port_80() {
    if !is_root("to listen on port 80 of an address of loopback") {
        return;
    }
    let world = World::new();
    let [a, b, c] = [(); 3].map(|()| fastrand::u8(2..250));
    let portal = TcpListener::bind((Ipv4Addr::new(127, a, b, c), 80)).unwrap();
    let background = Background::new();
    let _address = background.serve_on(portal, |mut client, _| async move {
        let _ = client.read(&mut [0; 4096]).await;
        let page = "HTTP/1.1 302 Found\r\nLocation: http://login.portal.test/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = client.write_all(page.as_bytes()).await;
    });
    let settings = world
        .settings()
        .route_to(MAIN, "terminate", &["direct"], None)
        .route_line(&format!("resolve = {{ \"{MAIN}\" = \"127.{a}.{b}.{c}\" }}"));
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    let broken = "the log-in page of this network answers instead";
    assert_verdict(&said, broken, "open http://login.portal.test/ in a browser");
}

#[test]
fn a_blocked_storage_is_reported_beside_the_site_that_works() {
    let (world, port) = (World::new(), ClosedPort::new());
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], world.host.https)
        .route(STORAGE, "terminate", &["direct"], port.address);
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    assert!(said.verdict("works").contains(MAIN), "{:#}", said.json);
    let change = "add another upstream to `upstreams` of route `storage`";
    assert_verdict(&said, "storage.test (storage) fails directly", change);
}

#[test]
fn a_path_that_loses_large_packets_works_once_the_change_is_applied() {
    let world = World::new();
    let Some((_network, _relay, far)) = Network::losing_large_packets(world.host.https) else {
        return;
    };
    let settings = world.settings().route(MAIN, "terminate", &["direct"], far);
    let config = settings.write("127.0.0.1:0");
    let said = doctor(&config, &[]);
    let change = "make route `main` send smaller packets";
    assert_verdict(&said, "the path loses large packets", change);
    let applied = page(&config, &["--apply"], config.parent().unwrap());
    assert!(applied.stdout.contains("\nchanged"), "{applied}");
    let said = doctor(&config, &[]);
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
}

/// The main site by its name, on this island.
fn by_name(world: &World, island: &Island) -> Said {
    let settings = world.settings();
    let settings = settings.route_to(MAIN, "terminate", &["direct"], None);
    let config = settings.write("127.0.0.1:0");
    doctor_by(&mut island.runs(&command(&config, &[])))
}

/// Checks the verdict where the name resolves to `address`.
fn assert_odd(address: &str, broken: &str, change: &str) {
    let Some(island) = Island::new() else {
        return;
    };
    let island = island.resolves_to(&[address.parse().unwrap()]);
    let said = by_name(&World::new(), &island);
    let broken = format!("main.test resolves to {address}, {broken}");
    assert_verdict(&said, &broken, change);
}

#[test]
fn a_name_that_resolves_to_a_private_address_is_reported_with_it() {
    let change =
        "the name server of this network gives a wrong address: set `resolve` of route `main`";
    assert_odd("10.1.2.3", "a private address", change);
}

#[test]
fn a_fake_address_whose_vpn_tool_does_not_run_is_reported() {
    let change = "check that the local VPN tool runs";
    assert_odd("198.18.0.7", "a fake address of a local VPN tool", change);
}

#[test]
fn a_name_that_a_dns_filter_blocks_is_reported() {
    let change = "remove main.test from the hosts file or the DNS filter of this network";
    assert_odd("0.0.0.0", "this machine itself", change);
}

#[test]
fn a_name_server_that_does_not_answer_is_not_taken_for_a_name_that_does_not_exist() {
    let Some(island) = Island::new() else {
        return;
    };
    let said = by_name(&World::new(), &island);
    let change = "use a hop that resolves names itself (`http://` or `socks5h://`), or set `resolve` of route `main`";
    assert_verdict(&said, "the name server does not answer", change);
}

/// gitferry races the families (RFC 8305), so that nothing is to be changed.
#[test]
fn a_site_whose_ipv6_is_a_black_hole_works_and_the_check_says_what_is_lost() {
    let Some(island) = Island::new() else {
        return;
    };
    let island = island.resolves_to(&[IpAddr::V6(LOST), IpAddr::V4(REACHED)]);
    let world = World::new();
    let _site = Relay::holds_after_on(island.listen(443), usize::MAX, world.host.https);
    let said = by_name(&world, &island);
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
    let works = said.verdict("works");
    for words in [
        "main.test can be reached directly",
        "over one address family alone (v4 ",
    ] {
        assert!(works.contains(words), "{works}");
    }
    assert!(works.contains(", v6 timed-out)"), "{works}");
    assert_eq!(said.verdict("broken"), "");
    assert_eq!(said.state(MAIN, "direct", "tcp"), "warning");
}

/// The daemon was started where `HTTPS_PROXY` has a password, and doctor runs in another shell: nothing is broken.
#[test]
fn a_proxy_whose_password_only_the_daemon_has_is_not_called_broken() {
    let world = World::new();
    let hop = world.hop("http");
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["environment"], world.host.https);
    let (_, place) = hop.url.split_once("://").unwrap();
    let proxy = format!("http://{USER}:{PASSWORD}@{place}");
    let ferry = Ferry::start_with(&settings, &[("HTTPS_PROXY", &proxy)]);
    let config = settings.write(&ferry.address.to_string());
    let said = doctor_by(&mut command(&config, &[MAIN]));
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
    assert_eq!(said.verdict("broken"), "", "{:#}", said.json);
    let of_host = said.json["checks"].as_array().unwrap().iter();
    let of_host = of_host.filter(|check| check["host"] == MAIN);
    let mut unknown = 0;
    for check in of_host {
        let state = check["state"].as_str().unwrap();
        assert!(!["failed", "warning"].contains(&state), "{check:#}");
        unknown += usize::from(check["shown"] == "password unknown");
    }
    assert!(unknown > 3, "{:#}", said.json);
    let works = said.verdict("works");
    assert!(
        works.contains("main.test could not be checked: only the daemon has the password"),
        "{works}"
    );
    assert!(!works.contains("can be reached"), "{works}");
    // In the daemon's own shell it is checked.
    let said = doctor_by(command(&config, &[MAIN]).env("HTTPS_PROXY", &proxy));
    let works = said.verdict("works");
    assert!(works.contains("can be reached"), "{:#}", said.json);
    assert!(!said.finished.stdout.contains(PASSWORD));
}

/// The password of another proxy is no reason to leave this one unchecked.
#[test]
fn a_proxy_for_which_the_daemon_has_no_password_either_is_broken() {
    let world = World::new();
    let hop = world.hop("http");
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["environment"], world.host.https);
    let other = format!("http://{USER}:{PASSWORD}@proxy.test:3128");
    let variables = [("HTTPS_PROXY", hop.url.as_str()), ("http_proxy", &other)];
    let ferry = Ferry::start_with(&settings, &variables);
    let config = settings.write(&ferry.address.to_string());
    let broken = doctor_by(&mut command(&config, &[MAIN])).broken();
    assert!(
        broken.contains("requires a user name and a password"),
        "{broken}"
    );
}
