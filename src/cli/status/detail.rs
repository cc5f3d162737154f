//! All facts about one transfer, for `history ID` and the details of `status --watch`.

use std::fmt::Write as _;

use super::{
    model::{OneTransfer, StatusTransfer},
    render::{amount, rate, state},
};
use crate::{
    model::{
        columns::TextBuilder,
        size::{bytes, duration},
        stall::Flow,
    },
    track::timeline::Segment,
};

/// The width of a line.
const WIDTH: usize = 80;

/// The whole text; lines of at most 80 columns.
pub(crate) fn detail(one: &OneTransfer) -> String {
    let transfer = &one.transfer;
    let mut page = TextBuilder::new(WIDTH);
    let facts = [
        request(transfer),
        path(transfer),
        if one.running {
            progress(transfer)
        } else {
            result(transfer)
        },
        amounts(transfer),
    ];
    for (name, text) in facts.into_iter().flatten() {
        if !text.is_empty() {
            page.labelled(&format!("{name:<11} "), 12, &text);
        }
    }
    stages(&mut page, transfer);
    attempts(&mut page, transfer);
    stalls(&mut page, transfer);
    sockets(&mut page, transfer);
    page.into_text()
}

/// A name, and a text that may be empty.
type Fact = (&'static str, String);

fn request(transfer: &StatusTransfer) -> Vec<Fact> {
    let subject = transfer.subject();
    let agent = transfer.agent.as_deref().map(|agent| format!(" ({agent})"));
    let client = format!("{}{}", transfer.client, agent.unwrap_or_default());
    let path = match &transfer.path {
        path if *path == subject => String::new(),
        path => path.clone(),
    };
    vec![
        ("transfer", format!("#{}", transfer.id)),
        ("request", format!("{} {subject}", transfer.method)),
        ("path", path),
        ("host", format!("{}:{}", transfer.host, transfer.port)),
        ("client", client),
        ("front", transfer.front.clone()),
    ]
}

/// The route, the upstream and the peer.
fn path(transfer: &StatusTransfer) -> Vec<Fact> {
    let upstream = transfer.upstream.as_deref().unwrap_or("-");
    let reused = kept(transfer.reused);
    let peer = transfer.peer.as_ref();
    let peer = peer.map(|peer| format!("{peer}{reused}"));
    vec![
        ("route", format!("{}, via {upstream}", transfer.route)),
        ("rerouted", transfer.circuit.clone().unwrap_or_default()),
        ("peer", peer.unwrap_or_default()),
        ("began", transfer.began.clone()),
    ]
}

fn kept(reused: bool) -> &'static str {
    if reused { ", reused connection" } else { "" }
}

fn progress(transfer: &StatusTransfer) -> Vec<Fact> {
    vec![
        ("state", state(transfer)),
        ("rate", rate(transfer.rate())),
        ("progress", amount(transfer)),
        ("ahead", ahead(transfer.ahead)),
        (
            "time left",
            transfer.left_ms.map(duration).unwrap_or_default(),
        ),
        (
            "congestion",
            transfer.congestion.clone().unwrap_or_default(),
        ),
        ("segments", segments(&transfer.segments)),
    ]
}

/// What range connections received beyond the client's position.
fn ahead(count: u64) -> String {
    match count {
        0 => String::new(),
        count => format!("{} received, not yet sent to the client", bytes(count)),
    }
}

/// The connections of a download in segments, without the first one.
fn segments(segments: &[Segment]) -> String {
    let each = segments.iter().map(|segment| {
        let control = segment.congestion.as_deref().unwrap_or("-");
        format!("{} ({control})", bytes(segment.received))
    });
    each.collect::<Vec<_>>().join(", ")
}

fn result(transfer: &StatusTransfer) -> Vec<Fact> {
    let status = transfer.status.map(|status| format!("{status}, "));
    let result = format!("{}{}", status.unwrap_or_default(), transfer.result);
    vec![
        ("ended", transfer.ended.clone().unwrap_or_default()),
        ("result", result),
        ("rescued by", transfer.rescues()),
    ]
}

