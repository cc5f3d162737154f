//! The output for people, at 120 and at 80 columns.

use std::time::{Duration, SystemTime};

use super::*;

fn line(message: &str, level: Level) -> LogLine {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(21 * 3600 + 2 * 60 + 7);
    LogLine::new(level, time, message)
}

fn upload() -> LogLine {
    line("transfer ended", Level::INFO)
        .with("id", 1207)
        .with("host", "cdn-lfs.huggingface.co")
        .with("port", 443)
        .with("upstream", "office")
        .with("method", "PUT")
        .with(
            "path",
            "/repos/4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393?X-Amz-Signature=***",
        )
        .with("attempts", 2)
        .with("status", 200)
        .with("result", "answered")
        .with("up", 67_108_864)
        .with("down", 0)
        .with("total_ms", 91_240)
}

fn fault() -> LogLine {
    line("fault", Level::WARN)
        .with("id", 7)
        .with("host", "cdn-lfs.hf.co")
        .with("port", 443)
        .with("upstream", "office")
        .with("stage", "greeting")
        .with("kind", "hop-refused-403")
        .with("code", "hop/greeting/hop-refused-403")
        .with("cause", "hop/greeting/hop-refused-403 with 192.0.2.7:3128 (it said \"no\")")
        .with("next_upstream", "tunnel")
        .with("advice", "office does not allow cdn-lfs.hf.co: ask its owner, or add another upstream to `upstreams` of route `hf-lfs`")
}

#[test]
fn a_transfer_is_one_line_that_fits_the_width() {
    let people = People::in_utc(false);
    assert_eq!(
        people.render(&upload(), 120),
        "21:02:07 ✓ PUT  cdn-lfs.huggingface.co LFS 4d7a214614 ×2                 ↑64.0 MiB  718 KiB/s  1m32s office        #1207\n"
    );
    assert_eq!(
        people.render(&upload(), 80),
        "21:02:07 ✓ PUT  cdn-lfs…ace.co LFS 4d7a214614 ×2 ↑64.0 MiB  1m32s office   #1207\n"
    );
}

#[test]
fn a_refusal_is_marked_and_a_request_for_credentials_or_an_optional_file_is_not() {
    let answered = |method: &str, path: &str, status: u16, credentials: bool| {
        let line = line("transfer ended", Level::INFO)
            .with("host", "hf.co")
            .with("method", method)
            .with("path", path)
            .with("status", status)
            .with("credentials", credentials)
            .with("result", "answered");
        People::in_utc(false).render(&line, 80).chars().nth(9)
    };
    assert_eq!(answered("PUT", "/lfs/1", 500, true), Some('!'));
    assert_eq!(answered("GET", "/m/info/refs", 401, true), Some('!'));
    assert_eq!(answered("GET", "/m/info/refs", 401, false), Some('✓'));
    assert_eq!(
        answered("GET", "/m/resolve/main/x.json", 404, true),
        Some('✓')
    );
}

#[test]
fn a_connection_without_a_readable_request_is_shown_by_its_client() {
    let unread = |message| {
        line(message, Level::WARN)
            .with("host", "-")
            .with("port", 0)
            .with("route", "other_hosts")
    };
    let ended = unread("transfer ended")
        .with("id", 7)
        .with("client", "127.0.0.1:52074")
        .with("method", "-")
        .with("path", "")
        .with("front", "unknown")
        .with("result", "client/accepted/bad-request");
    let people = People::in_utc(false);
    let shown = people.render(&ended, 120);
    let whole = "! -    127.0.0.1:52074        unreadable request";
    assert!(shown.contains(whole), "{shown}");
    assert!(!shown.contains("tunnel"), "{shown}");
    let fault = unread("fault")
        .with("leg", "client")
        .with("stage", "accepted")
        .with("kind", "bad-request")
        .with("code", "client/accepted/bad-request")
        .with(
            "cause",
            "client/accepted/bad-request with 127.0.0.1:52074 (invalid HTTP method parsed)",
        );
    let shown = people.render(&fault, 200);
    let whole = "! client, while reading the client's request: the client's request is malformed, with 127.0.0.1:52074 (invalid HTTP method parsed); giving up\n";
    assert!(shown.contains(whole), "{shown}");
    let bare = unread("fault")
        .with("kind", "bad-request")
        .with("code", "client/accepted/bad-request")
        .with(
            "cause",
            "client/accepted/bad-request (the host is not a name or an address: \"a b\")",
        );
    let shown = people.render(&bare, 200);
    assert!(shown.contains("is malformed (the host is"), "{shown}");
}

#[test]
fn a_failed_transfer_shows_its_code_uncut() {
    let mut failed = upload();
    failed
        .values
        .retain(|(name, _)| !matches!(*name, "result" | "status" | "attempts"));
    let failed = failed
        .with("result", "origin/sending-body/stalled-path-drops")
        .with("status", 504);
    let shown = People::in_utc(false).render(&failed, 120);
    assert!(shown.starts_with("21:02:07 ! PUT "), "{shown}");
    assert!(shown.contains("LFS 4d7a214614 "), "{shown}");
    assert!(shown.contains("stalled-path-drops"), "{shown}");
    // On a narrow terminal, the code has its own line.
    assert_eq!(
        People::in_utc(false).render(&failed, 80),
        "21:02:07 ! PUT  cdn-lfs…ace.co LFS 4d7a214614               1m32s office   #1207\n\
         \x20          origin/sending-body/stalled-path-drops\n"
    );
}

