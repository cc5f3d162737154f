//! The status as text of at most 80 columns.

use std::fmt::Write as _;

use super::model::{StatusOverview, StatusTransfer};
use crate::{
    model::{
        columns::{Page, cut},
        refusals,
        size::{self, bytes, duration},
    },
    track::history::totals::DayTotal,
};

/// The width of a line.
const WIDTH: usize = 80;
/// How many running and finished transfers, and how many groups of faults, are shown.
const RUNNING: usize = 20;
const RECENT: usize = 5;
const FAULTS: usize = 5;

/// The whole page.
pub(super) fn render(status: &StatusOverview) -> String {
    let mut page = Page::new(WIDTH);
    page.words(0, &headline(status));
    if let Some(advice) = &status.verdict.advice {
        page.words(2, &format!("advice: {advice}"));
    }
    let up = duration(status.uptime_s.saturating_mul(1000));
    let line = format!("gitferry {}, up {up}{}", status.version, today(status));
    page.words(0, &line);
    if status.users_told_apart == Some(false) {
        page.line("local users cannot be identified: see `[listen]`");
    }
    transfers(&mut page, status);
    upstreams(&mut page, status);
    recent(&mut page, status);
    refusals(&mut page, status);
    faults(&mut page, status);
    page.into_text()
}

/// The verdict, and since when.
pub(crate) fn headline(status: &StatusOverview) -> String {
    format!("{}{}", status.verdict.text, since(status))
}

/// `, since 22:05:46 UTC`, or nothing.
pub(crate) fn since(status: &StatusOverview) -> String {
    let at = status.verdict.since.as_deref();
    let at = at.and_then(|at| at.get(11..19));
    at.map(|at| format!(", since {at} UTC")).unwrap_or_default()
}

/// The transfers of today.
pub(crate) fn today(status: &StatusOverview) -> String {
    let sum = |of: fn(&DayTotal) -> u64| status.totals.iter().map(of).sum::<u64>();
    let (transfers, rescued) = (sum(|it| it.transfers), sum(|it| it.rescued));
    if transfers == 0 {
        return String::new();
    }
    let failed = match sum(|it| it.failed) {
        0 => String::new(),
        failed => format!(" ({failed} failed)"),
    };
    let saved = match rescued {
        0 => String::new(),
        rescued => format!(", {rescued} saved by a retry or another upstream"),
    };
    let noun = if transfers == 1 {
        "transfer"
    } else {
        "transfers"
    };
    format!(
        "; today {transfers} {noun}{failed}, {} sent, {} received{saved}",
        bytes(sum(|it| it.up)),
        bytes(sum(|it| it.down))
    )
}

fn transfers(page: &mut Page, status: &StatusOverview) {
    page.line(&format!("\nrunning: {}", status.running));
    for transfer in status.transfers.iter().take(RUNNING) {
        let mark = if transfer.stall.is_some() { '!' } else { ' ' };
        let what = format!("{} {}", transfer.method, transfer.subject());
        let line = format!(
            "{mark} #{:<5} {:<31} {:>17} {:>11} {:>9}",
            transfer.id,
            cut(&what, 31),
            amount(transfer),
            rate(transfer.rate()),
            transfer.left_ms.map(duration).unwrap_or_default(),
        );
        page.line(&line);
        page.words(9, &state(transfer));
        let stalled = transfer.stall.is_some();
        for stall in transfer
            .timeline
            .stalls
            .last()
            .iter()
            .filter(|it| stalled && !it.over)
        {
            page.words(9, &stall.evidence);
            let advice = format!("advice: {}", stall.advice);
            page.words(9, &advice);
        }
    }
    if status.running > RUNNING.min(status.transfers.len()) {
        let more = status.running - RUNNING.min(status.transfers.len());
        page.line(&format!("  and {more} more: see /-/api/transfers"));
    }
}

/// `↑ 12.5 MiB 20%`
pub(crate) fn amount(transfer: &StatusTransfer) -> String {
    let (arrow, done, _) = transfer.progress();
    match transfer.percent() {
        Some(percent) => format!("{arrow} {} {percent:>3}%", bytes(done)),
        None => format!("{arrow} {}", bytes(done)),
    }
}

/// `1.4 MiB/s`, or nothing.
pub(crate) fn rate(rate: u64) -> String {
    match rate {
        0 => String::new(),
        rate => size::rate(rate, 1000),
    }
}

/// Its stage or stall with the duration, the host and the upstream.
pub(crate) fn state(transfer: &StatusTransfer) -> String {
    let upstream = transfer.upstream.as_deref().unwrap_or("-");
    let mut state = match (&transfer.stall, transfer.idle_ms) {
        (Some(verdict), Some(idle)) => format!("stalled for {}: {verdict}", duration(idle)),
        _ => format!("{} for {}", transfer.stage, duration(transfer.stage_ms)),
    };
    let _ = write!(state, ", {} via {upstream}", transfer.host);
    if transfer.attempts > 1 {
        let _ = write!(state, ", attempt {}", transfer.attempts);
    }
    if let Some(circuit) = &transfer.circuit {
        let _ = write!(state, ", rerouted: {circuit}");
    }
    state + &connections(transfer)
}

