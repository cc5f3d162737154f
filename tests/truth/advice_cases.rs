//! The cases: a fault, its advice, and how to follow it.

mod client;
mod routes;
mod tls;

use std::{any::Any, net::SocketAddr, os::unix::fs::PermissionsExt as _, time::Duration};

use self::{
    client::{
        bundle, curl, large_head, named, old_curl, older_ca, reverse, scheme, with_large_head,
    },
    routes::{
        broken_http2, mirror_before_the_site, through_another, trusted_mirror, with_password,
    },
};
use crate::{
    advice::{AdviceCase, Change, git},
    clients::Client,
    faults::{self, Inject},
    programs::{Bench, http, socks},
    scene::{Exposure, Scene, Victim},
    servers::{self, Pauses},
    support::{
        ca::Flaw,
        ferry::Ferry,
        hop::Hop,
        process::{ClosedPort, Finished},
        relay::Relay,
        settings::Settings,
        world::{MAIN, STORAGE},
    },
};

pub(crate) use tls::FAKETIME;
use tls::*;

const QUICK: &str =
    "attempts = 1\nconnect_timeout = \"1s\"\ngreet_timeout = \"1s\"\nhandshake_timeout = \"1s\"";
const OTHER: &str =
    "add another upstream to `upstreams` of route `main`, such as a hop of `[hops]`";

macro_rules! advice_cases {
    ($($kind:literal, $name:literal: $make:expr, $act:expr => $advice:expr;)*) => {
        &[$( AdviceCase { kind: $kind, name: $name, advice: $advice, make: $make, act: $act }, )*]
    };
}

/// The table.
pub(crate) const ADVICE_CASES: &[AdviceCase] = advice_cases! {
    "refused", "at the origin": |s, c| another(s, c, faults::refused), git => OTHER;
    "unreachable", "at the origin": |s, c| another(s, c, faults::unreachable), git => OTHER;
    "timed-out", "TCP": |s, c| another(s, c, faults::black_hole), git => OTHER;
    "timed-out", "TLS": |s, c| another(s, c, faults::handshake_silent), git => OTHER;
    "reset", "TLS": |s, c| another(s, c, faults::handshake_reset), git => OTHER;
    "closed-early", "TLS": |s, c| another(s, c, faults::handshake_closed), git => OTHER;
    "bad-answer", "no TLS": |s, c| another(s, c, faults::garbage), git => OTHER;
    "bad-answer", "a captive portal": logged_in, git => "a captive portal does that: log in to it";
    "hop-refused", "403": |s, c| another_hop(s, c, &Hop::answers_403), git => OTHER;
    "hop-refused", "502": |s, c| another_hop(s, c, &Hop::answers_502), git => OTHER;
    "target-refused", "it hangs up": |s, c| another_hop(s, c, &Hop::hangs_up), git => OTHER;
    "socks-refused", "dante": dante, git => OTHER;
    "timed-out", "the hop": |s, c| another_hop(s, c, &Hop::silent), git => OTHER;
    "name-unknown", "by `resolve`": resolved, git => "or set `resolve` of route `main`";
    "name-unknown", "by a hop": looked_up_by_a_hop, git => "use a hop that resolves names itself (`http://` or `socks5h://`)";
    "name-unknown", "of a hop": |s, c| hop_url(s, c, "http://proxy.nowhere.invalid:3128"), git => "check the host name in `url` of `office` in `[hops]`";
    "refused", "at a hop": dead_hop, git => "check `url` of `office` in `[hops]`, and that the proxy runs";
    "hop-authentication", "Basic": password, git => "set `username` and `password_file` of `office` in `[hops]`";
    "hop-authentication", "cntlm's own": cntlm_password, git => "if it is cntlm or px, check the password in its own config";
    "hop-authentication", "NTLM": ntlm, git => "run cntlm or px, which log in to such a proxy, and put their address into `url` of `office`";
    "unknown-issuer", "a middlebox": middlebox, git => "add its CA to `extra_roots` of `[trust]`";
    "unknown-issuer", "squid with ssl-bump": intercepting_squid, named_host => "add its CA to `extra_roots` of `[trust]`";
    "unknown-issuer", "an https hop": https_hop, git => "add the CA of the proxy in `url` of `office` in `[hops]` to `extra_roots` of `[trust]`";
    "unknown-issuer", "self-signed": self_signed, git => "add that to `roots` of route `main`";
    "expired", "renewed": |s, c| renewed(s, c, Flaw::Expired), git => "the owner of main.test must renew its certificate";
    "not-yet-valid", "the clock": clock, reverse => "check this machine's clock";
    "bad-certificate", "its signature": bad_signature, git => OTHER;
    "name-mismatch", "by `resolve`": |s, c| renewed(s, c, Flaw::WrongName), git => "correct `resolve` of route `main`";
    "alert", "a client certificate": client_certificate, git => "set `client_certificate` and `client_key` of route `main`";
    "alert", "old TLS": old_tls, curl => "set `tls = \"tunnel\"` of route `main`";
    "no-common-tls", "TLS 1.1": tls_1_1, old_curl => "set `tls = \"tunnel\"` of route `main`";
    "http2", "streams are reset": broken_http2, git => "set `http = \"1.1\"` of route `main`";
    "credentials-withheld", "a mirror that is trusted": trusted_mirror, with_password => "set `credentials = \"pass\"` beside `mirror` in route `main`";
    "credentials-withheld", "the site itself": mirror_before_the_site, with_password => "if not, add an upstream to main.test itself";
    "loop", "two daemons": plain, through_another => "points back at gitferry: `gitferry check` shows it";
    "not-http", "the scheme": plain, scheme => "write `http://` before gitferry's address in the client's proxy setting";
    "unauthorized", "curl": account, named => "give the client the `username` and password of `[listen]`";
    "denied", "by its route": denied_route, git => "to allow main.test, change `tls` of route `main`";
    "too-large", "a large head": large_head, with_large_head => "raise `max_head` of `[listen]`";
    "closed-early", "an older CA of ours": plain, older_ca => "run `gitferry setup all`";
    "alert", "our CA": plain, bundle => "give the client the file that `gitferry ca path --bundle` prints";
    "peer-not-reading", "a storage that stops": frozen_storage, push => "add another upstream to `upstreams` of route `storage`";
    "no-answer", "a slow site": |s, c| slow(s, c, "answer_after"), git => "raise `answer_after` of `stall` in route `main`";
    "answer-stopped", "a site that pauses": |s, c| slow(s, c, "after"), git => "raise `after` of `stall` in route `main`";
};