fn amounts(transfer: &StatusTransfer) -> Vec<Fact> {
    let (up, down) = (bytes(transfer.up), bytes(transfer.down));
    vec![
        ("took", duration(transfer.total_ms)),
        ("bytes", format!("{up} from the client, {down} to it")),
        ("attempts", transfer.attempts.to_string()),
        (
            "congestion",
            transfer.timeline.congestion.clone().unwrap_or_default(),
        ),
        ("segments", segments(&transfer.timeline.segments)),
    ]
}

/// The stages, each with a bar on a common scale.
fn stages(page: &mut TextBuilder, transfer: &StatusTransfer) {
    const BAR: u64 = 40;
    let steps = &transfer.timeline.stages;
    page.heading("stages");
    let total = transfer.total_ms.max(1);
    let mut last_attempt = 1;
    for (at, step) in steps.iter().enumerate() {
        let end = steps
            .get(at + 1)
            .map_or(transfer.total_ms, |next| next.at_ms);
        let ms = end.saturating_sub(step.at_ms);
        let before = step.at_ms.min(total) * BAR / total;
        let length = (ms * BAR / total)
            .max(1)
            .min(BAR.saturating_sub(before).max(1));
        let columns = |count: u64| usize::try_from(count).unwrap_or_default();
        let bar = format!(
            "{}{}",
            " ".repeat(columns(before)),
            "━".repeat(columns(length))
        );
        let again = if step.attempt > last_attempt {
            last_attempt = step.attempt;
            format!("attempt {}", step.attempt)
        } else {
            String::new()
        };
        let line = format!(
            "  {:<14} {:>7} {bar:<41}{again}",
            step.stage.as_str(),
            duration(ms)
        );
        page.line(&line);
    }
}

fn attempts(page: &mut TextBuilder, transfer: &StatusTransfer) {
    let attempts = &transfer.timeline.attempts;
    if attempts.len() < 2 && attempts.iter().all(|it| it.fault.is_none()) {
        return;
    }
    page.heading("attempts");
    for attempt in attempts {
        let reused = kept(attempt.reused);
        let line = format!(
            "  {} via {} {}{reused}",
            attempt.attempt,
            attempt.upstream.as_deref().unwrap_or("-"),
            attempt
                .peer
                .map(|peer| peer.to_string())
                .unwrap_or_default(),
        );
        page.line(&line);
        if let Some(fault) = &attempt.fault {
            page.words(4, &format!("{}; {}", fault.cause, fault.next));
            if let Some(advice) = &fault.advice {
                page.words(4, &format!("advice: {advice}"));
            }
        }
    }
}

fn stalls(page: &mut TextBuilder, transfer: &StatusTransfer) {
    page.heading("stalls");
    for stall in &transfer.timeline.stalls {
        let text = format!(
            "{}/{} {} for {}{}: {}",
            stall.leg,
            stall.stage,
            stall.verdict,
            duration(stall.idle_ms),
            if stall.over { ", over" } else { "" },
            stall.evidence
        );
        page.words(2, &text);
        page.words(4, &format!("advice: {}", stall.advice));
    }
}

fn sockets(page: &mut TextBuilder, transfer: &StatusTransfer) {
    let sides = [
        ("client", &transfer.client_socket),
        ("upstream", &transfer.origin_socket),
    ];
    page.heading("sockets, from the kernel");
    for (side, socket) in sides {
        if let Some(socket) = socket {
            page.words(2, &evidence(side, socket));
        }
    }
}

fn evidence(side: &str, socket: &Flow) -> String {
    let mut text = format!(
        "{side}: {} read, {} written, {} not acknowledged",
        bytes(socket.read),
        bytes(socket.written),
        bytes(socket.queued)
    );
    if let Some(kernel) = &socket.kernel {
        let window = kernel
            .window
            .map_or("unknown".into(), |window| bytes(window.into()));
        let _ = write!(
            text,
            ", {} segments in flight, {} retransmitted, window {window}, rto {} ms, last ACK {} ago",
            kernel.unacked,
            kernel.retransmitted,
            kernel.rto_ms,
            duration(kernel.last_ack_ms.into())
        );
    }
    text
}
