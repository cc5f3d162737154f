//! Faults, stalls and other lines as sentences.

use std::fmt::Write as _;

use crate::{
    model::{Stage, fault, refusals::ObservedResponse, resource, size},
    track::log::LogLine,
};

/// The resource of a transfer, with its status where that is an error, and the number of attempts.
pub(super) fn resource(line: &LogLine, status: Option<u64>) -> String {
    let method = line.text("method").unwrap_or_default();
    let path = line.text("path").unwrap_or_default();
    let mut what = resource::describe(method, path).into_owned();
    if let Some(status) = status {
        let _ = write!(what, " {status}");
    }
    if let Some(attempts) = line.number("attempts").filter(|attempts| *attempts > 1) {
        let _ = write!(what, " ×{attempts}");
    }
    what
}

/// True for a transfer that `status` and the page mark as unsuccessful.
pub(super) fn is_unsuccessful(line: &LogLine, status: u64) -> bool {
    let response = ObservedResponse {
        host: line.text("host").unwrap_or_default(),
        status: u16::try_from(status).unwrap_or_default(),
        method: line.text("method").unwrap_or_default(),
        path: line.text("path").unwrap_or_default(),
        // Only a 401 has the field.
        credentials: line.bool_field("credentials") != Some(false),
    };
    response.is_unsuccessful()
}

/// The size and, with `rate`, the rate of the larger direction.
pub(super) fn numbers(line: &LogLine, rate: bool) -> String {
    let [up, down, ms] = ["up", "down", "total_ms"].map(|name| line.number(name).unwrap_or(0));
    let (arrow, bytes) = if up > down {
        ('↑', up)
    } else {
        ('↓', down)
    };
    let mut text = match bytes {
        0 => format!("{:9}", ""),
        bytes => format!("{:>9}", format!("{arrow}{}", size::bytes(bytes))),
    };
    if rate {
        // A rate over a few bytes has no meaning.
        let shown = (bytes >= 64 << 10).then(|| size::rate(bytes, ms));
        let _ = write!(text, " {:>10}", shown.unwrap_or_default());
    }
    text
}

/// The host, with its port where that is not the default; the client's address where no request named a host.
pub(super) fn host(line: &LogLine) -> String {
    let host = match line.text("host") {
        None | Some("-") => line.text("client").unwrap_or("client"),
        Some(host) => host,
    };
    match line.number("port") {
        None | Some(0 | 80 | 443) => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

/// The host and the upstream.
pub(super) fn place(line: &LogLine) -> String {
    match line.text("upstream") {
        Some(upstream) => format!("{} via {upstream}", host(line)),
        None => host(line),
    }
}

pub(super) fn idle(line: &LogLine) -> String {
    size::duration(line.number("idle_ms").unwrap_or(0))
}

/// `hf.co via office, hop leg, while asking the hop to connect: the hop refused (403), with 192.0.2.7:3128; next upstream: tunnel`.
pub(super) fn fault_sentence(line: &LogLine) -> String {
    let kind = line.text("kind").unwrap_or("-");
    let (meaning, value) = fault::meaning(kind).unwrap_or((kind, None));
    let leg = match line.text("leg") {
        Some("hop") => ", hop leg",
        Some("client") if line.text("host") != Some("-") => ", client leg",
        _ => "",
    };
    let meaning = fault::lower_first(meaning.trim_end_matches('.'));
    let mut text = format!("{}{leg}, {}: {meaning}", place(line), during(line));
    if let Some(value) = value {
        let _ = write!(text, " ({value})");
    }
    let code = line.text("code").unwrap_or_default();
    let cause = line.text("cause").unwrap_or_default();
    let rest = cause.strip_prefix(code).unwrap_or(cause);
    let mut rest = rest.trim_start_matches([' ', ':']);
    // The line of the stall, just before, has the evidence.
    if kind.starts_with("stalled-") {
        rest = rest.split(" (").next().unwrap_or(rest);
    }
    let separator = match rest.chars().next() {
        None => "",
        Some('(') => " ",
        Some(_) => ", ",
    };
    let _ = write!(text, "{separator}{}", fault::without_numbers(rest));
    let next = match (line.text("next_upstream"), line.number("wait_ms")) {
        (Some(upstream), _) => format!("next upstream: {upstream}"),
        (None, Some(ms)) => format!("trying again in {}", size::duration(ms)),
        (None, None) => "giving up".into(),
    };
    text + "; " + &next
}

pub(super) fn stall_sentence(line: &LogLine) -> String {
    let action = match line.text("action") {
        Some("fail") => "gitferry ends the transfer",
        Some("failover") => "gitferry tries again where that is safe",
        _ => "gitferry waits",
    };
    format!(
        "{}: nothing moved for {} {}: {}; {action}",
        place(line),
        idle(line),
        during(line),
        line.text("evidence").unwrap_or_default()
    )
}

/// `hf.co via office: circuit opened (hop/connecting/refused), probe in 30 s`.
pub(super) fn circuit_sentence(line: &LogLine) -> String {
    let mut text = format!("{}: {}", place(line), line.message());
    if let Some(code) = line.text("code") {
        let _ = write!(text, " ({code})");
    }
    if let Some(ms) = line.number("open_ms").filter(|ms| *ms > 0) {
        let _ = write!(text, " after {}", size::duration(ms));
    }
    if let Some(ms) = line.number("probe_in_ms") {
        let _ = write!(text, ", probe in {}", size::duration(ms));
    }
    text
}

/// A response that has not begun but may still come.
pub(super) fn awaited_sentence(line: &LogLine) -> String {
    let limit = size::duration(line.number("limit_ms").unwrap_or(0));
    let then = match line.text("action") {
        Some("fail") => format!("gitferry ends the transfer after {limit}"),
        Some("failover") => {
            format!("after {limit} gitferry tries again where that is safe")
        }
        _ => "gitferry waits".into(),
    };
    let evidence = line.text("evidence").map(|text| format!(": {text}"));
    format!(
        "{}: no answer yet after {}{}; {then}",
        place(line),
        idle(line),
        evidence.unwrap_or_default()
    )
}

/// The part of a transfer, as a phrase.
pub(super) fn during(line: &LogLine) -> &'static str {
    let name = line.text("stage").unwrap_or_default();
    let stage = Stage::ALL.into_iter().find(|stage| stage.as_str() == name);
    match stage {
        Some(Stage::Accepted) => "while reading the client's request",
        Some(Stage::Queued) => "while queued",
        Some(Stage::Resolving) => "while resolving the name",
        Some(Stage::Connecting) => "while connecting",
        Some(Stage::Greeting) => "while asking the hop to connect",
        Some(Stage::Handshaking) => "during the TLS handshake",
        Some(Stage::SendingHead | Stage::SendingBody) => "while sending the request",
        Some(Stage::AwaitingHead) => "while waiting for the response",
        Some(Stage::ReceivingBody) => "while receiving the response",
        None => "",
    }
}

/// Message and fields of any other event, the most important fields first.
pub(super) fn sentence(line: &LogLine) -> String {
    let mut text = line.message().to_owned();
    for (name, shown) in line.fields() {
        if matches!(name, "advice" | "id" | "remedy") {
            continue;
        }
        let (name, shown) = match (name.strip_suffix("_ms"), name.strip_suffix("_s")) {
            (Some(name), _) => (name, shown.parse().map_or(shown, size::duration)),
            (None, Some(name)) => (name, shown + " s"),
            (None, None) => (name, shown),
        };
        if !shown.is_empty() {
            let _ = write!(text, ", {} {shown}", name.replace('_', " "));
        }
    }
    text.replacen(", ", ": ", 1)
}