fn base(scene: &Scene, cell: &str) -> Settings {
    scene.settings(cell).dial(QUICK)
}

fn direct(settings: Settings, to: Option<SocketAddr>) -> Settings {
    settings.route_to(MAIN, "terminate", &["direct"], to)
}

fn change(before: Settings, after: Settings, keep: impl Any) -> Change {
    Change {
        before,
        after,
        variables: Vec::new(),
        keep: Box::new(keep),
    }
}

fn victim(scene: &Scene) -> Victim {
    scene.victim(Client::Git, Exposure::Site)
}

/// A broken path, and a hop that is added behind it.
fn another(scene: &Scene, cell: &str, inject: Inject) -> Change {
    let broken = inject(scene, cell, victim(scene));
    let hop = Hop::leads_to(scene.world.host.https);
    let before = direct(base(scene, cell), broken.at);
    let after = base(scene, cell)
        .hop_without_credentials("tunnel", &hop.url)
        .route_to(MAIN, "terminate", &["direct", "tunnel"], broken.at);
    change(before, after, (broken, hop))
}

fn another_hop(scene: &Scene, cell: &str, hop: &dyn Fn() -> Hop) -> Change {
    let (office, origin) = (hop(), scene.world.host.https);
    let tunnel = Hop::leads_to(origin);
    let with = || base(scene, cell).hop_without_credentials("office", &office.url);
    let before = with().route(MAIN, "terminate", &["office"], origin);
    let after = with().hop_without_credentials("tunnel", &tunnel.url).route(
        MAIN,
        "terminate",
        &["office", "tunnel"],
        origin,
    );
    change(before, after, (office, tunnel))
}

