//! What must not be passed: origins that cannot prove their name, and hops that say no.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::support::{
    background::Background,
    ca::Flaw,
    client::Git,
    ferry::Ferry,
    hop::Hop,
    process::Finished,
    relay::Relay,
    world::{MAIN, World},
};

/// What stands in the request and must never leave.
const BEARER: &str = "Authorization: Bearer PLANTED-bearer-for-main";

/// An origin with a flawed certificate that counts who shook hands to the end.
struct Impostor {
    address: SocketAddr,
    fooled: Arc<AtomicUsize>,
    _background: Background,
}

impl Impostor {
    fn start(world: &World, flaw: Flaw) -> Self {
        let acceptor = world.ca.leaf(&[MAIN], flaw).acceptor(&[]);
        let background = Background::new();
        let fooled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&fooled);
        let address = background.serve(move |stream, _| {
            let (acceptor, fooled) = (acceptor.clone(), Arc::clone(&count));
            async move {
                if acceptor.accept(stream).await.is_ok() {
                    fooled.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self {
            address,
            fooled,
            _background: background,
        }
    }
}

/// `git ls-remote` of a repository on `host`, which must fail.
fn fails(world: &World, git: &Git, host: &str) -> Finished {
    let url = format!("https://{host}/x.git");
    git.run(world.root(), &["ls-remote", &url]).badly()
}

fn refuses_the_certificate(flaw: Flaw, code: &str) {
    let world = World::new();
    let impostor = Impostor::start(&world, flaw);
    let path = Relay::faultless(impostor.address);
    let ferry = Ferry::start(&world.settings_to_main(path.address));
    let git = world.git_through(&ferry).with("http.extraHeader", BEARER);
    let failed = fails(&world, &git, MAIN);
    assert!(failed.stderr.contains(code), "git was not told: {failed}");
    let fault = ferry.wait_for_fault(code);
    assert_eq!(fault["leg"], "origin", "{fault}");
    assert_eq!(
        impostor.fooled.load(Ordering::SeqCst),
        0,
        "a handshake was completed"
    );
    for sent in path.received() {
        assert_eq!(
            sent.first(),
            Some(&22),
            "something else than a handshake record came first"
        );
        let hello = 5 + usize::from(u16::from_be_bytes([sent[3], sent[4]]));
        // After the ClientHello at most a ChangeCipherSpec and an alert.
        assert!(
            sent.len() <= hello + 64,
            "{} bytes after the ClientHello",
            sent.len() - hello
        );
        let planted = BEARER.as_bytes();
        assert!(!sent.windows(planted.len()).any(|window| window == planted));
    }
}

#[test]
fn an_expired_certificate_is_refused_and_nothing_is_sent() {
    refuses_the_certificate(Flaw::Expired, "origin/handshaking/expired");
}

#[test]
fn a_self_signed_certificate_is_refused_and_nothing_is_sent() {
    refuses_the_certificate(Flaw::SelfSigned, "origin/handshaking/unknown-issuer");
}

#[test]
fn a_certificate_for_other_names_is_refused_and_nothing_is_sent() {
    refuses_the_certificate(Flaw::WrongName, "origin/handshaking/name-mismatch");
}

/// The only upstream is `hop`; the fault has `code`, and git says why in both ways.
fn names_the_hop(hop: &Hop, code: &str) {
    let world = World::new();
    let settings = world
        .settings()
        .hop("office", &hop.url)
        .dial("greet_timeout = \"1s\"\nattempts = 1")
        .route(MAIN, "terminate", &["office"], world.host.https)
        .route("tunnelled.test", "tunnel", &["office"], world.host.https);
    let ferry = Ferry::start(&settings);
    let git = world.git_through(&ferry).with("http.extraHeader", BEARER);
    let failed = fails(&world, &git, MAIN);
    assert!(failed.stderr.contains(code), "git was not told: {failed}");
    let fault = ferry.wait_for_fault(code);
    assert_eq!(fault["leg"], "hop", "{fault}");
    assert_eq!(fault["upstream"], "office", "{fault}");

    // A tunnel is dialled before CONNECT is answered: the client gets a status, not a broken handshake.
    let failed = fails(&world, &git, "tunnelled.test");
    assert!(
        failed.stderr.contains("CONNECT tunnel failed, response 50"),
        "{failed}"
    );

    assert!(!hop.asked().is_empty());
    for head in hop.asked() {
        assert!(
            head.starts_with("CONNECT "),
            "more than CONNECT was sent in clear: {head}"
        );
        assert!(!head.contains("PLANTED-bearer"), "{head}");
    }
    assert!(world.host.https_requests().is_empty());
}

#[test]
fn a_hop_that_wants_other_credentials_is_named() {
    names_the_hop(&Hop::answers_407(), "hop/greeting/hop-authentication");
}

#[test]
fn real_hops_that_get_no_credentials_are_named() {
    let world = World::new();
    for scheme in ["http", "https", "socks5h"] {
        let hop = world.hop(scheme);
        let settings = world
            .settings()
            .hop_without_credentials("office", &hop.url)
            .route(MAIN, "terminate", &["office"], world.host.https);
        let ferry = Ferry::start(&settings);
        let git = world.git_through(&ferry);
        let failed = fails(&world, &git, MAIN);
        let code = "hop/greeting/hop-authentication";
        assert!(failed.stderr.contains(code), "{scheme}: {failed}");
        assert_eq!(ferry.wait_for_fault(code)["upstream"], "office");
    }
    assert!(world.host.https_requests().is_empty());
}

#[test]
fn a_hop_that_forbids_is_named() {
    names_the_hop(&Hop::answers_403(), "hop/greeting/hop-refused-403");
}

#[test]
fn a_hop_that_cannot_reach_the_origin_is_named() {
    names_the_hop(&Hop::answers_502(), "hop/greeting/hop-refused-502");
}

#[test]
fn a_hop_that_says_nothing_is_named() {
    names_the_hop(&Hop::silent(), "hop/greeting/timed-out");
}

#[test]
fn a_hop_that_speaks_garbage_is_named() {
    names_the_hop(&Hop::garbage(), "hop/greeting/bad-answer");
}

#[test]
fn a_hop_that_says_200_and_closes_is_no_success() {
    let world = World::new();
    let hop = Hop::says_200_and_closes();
    let settings = world
        .settings()
        .hop("office", &hop.url)
        .dial("attempts = 2\nbackoff = \"50ms\"")
        .route(MAIN, "terminate", &["office"], world.host.https);
    let ferry = Ferry::start(&settings);
    let git = world.git_through(&ferry);
    let failed = fails(&world, &git, MAIN);
    assert!(failed.stderr.contains("hop/handshaking/"), "{failed}");
    assert_eq!(hop.asked().len(), 2, "as many attempts as configured");
}

#[test]
fn a_daemon_with_an_account_serves_its_users_alone_and_never_shows_the_password() {
    const PASSWORD: &str = "PLANTED-own-password";
    let world = World::new();
    world.host.repository("refusals");
    let ferry = Ferry::start(&world.plain_settings().account("me", PASSWORD));
    let url = format!("https://{MAIN}/refusals.git");
    let git = |credentials: &str| {
        world
            .git()
            .with(
                "http.proxy",
                format!("http://{credentials}{}", ferry.address),
            )
            .with("http.sslCAInfo", ferry.bundle())
            .run(world.root(), &["ls-remote", &url])
    };

    git(&format!("me:{PASSWORD}@")).well();
    for wrong in ["", "me:guess@", "you:PLANTED-own-password@"] {
        let shown = git(wrong).badly().stderr;
        assert!(shown.contains("407"), "{wrong}: {shown}");
    }
    ferry.wait_for_fault("client/accepted/unauthorized");
    // The reverse front and the pages ask too: whoever reaches the port is not yet a user.
    for path in [
        format!("/{MAIN}/refusals.git/info/refs"),
        "/-/status".into(),
    ] {
        let answer = ferry.get(&path);
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
    }
    assert!(!ferry.log().contains(PASSWORD), "{}", ferry.log());
}

#[test]
fn a_client_that_speaks_tls_or_socks_to_the_port_is_a_fault_with_that_cause() {
    let world = World::new();
    for (proxy, url, said) in [
        ("https://OWN", "https://main.test/x.git", "a TLS hello"),
        (
            "socks5h://OWN",
            "https://main.test/x.git",
            "a SOCKS5 greeting",
        ),
        ("", "https://OWN/main.test/x.git", "a TLS hello"),
    ] {
        let ferry = Ferry::start(&world.settings());
        let own = ferry.proxy().replace("http://", "");
        let git = world.git().with("http.proxy", proxy.replace("OWN", &own));
        let url = url.replace("OWN", &own);
        git.run(world.root(), &["ls-remote", &url]).badly();
        let fault = ferry.wait_for_fault("client/accepted/not-http");
        let cause = fault["cause"].as_str().unwrap_or_default();
        assert!(cause.contains(said), "{fault}");
    }
}
