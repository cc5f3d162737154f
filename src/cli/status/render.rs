//! The status as text of at most 80 columns.

use std::fmt::Write as _;

use super::model::{StatusOverview, StatusTransfer};
use crate::{
    model::{
        columns::{TextBuilder, cut},
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
    let mut page = TextBuilder::new(WIDTH);
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

fn transfers(page: &mut TextBuilder, status: &StatusOverview) {
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

fn upstreams(page: &mut TextBuilder, status: &StatusOverview) {
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
                "circuit {} for {}: {}, failures: {}, last {ago} ago",
                circuit.state, circuit.host, circuit.code, circuit.failures
            );
            page.words(4, &text);
        }
    }
}

fn recent(page: &mut TextBuilder, status: &StatusOverview) {
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
fn refusals(page: &mut TextBuilder, status: &StatusOverview) {
    page.heading("refused by the site itself");
    for refused in status.refusals.iter().take(FAULTS) {
        page.words(2, &refused.to_string());
    }
}

fn faults(page: &mut TextBuilder, status: &StatusOverview) {
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
mod tests;