/// The portal lets everything through once the user has logged in.
fn logged_in(scene: &Scene, cell: &str) -> Change {
    let broken = faults::portal(scene, cell, victim(scene));
    let before = direct(base(scene, cell), broken.at);
    let after = direct(base(scene, cell), Some(scene.world.host.https));
    change(before, after, broken)
}

fn resolved(scene: &Scene, cell: &str) -> Change {
    let after = direct(base(scene, cell), Some(scene.world.host.https));
    change(direct(base(scene, cell), None), after, ())
}

fn looked_up_by_a_hop(scene: &Scene, cell: &str) -> Change {
    let hop = Hop::leads_to(scene.world.host.https);
    let after = base(scene, cell).hop_without_credentials("tunnel", &hop.url);
    let after = after.route_to(MAIN, "terminate", &["tunnel"], None);
    change(direct(base(scene, cell), None), after, hop)
}

fn hop_url(scene: &Scene, cell: &str, wrong: &str) -> Change {
    let hop = Hop::leads_to(scene.world.host.https);
    let by = |url: &str| {
        let settings = base(scene, cell).hop_without_credentials("office", url);
        settings.route(MAIN, "terminate", &["office"], scene.world.host.https)
    };
    change(by(wrong), by(&hop.url), hop)
}

fn dead_hop(scene: &Scene, cell: &str) -> Change {
    let port = ClosedPort::new();
    let change = hop_url(scene, cell, &format!("http://{}", port.address));
    let keep = Box::new((change.keep, port));
    Change { keep, ..change }
}

fn password(scene: &Scene, cell: &str) -> Change {
    let (hop, origin) = (
        Hop::http(scene.place(cell).join("hop")),
        scene.world.host.https,
    );
    let before = base(scene, cell).hop_without_credentials("office", &hop.url);
    let before = before.route(MAIN, "terminate", &["office"], origin);
    let after = base(scene, cell).hop("office", &hop.url);
    let after = after.route(MAIN, "terminate", &["office"], origin);
    change(before, after, hop)
}

/// A real squid that accepts NTLM only, and a real cntlm before it.
fn ntlm(scene: &Scene, cell: &str) -> Change {
    let bench = bench(scene, cell);
    let squid = http::squid_with_ntlm(&bench);
    let by = |url: &str| {
        let settings = base(scene, cell).hop_without_credentials("office", url);
        settings.route(MAIN, "terminate", &["office"], scene.world.host.https)
    };
    let before = by(&squid.url);
    let cntlm = http::cntlm_before(&bench, "NTLM2SR", squid);
    change(before, by(&cntlm.url), cntlm)
}

fn bench<'s>(scene: &'s Scene, cell: &str) -> Bench<'s> {
    // squid reads its files as a user of its own.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(scene.world.root(), open).unwrap();
    Bench {
        world: &scene.world,
        dir: scene.place(cell),
    }
}

fn intercepting_squid(scene: &Scene, cell: &str) -> Change {
    let squid = http::trusted_squid_that_intercepts(&bench(scene, cell));
    let settings = || {
        let settings = base(scene, cell).hop_without_credentials("office", &squid.url);
        settings.route_to("localhost", "terminate", &["office"], None)
    };
    let after = settings().extra_root(squid.root.as_deref().unwrap());
    change(settings(), after, squid)
}

/// The git host by a name that squid resolves too.
fn named_host(scene: &Scene, cell: &str, ferry: &Ferry, _: bool) -> Finished {
    let url = format!(
        "https://localhost:{}/lfs.git",
        scene.world.host.https.port()
    );
    let git = scene.git(cell, ferry);
    git.run(scene.world.root(), &["ls-remote", &url])
}

fn plain(scene: &Scene, cell: &str) -> Change {
    let settings = || direct(base(scene, cell), Some(scene.world.host.https));
    change(settings(), settings(), ())
}

fn account(scene: &Scene, cell: &str) -> Change {
    let settings = || {
        let settings = base(scene, cell).account("me", "planted-password");
        direct(settings, Some(scene.world.host.https))
    };
    change(settings(), settings(), ())
}

