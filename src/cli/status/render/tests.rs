use serde_json::json;

use super::*;
use crate::track::timeline::Segment;

fn status() -> StatusOverview {
    serde_json::from_value(json!({
        "version": "1", "uptime_s": 75, "running": 1,
        "verdict": {
            "level": "failing", "text": "1 transfer is stalled: cdn-lfs.huggingface.co (peer-not-reading)",
            "since": "2026-11-25T22:05:46.000Z", "advice": "add another upstream",
        },
        "transfers": [{
            "id": 13, "method": "PUT", "what": "LFS 4d7a214614", "host": "cdn-lfs.huggingface.co", "upstream": "office",
            "stage": "sending-body", "stage_ms": 1, "stall": "peer-not-reading", "idle_ms": 17_000,
            "up": 13_107_200, "up_total": 62_914_560, "attempts": 2,
            "timeline": { "stalls": [{ "at": "2026-11-25T22:05:46.000Z", "verdict": "peer-not-reading", "leg": "origin", "stage": "sending-body", "idle_ms": 9000, "over": false, "evidence": "window 0 B", "advice": "wait a little, and then some more, until this line is long enough to be wrapped" }] },
        }],
        "totals": [{ "up": 1, "down": 2048, "transfers": 3, "rescued": 1 }],
        "recent": [{
            "id": 9, "method": "GET", "what": "me/a-model-with-a-very-long-name refs", "host": "cdn-lfs.huggingface.co", "down": 5000,
            "ended": "2026-11-25T22:05:46.000Z", "total_ms": 1234, "failed": true, "result": "origin/awaiting-head/reset",
        }],
        "upstreams": [
            { "route": "hf", "upstream": "direct", "health": "unused" },
            { "route": "hf-lfs", "upstream": "office", "health": "failing", "running": 1 },
        ],
        "faults": [
            { "s_ago": 3, "code": "hop/greeting/refused", "host": "hf.co", "upstream": "office",
              "cause": "hop/greeting/refused with 192.0.2.1:3128: connection refused", "advice": "check `url`" },
            { "s_ago": 9, "code": "hop/greeting/refused", "host": "hf.co", "upstream": "office", "cause": "x" },
            { "form": "of another version", "s_ago": "?" },
        ],
    }))
    .unwrap()
}

#[test]
fn the_status_begins_with_the_verdict_and_fits_80_columns() {
    let page = render(&status());
    let first = "1 transfer is stalled: cdn-lfs.huggingface.co (peer-not-reading), since 22:05:46\nUTC\n  advice: add another upstream\n";
    assert!(page.starts_with(first), "{page}");
    for line in [
        "today 3 transfers, 1 B sent, 2.0 KiB received, 1 saved",
        "! #13    PUT LFS 4d7a214614                ↑ 12.5 MiB  20%\n",
        "         stalled for 17 s: peer-not-reading, cdn-lfs.huggingface.co via",
        "  hf-lfs via office                            failing      1 running\n",
        "! 22:05:46 #9     GET me/a-model-with-a-very-… cdn-lfs.huggi…  ↓ 4.9 KiB   1.2 s\n",
        "  hop/greeting/refused, 2 times, last 3.0 s ago: hf.co via office\n    with 192.0.2.1:3128: connection refused\n    advice: check `url`\n",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }
    assert!(!page.contains("hf via direct"), "{page}");
    for line in page.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
}

#[test]
fn a_download_in_segments_shows_its_number_of_connections() {
    let mut transfer = StatusTransfer::default();
    assert!(!state(&transfer).contains("connections"));
    transfer.segments = vec![Default::default(); 5];
    assert!(state(&transfer).ends_with(", over 6 connections"));
}

#[test]
fn each_connection_shows_its_congestion_control() {
    let mut transfer = StatusTransfer {
        congestion: Some("cubic".into()),
        ..StatusTransfer::default()
    };
    assert!(state(&transfer).ends_with(" via -, congestion control cubic"));
    let bbr = Segment {
        congestion: Some("bbr".into()),
        received: 1,
    };
    transfer.segments = vec![bbr; 7];
    assert!(state(&transfer).ends_with(", over 8 connections: 1 cubic, 7 bbr"));
}

#[test]
fn the_time_left_is_what_the_daemon_estimates() {
    let status = |left: serde_json::Value| {
        let transfer = json!({
            "id": 1, "method": "GET", "what": "LFS 4d7a214614", "down": 1 << 20, "down_total": 64 << 20,
            "ahead": 40 << 20, "down_rate": 1 << 20, "left_ms": left,
        });
        let status = json!({ "running": 1, "transfers": [transfer] });
        render(&serde_json::from_value(status).unwrap())
    };
    let page = status(json!(20_000));
    assert!(
        page.contains("↓ 1.0 MiB   1%   1.0 MiB/s      20 s\n"),
        "{page}"
    );
    let page = status(json!(null));
    assert!(page.contains("↓ 1.0 MiB   1%   1.0 MiB/s\n"), "{page}");
}