/// Every line of a default installation ended with `envi…ent`, and of a mirror with `envi…com`.
#[test]
fn the_upstream_of_a_transfer_is_readable_at_80_columns() {
    for (label, narrow, wide) in [
        ("environment", " env      #1207", " environment   #1207"),
        ("direct", " direct   #1207", " direct        #1207"),
        (
            "environment to hf-mirror.com",
            " hf-m…com #1207",
            " hf-mirror.com #1207",
        ),
    ] {
        let mut transfer = upload();
        transfer.values.retain(|(name, _)| *name != "upstream");
        let transfer = transfer.with("upstream", label);
        for (width, end) in [(80, narrow), (120, wide)] {
            let shown = People::in_utc(false).render(&transfer, width);
            assert!(shown.trim_end().ends_with(end), "{shown}");
        }
    }
}

#[test]
fn a_fault_is_a_sentence_and_its_advice_is_shown_once() {
    let people = People::in_utc(false);
    assert_eq!(
        people.render(&fault(), 120),
        "21:02:07 ! cdn-lfs.hf.co via office, while asking the hop to connect: the hop refused with an HTTP status (403), with\n\
         \x20          192.0.2.7:3128 (it said \"no\"); next upstream: tunnel  #7\n\
         \x20            advice: office does not allow cdn-lfs.hf.co: ask its owner, or add another upstream to `upstreams` of route\n\
         \x20            `hf-lfs`\n"
    );
    let again = people.render(&fault(), 120);
    assert!(!again.contains("advice"), "{again}");
}

/// Both lines had the whole evidence.
#[test]
fn the_fault_of_a_stall_does_not_repeat_the_evidence_of_the_line_before_it() {
    let mut stalled = fault();
    let replaced = ["leg", "stage", "kind", "code", "cause", "next_upstream"];
    stalled.values.retain(|(name, _)| !replaced.contains(name));
    let stalled = stalled
        .with("leg", "origin")
        .with("stage", "sending-body")
        .with("kind", "stalled-peer-not-reading")
        .with("code", "origin/sending-body/stalled-peer-not-reading")
        .with(
            "cause",
            "origin/sending-body/stalled-peer-not-reading with 192.0.2.7:443 (nothing moved for 20.0 s: the peer stopped reading)",
        )
        .with("wait_ms", 198);
    let shown = People::in_utc(false).render(&stalled, 120);
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = "(peer-not-reading), with 192.0.2.7:443; trying again in 198 ms #7";
    assert!(words.contains(end), "{words}");
}

#[test]
fn a_circuit_is_a_sentence() {
    let opened = line("circuit opened", Level::WARN)
        .with("host", "hf.co")
        .with("port", 443)
        .with("route", "hf-main")
        .with("upstream", "office")
        .with("by", "transfer")
        .with("failures", 1)
        .with("open_ms", 0)
        .with("probe_in_ms", 30_000)
        .with("code", "hop/connecting/refused");
    assert_eq!(
        People::in_utc(false).render(&opened, 120),
        "21:02:07 ! hf.co via office: circuit opened (hop/connecting/refused), probe in 30 s\n"
    );
}

#[test]
fn no_line_is_wider_than_the_terminal_whatever_its_fields_are() {
    let mut random = fastrand::Rng::with_seed(31);
    for _ in 0..2000 {
        let mut text = |longest: usize| -> String {
            let length = random.usize(0..longest);
            (0..length)
                .map(|_| random.choice(['a', ' ', 'é', '/', '\n', '\u{1b}']).unwrap())
                .collect()
        };
        let (host, path, upstream) = (text(80), text(200), text(40));
        let (result, advice, cause) = (text(60), text(300), text(300));
        let colours = random.bool();
        for (message, level) in [
            ("transfer ended", Level::INFO),
            ("fault", Level::WARN),
            ("stall", Level::WARN),
            ("config warning", Level::WARN),
        ] {
            let line = line(message, level)
                .with("id", random.u64(0..1_000_000))
                .with("host", host.clone())
                .with("port", random.u16(..))
                .with("method", "PROPFIND")
                .with("path", path.clone())
                .with("upstream", upstream.clone())
                .with("result", result.clone())
                .with("up", random.u64(..))
                .with("total_ms", random.u64(0..10_000_000_000))
                .with("advice", advice.clone())
                .with("cause", cause.clone());
            for width in [80, 120] {
                let shown = People::in_utc(colours).render(&line, width);
                for row in shown.lines() {
                    let bare = ["1", "2", "31", "32", "33"]
                        .iter()
                        .fold(row.replace("\u{1b}[0m", ""), |row, code| {
                            row.replace(&format!("\u{1b}[{code}m"), "")
                        });
                    assert!(!bare.contains(char::is_control), "{row:?}");
                    assert!(count(&bare) <= width, "{width}: {row:?}");
                }
            }
        }
    }
}