/// A site that takes two seconds; the key is first too short for it, and then not.
fn slow(scene: &Scene, cell: &str, key: &str) -> Change {
    let pause = Duration::from_secs(2);
    let pauses = match key {
        "after" => Pauses {
            within: pause,
            ..Pauses::default()
        },
        _ => Pauses {
            before: pause,
            ..Pauses::default()
        },
    };
    let (at, kept) = front(scene, &scene.world.ca, Flaw::None, pauses);
    let with = |limit: &str| {
        let line = format!("stall = {{ {key} = \"{limit}\", floor = \"0 B\", action = \"fail\" }}");
        direct(base(scene, cell), Some(at)).route_line(&line)
    };
    change(with("1s"), with("60s"), kept)
}

/// A dante whose rules allow nothing.
fn dante(scene: &Scene, cell: &str) -> Change {
    let (office, origin) = (
        socks::dante(&bench(scene, cell), "block"),
        scene.world.host.https,
    );
    let tunnel = Hop::leads_to(origin);
    let by = |upstreams: &[&str]| {
        let settings = base(scene, cell)
            .hop_without_credentials("office", &office.url)
            .hop_without_credentials("tunnel", &tunnel.url);
        settings.route(MAIN, "terminate", upstreams, origin)
    };
    let (before, after) = (by(&["office"]), by(&["office", "tunnel"]));
    change(before, after, (office, tunnel))
}

/// cntlm in a dialect that its proxy refuses, and in the right one.
fn cntlm_password(scene: &Scene, cell: &str) -> Change {
    let bench = bench(scene, cell);
    let by = |url: &str| {
        let settings = base(scene, cell).hop_without_credentials("office", url);
        settings.route(MAIN, "terminate", &["office"], scene.world.host.https)
    };
    let (wrong, right) = (
        http::cntlm_before(&bench, "NTLMv2", http::squid_with_ntlm(&bench)),
        http::cntlm_before(&bench, "NTLM2SR", http::squid_with_ntlm(&bench)),
    );
    change(by(&wrong.url), by(&right.url), (wrong, right))
}

/// The last byte of the certificate, which is one of its signature's, is another one.
fn bad_signature(scene: &Scene, cell: &str) -> Change {
    let leaf = scene.world.ca.leaf(&[MAIN], Flaw::None);
    let (at, kept) = servers::origin(leaf.with_bad_signature(), servers::Behaviour::Silent);
    let hop = Hop::leads_to(scene.world.host.https);
    let before = direct(base(scene, cell), Some(at));
    let after = base(scene, cell)
        .hop_without_credentials("tunnel", &hop.url)
        .route_to(MAIN, "terminate", &["tunnel", "direct"], Some(at));
    change(before, after, (kept, hop))
}

fn denied_route(scene: &Scene, cell: &str) -> Change {
    let by = |tls| base(scene, cell).route(MAIN, tls, &["direct"], scene.world.host.https);
    change(by("deny"), by("terminate"), ())
}

/// The main site is healthy, and the storage is behind `storage`.
fn storage(scene: &Scene, cell: &str, upstreams: &[&str], storage: SocketAddr) -> Settings {
    base(scene, cell)
        .section("[stall]\nafter = \"2s\"\nanswer_after = \"20s\"\nfloor = \"0 B\"")
        .route(MAIN, "terminate", &["direct"], scene.world.host.https)
        .route(STORAGE, "terminate", upstreams, storage)
}

fn frozen_storage(scene: &Scene, cell: &str) -> Change {
    let origin = scene.world.lfs.storage;
    let relay = Relay::holds_after_on(servers::narrow(), 300_000, origin);
    let hop = Hop::leads_to(origin);
    let before = storage(scene, cell, &["direct"], relay.address);
    let after = storage(scene, cell, &["direct", "tunnel"], relay.address)
        .hop_without_credentials("tunnel", &hop.url);
    change(before, after, (relay, hop))
}

/// git-lfs pushes a new object.
fn push(scene: &Scene, cell: &str, ferry: &Ferry, followed: bool) -> Finished {
    let work = scene.git(cell, ferry).work(
        scene.place(cell).join(format!("work-{followed}")),
        crate::scene::SEEDED,
    );
    work.track_lfs();
    crate::support::client::write_noise(&work.path().join("object.bin"), 2_000_000);
    work.commit_all();
    work.git(&[
        "push",
        "-q",
        "origin",
        &format!("HEAD:refs/heads/{cell}-{followed}"),
    ])
}