/// The connections of a download and their congestion control: `, over 8 connections: 1 cubic, 7 bbr`.
fn connections(transfer: &StatusTransfer) -> String {
    let first = transfer.congestion.as_deref();
    let others = transfer.segments.iter().map(|it| it.congestion.as_deref());
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for control in std::iter::once(first).chain(others).flatten() {
        match counts.iter_mut().find(|(known, _)| *known == control) {
            Some((_, count)) => *count += 1,
            None => counts.push((control, 1)),
        }
    }
    match (&*transfer.segments, &*counts) {
        ([], []) => String::new(),
        ([], [(control, _), ..]) => format!(", congestion control {control}"),
        (beside, counts) => {
            let all = counts
                .iter()
                .map(|(control, count)| format!("{count} {control}"));
            let controls = all.collect::<Vec<_>>().join(", ");
            let colon = if controls.is_empty() { "" } else { ": " };
            format!(", over {} connections{colon}{controls}", beside.len() + 1)
        }
    }
}

fn upstreams(page: &mut Page, status: &StatusOverview) {
    page.heading("upstreams in use or unhealthy");
    for upstream in status.upstreams_that_matter() {
        let name = format!("{} via {}", upstream.route, upstream.upstream);
        page.line(&format!(
            "  {:<44} {:<9} {:>4} running",
            cut(&name, 44),
            upstream.health,
            upstream.running
        ));
        for circuit in &upstream.circuits {
            let ago = duration(circuit.failed_s_ago.saturating_mul(1000));
            let text = format!(
                "{} for {}: {}, failures: {}, the last {ago} ago",
                circuit.state, circuit.host, circuit.code, circuit.failures
            );
            page.words(4, &text);
        }
    }
}

fn recent(page: &mut Page, status: &StatusOverview) {
    page.heading("recently finished (`gitferry history` lists more)");
    for transfer in status.recent.iter().take(RECENT) {
        page.line(&finished(transfer));
    }
}

/// One line for a finished transfer.
pub(crate) fn finished(transfer: &StatusTransfer) -> String {
    let mark = if transfer.failed || transfer.refused {
        '!'
    } else {
        '✓'
    };
    let time = transfer.ended.as_deref().and_then(|at| at.get(11..19));
    let (arrow, done, _) = transfer.progress();
    let amount = match done {
        0 => String::new(),
        done => format!("{arrow} {}", bytes(done)),
    };
    let what = format!("{} {}", transfer.method, transfer.subject());
    let how = match transfer.rescues() {
        rescues if rescues.is_empty() => what,
        rescues => format!("{what} ({rescues})"),
    };
    let mut line = format!(
        "{mark} {} #{:<5} {:<28} {:<14} {:>10} {:>7}",
        time.unwrap_or("-"),
        transfer.id,
        cut(&how, 28),
        cut(&transfer.host, 14),
        amount,
        duration(transfer.total_ms)
    );
    if transfer.failed {
        let _ = write!(line, "\n           {}", cut(&transfer.result, WIDTH - 11));
    } else if let Some(status) = transfer.status.filter(|_| transfer.refused) {
        let _ = write!(line, "\n           {status}: {}", refusals::meaning(status));
    }
    line
}

/// The refusals of the sites themselves, which are no faults.
fn refusals(page: &mut Page, status: &StatusOverview) {
    page.heading("refused by the site itself");
    for refused in status.refusals.iter().take(FAULTS) {
        page.words(2, &refused.to_string());
    }
}

fn faults(page: &mut Page, status: &StatusOverview) {
    page.heading("recent faults");
    for (fault, count) in status.fault_groups().into_iter().take(FAULTS) {
        let ago = duration(fault.s_ago.saturating_mul(1000));
        let times = match count {
            1 => format!("{ago} ago"),
            count => format!("{count} times, last {ago} ago"),
        };
        let mut text = format!("{}, {times}", fault.code);
        if fault.host != "-" {
            let _ = write!(text, ": {}", fault.host);
        }
        if let Some(upstream) = &fault.upstream {
            let _ = write!(text, " via {upstream}");
        }
        page.words(2, &text);
        // The cause starts with the code, which is in the line above.
        let more = fault
            .cause
            .strip_prefix(&fault.code)
            .unwrap_or(&fault.cause);
        let more = more.trim_start_matches([':', ' ']);
        if !more.is_empty() {
            page.words(4, more);
        }
        if let Some(advice) = &fault.advice {
            page.words(4, &format!("advice: {advice}"));
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn a_download_in_segments_says_over_how_many_connections_it_comes() {
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
}
