//! Every front over every kind of upstream: clone, push and fetch, and the hashes are equal.

use std::{fs, net::SocketAddr};

use crate::support::{
    client::Git,
    ferry::Ferry,
    hop::Hop,
    settings::Settings,
    world::{MAIN, World},
};

/// What git speaks to gitferry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Front {
    Terminated,
    Tunnelled,
    Absolute,
    Reverse,
}

impl Front {
    /// The word in the log.
    fn in_log(self) -> &'static str {
        match self {
            Self::Terminated => "intercept",
            Self::Tunnelled => "tunnel",
            Self::Absolute => "absolute",
            Self::Reverse => "reverse",
        }
    }
}

/// A daemon, a git set up for one front, and the URL of `NAME.git`.
struct Way {
    ferry: Ferry,
    git: Git,
    host: &'static str,
    base: String,
}

impl Way {
    fn set_up(world: &World, front: Front, hop: Option<&Hop>) -> Self {
        let (settings, upstream) = match hop {
            Some(hop) => (world.settings().hop("office", &hop.url), "office"),
            None => (world.settings(), "direct"),
        };
        // An http hop is asked for plain requests in absolute form only where no override is in the way.
        let by_name = hop.is_some_and(|hop| hop.url.starts_with("http"));
        let plain = if by_name { "localhost" } else { "plain.test" };
        let settings = settings.route_to(
            plain,
            "tunnel",
            &[upstream],
            (!by_name).then_some(world.host.http),
        );
        let tls = if front == Front::Tunnelled {
            "tunnel"
        } else {
            "terminate"
        };
        let settings: Settings = settings.route(MAIN, tls, &[upstream], world.host.https);
        let ferry = Ferry::start(&settings);
        let through = world.git().with("http.proxy", ferry.proxy());
        let port = by_name
            .then_some(world.host.http)
            .as_ref()
            .map_or(80, SocketAddr::port);
        let (git, host, base) = match front {
            Front::Terminated => (
                through.with("http.sslCAInfo", ferry.bundle()),
                MAIN,
                format!("https://{MAIN}"),
            ),
            Front::Tunnelled => (
                through.with("http.sslCAInfo", world.ca.pem_file()),
                MAIN,
                format!("https://{MAIN}"),
            ),
            Front::Absolute => (through, plain, format!("http://{plain}:{port}")),
            Front::Reverse => (
                world.git(),
                MAIN,
                format!("http://{}/{MAIN}", ferry.address),
            ),
        };
        Self {
            ferry,
            git,
            host,
            base,
        }
    }
}

/// Clone, push and fetch; then what the log says about them.
fn carries(front: Front, scheme: Option<&str>) {
    let world = World::new();
    let repository = world.host.repository("fronts");
    let hop = scheme.map(|scheme| world.hop(scheme));
    let way = Way::set_up(&world, front, hop.as_ref());
    let url = format!("{}/fronts.git", way.base);

    let work = way.git.work(world.path("work"), &url);
    work.commit("first", 700_000);
    work.git(&["push", "-q", "origin", "main"]).well();
    let copy = way.git.clone_to(world.path("copy"), &url);
    let pushed = work.commit("second", 1_500_000);
    work.git(&["push", "-q", "origin", "main"]).well();
    copy.git(&["fetch", "-q"]).well();

    assert_eq!(copy.hash("origin/main"), pushed);
    assert_eq!(way.git.tip_of(&repository), pushed);
    copy.git(&["merge", "-q", "--ff-only", "origin/main"])
        .well();
    for name in ["first", "second"] {
        let both = [&work, &copy].map(|tree| fs::read(tree.path().join(name)).unwrap());
        assert!(both[0] == both[1], "{name} arrived changed");
    }
    agrees(&way, front, hop.as_ref());
}

/// The log names the front and the upstream, and no fault; the hop says the same.
fn agrees(way: &Way, front: Front, hop: Option<&Hop>) {
    let upstream = if hop.is_some() { "office" } else { "direct" };
    way.ferry.wait_for_transfer(way.host, |event| {
        front == Front::Tunnelled
            || event["path"]
                .as_str()
                .is_some_and(|path| path.contains("git-receive-pack"))
    });
    for event in way.ferry.events("transfer ended") {
        assert_eq!(event["front"], front.in_log(), "{event}");
        assert_eq!(event["upstream"], upstream, "{event}");
    }
    assert_eq!(way.ferry.fault_codes(), Vec::<String>::new());
    if let Some(hop) = hop {
        assert!(
            hop.log().to_lowercase().contains("connect"),
            "the hop saw nothing: {}",
            hop.log()
        );
    }
}

macro_rules! promises {
    ($($name:ident: $front:ident over $scheme:expr;)*) => {
        $(#[test]
        fn $name() {
            carries(Front::$front, $scheme);
        })*
    };
}

promises! {
    connect_terminated_directly: Terminated over None;
    connect_terminated_through_an_http_hop_with_credentials: Terminated over Some("http");
    connect_terminated_through_an_https_hop: Terminated over Some("https");
    connect_terminated_through_socks5h: Terminated over Some("socks5h");
    connect_tunnelled_directly: Tunnelled over None;
    connect_tunnelled_through_an_http_hop_with_credentials: Tunnelled over Some("http");
    connect_tunnelled_through_an_https_hop: Tunnelled over Some("https");
    connect_tunnelled_through_socks5h: Tunnelled over Some("socks5h");
    absolute_form_directly: Absolute over None;
    absolute_form_through_an_http_hop_with_credentials: Absolute over Some("http");
    absolute_form_through_an_https_hop: Absolute over Some("https");
    absolute_form_through_socks5h: Absolute over Some("socks5h");
    reverse_front_directly: Reverse over None;
    reverse_front_through_an_http_hop_with_credentials: Reverse over Some("http");
    reverse_front_through_an_https_hop: Reverse over Some("https");
    reverse_front_through_socks5h: Reverse over Some("socks5h");
}

#[test]
fn curl_with_openssl_accepts_the_local_ca_by_the_bundle() {
    let world = World::new();
    world.host.repository("fronts");
    let ferry = Ferry::start(&world.plain_settings());
    let git = world.git();
    let version = git.curl(&["-V"]).well().stdout;
    assert!(
        version.contains("OpenSSL"),
        "this test needs a curl with OpenSSL: {version}"
    );
    let url = format!("https://{MAIN}/fronts.git/info/refs?service=git-upload-pack");
    let got = git.curl_by(&ferry, &[&url]).well();
    assert!(got.stdout.contains("# service=git-upload-pack"), "{got}");
    // Without the bundle the same client refuses: what it saw was really the local CA.
    let ca = world.ca.pem_file();
    let proxy = ferry.proxy();
    let ask = ["--proxy", &proxy, "--cacert", ca.to_str().unwrap(), &url];
    assert!(git.curl(&ask).badly().stderr.contains("certificate"));
}
