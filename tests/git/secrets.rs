//! What is secret stays out of the log, the answers, the status page and the counters, at every level.

use crate::support::{
    client::{PATIENCE, write_noise},
    ferry::{Ferry, SOON},
    hop::{Hop, PASSWORD, USER},
    lfs::SIGNATURE,
    process::wait_until,
    relay::Relay,
    world::{MAIN, STORAGE, World},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

const NAME: &str = "tester";
const URL_PASSWORD: &str = "PLANTEDurlPassword3c9a";
const COOKIE: &str = "PLANTED-cookie-77aa";
const BEARER: &str = "PLANTED-bearer-91d0";

/// Every form in which a planted secret could show.
fn needles() -> Vec<String> {
    let pair = |name: &str, password: &str| BASE64_STANDARD.encode(format!("{name}:{password}"));
    vec![
        URL_PASSWORD.to_owned(),
        pair(NAME, URL_PASSWORD),
        PASSWORD.to_owned(),
        pair(USER, PASSWORD),
        SIGNATURE.to_owned(),
        COOKIE.to_owned(),
        BEARER.to_owned(),
    ]
}

#[track_caller]
fn is_clean(place: &str, text: &str) {
    assert!(!text.is_empty(), "{place} is empty: nothing was looked at");
    for needle in needles() {
        let line = text.lines().find(|line| line.contains(&needle));
        assert_eq!(line, None, "{place} has {needle}");
    }
}

#[test]
fn no_planted_secret_is_written_when_everything_succeeds() {
    let world = World::with_account(Some((NAME, URL_PASSWORD)));
    let hop = world.hop("http");
    let storage = Relay::holds_after(200_000, world.lfs.storage);
    let settings = world
        .settings()
        .trace()
        .hop("office", &hop.url)
        .route(MAIN, "terminate", &["office"], world.host.https)
        .route(STORAGE, "terminate", &["office"], storage.address);
    let ferry = Ferry::start(&settings);
    world.host.repository("secrets");
    let git = world
        .git_through(&ferry)
        .with("http.extraHeader", format!("Cookie: session={COOKIE}"));
    let work = git.work(
        world.path("work"),
        &format!("https://{NAME}:{URL_PASSWORD}@{MAIN}/secrets.git"),
    );
    work.track_lfs();
    write_noise(&work.path().join("large.bin"), 3_000_000);
    work.commit_all();
    let push = work.start(&["push", "-q", "origin", "main"]);
    assert!(
        wait_until(SOON, || storage.held() == 1),
        "no upload began:\n{}",
        ferry.log()
    );
    is_clean("the status of a running upload", &ferry.get("/-/status"));
    is_clean("the status page", &ferry.get("/-/"));
    storage.release();
    push.finish(PATIENCE).well();
    ferry.wait_for_transfer(STORAGE, |event| event["method"] == "PUT");
    is_clean("the status", &ferry.get("/-/status"));
    is_clean("the history", &ferry.get("/-/api/history"));
    is_clean("the metrics", &ferry.get("/-/metrics"));
    is_clean("the log", &ferry.log());
}

#[test]
#[expect(clippy::too_many_lines, reason = "one scene after the other")]
fn no_planted_secret_is_written_when_everything_fails() {
    let world = World::new();
    let hop = Hop::answers_407();
    let settings = world
        .settings()
        .trace()
        .hop("office", &hop.url)
        .dial("attempts = 2\nbackoff = \"20ms\"")
        .route(MAIN, "terminate", &["office"], world.host.https)
        .route(STORAGE, "tunnel", &["office"], world.lfs.storage)
        .route("plain.test", "tunnel", &["office"], world.host.http);
    let ferry = Ferry::start(&settings);
    let git = world.git();
    let (proxy, bundle) = (ferry.proxy(), ferry.bundle());
    let bearer = format!("Authorization: Bearer {BEARER}");
    let cookie = format!("Cookie: session={COOKIE}");
    let signed = format!("lfs/x?X-Amz-Signature={SIGNATURE}&X-Amz-Date=1&token={BEARER}");
    let reverse = format!("http://{}/{MAIN}/{signed}", ferry.address);
    let with_account = format!("http://{NAME}:{URL_PASSWORD}@plain.test/{signed}");
    for url in [
        &format!("https://{MAIN}/{signed}"),
        &format!("https://{STORAGE}/{signed}"),
        &with_account,
        &reverse,
        &format!("http://{}/no-such-host.test/{signed}", ferry.address),
    ] {
        let proxy = if url.contains(&ferry.address.to_string()) {
            ""
        } else {
            &proxy
        };
        let ask = [
            "-i",
            "--proxy",
            proxy,
            "--cacert",
            bundle.to_str().unwrap(),
            "-H",
            &bearer,
            "-H",
            &cookie,
            "-T",
            "/etc/hostname",
            url,
        ];
        let answer = git.curl(&ask);
        is_clean(
            url.split('?').next().unwrap(),
            &format!("answer: {}", answer.stdout),
        );
    }
    // A client that puts the account into the request line itself.
    let raw = format!(
        "GET {with_account} HTTP/1.1\r\nHost: plain.test\r\n{bearer}\r\nConnection: close\r\n\r\n"
    );
    is_clean("the answer to a raw request", &ferry.say(&raw));
    ferry.wait_for_fault("hop/greeting/hop-authentication");
    is_clean("the status", &ferry.get("/-/status"));
    is_clean("the history", &ferry.get("/-/api/history"));
    is_clean("the metrics", &ferry.get("/-/metrics"));
    is_clean("the log", &ferry.log());
    assert!(
        hop.asked()
            .concat()
            .contains(&BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}")))
    );
}
