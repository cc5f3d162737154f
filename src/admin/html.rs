//! The status page: its files, and the tables for browsers without scripts.

use std::fmt::Write;

use tokio::time::Instant;

use super::{
    upstreams::{CircuitView, UpstreamView},
    view::Overview,
};
use crate::model::size;

/// `page.css`
pub(super) const STYLE: &str = include_str!("page/page.css");
/// `page.js`
pub(super) const SCRIPT: &str = include_str!("page/page.js");
/// `icon.svg`
pub(super) const ICON: &str = include_str!("page/icon.svg");
const PAGE: &str = include_str!("page/index.html");
/// The placeholder in the page for these tables.
const FALLBACK: &str = "<!--tables-->";

/// The whole page; all external text is escaped.
pub(super) fn render(view: &Overview) -> String {
    let (before, after) = PAGE.split_once(FALLBACK).unwrap_or((PAGE, ""));
    format!("{before}{}{after}", tables(view))
}

/// The content for browsers without scripts.
fn tables(view: &Overview) -> String {
    let mut page = String::new();
    let listen = view
        .listen
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let config = view.config.as_deref().unwrap_or("embedded default");
    let _ = writeln!(
        page,
        "<p><strong>{}</strong></p><p>gitferry {} · up {} · listening on {} · config: {} · reloaded every 5 s</p>",
        escape(&view.verdict.text),
        view.version,
        size::duration(view.uptime_s.saturating_mul(1000)),
        escape(&listen),
        escape(config),
    );
    transfers(&mut page, view);
    table(
        &mut page,
        "Upstreams",
        &[
            "route",
            "upstream",
            "circuit",
            "for",
            "failures",
            "last failure",
            "code",
        ],
        view.upstreams.iter().flat_map(rows),
    );
    stalls(&mut page, view);
    faults(&mut page, view);
    page
}

fn transfers(page: &mut String, view: &Overview) {
    table(
        page,
        "Running transfers",
        &[
            "id", "front", "host", "route", "upstream", "stage", "for", "idle", "stall", "up",
            "down", "path",
        ],
        view.transfers.iter().map(|t| {
            let t = &t.snapshot;
            vec![
                t.id.to_string(),
                t.front.into(),
                format!("{}:{}", t.host, t.port),
                t.route.to_string(),
                t.upstream.as_deref().unwrap_or("").into(),
                t.stage.into(),
                size::duration(t.stage_ms),
                t.idle_ms.map(size::duration).unwrap_or_default(),
                t.stall
                    .map(|verdict| verdict.as_str().into())
                    .unwrap_or_default(),
                size::bytes(t.up),
                size::bytes(t.down),
                format!("{} {}", t.method, t.path),
            ]
        }),
    );
}

/// One row per circuit that is not closed, or one row saying that all are closed.
fn rows(upstream: &UpstreamView) -> Vec<Vec<String>> {
    let begin = || vec![upstream.route.to_string(), upstream.upstream.to_string()];
    let row = |circuit: &CircuitView| {
        let mut row = begin();
        row.extend([
            circuit.state.into(),
            circuit.host.to_string(),
            circuit.failures.to_string(),
            ago_text(circuit.failed_s_ago),
            circuit.code.to_string(),
        ]);
        row
    };
    let mut rows: Vec<_> = upstream.circuits.iter().map(row).collect();
    if rows.is_empty() {
        let mut row = begin();
        row.extend(["closed".into(), "all".into()]);
        row.resize(7, String::new());
        rows.push(row);
    }
    rows
}

fn stalls(page: &mut String, view: &Overview) {
    table(
        page,
        "Last stalls",
        &[
            "when", "verdict", "now", "for", "host", "route", "upstream", "peer", "evidence",
            "sibling", "advice",
        ],
        view.stalls.iter().map(|s| {
            vec![
                ago(s.at),
                format!("{}/{}", s.leg.as_str(), s.verdict.as_str()),
                s.phase.as_str().into(),
                size::duration(s.idle_ms),
                format!("{}:{}", s.subject.host, s.subject.port),
                s.subject.route.to_string(),
                s.subject.upstream.as_deref().unwrap_or_default().to_owned(),
                s.peer.map(|peer| peer.to_string()).unwrap_or_default(),
                s.evidence.clone(),
                s.sibling.clone().unwrap_or_default(),
                s.advice.clone(),
            ]
        }),
    );
}

fn faults(page: &mut String, view: &Overview) {
    table(
        page,
        "Last faults",
        &[
            "when", "code", "host", "route", "upstream", "peer", "attempt", "next", "cause",
            "advice",
        ],
        view.faults.iter().map(|f| {
            vec![
                ago(f.at),
                f.code.clone(),
                address(&f.subject.host, f.subject.port),
                f.subject.route.to_string(),
                f.subject.upstream.as_deref().unwrap_or_default().to_owned(),
                f.peer.clone().unwrap_or_default(),
                f.attempt.to_string(),
                f.next_step(),
                f.cause.clone(),
                f.advice.clone().unwrap_or_default(),
            ]
        }),
    );
}

fn ago(at: Instant) -> String {
    ago_text(at.elapsed().as_secs())
}

fn ago_text(seconds: u64) -> String {
    format!("{} ago", size::duration(seconds.saturating_mul(1000)))
}

/// Host and port; empty for a request that named no host.
fn address(host: &str, port: u16) -> String {
    match host {
        "-" => String::new(),
        host => format!("{host}:{port}"),
    }
}

fn table(
    page: &mut String,
    title: &str,
    columns: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) {
    let _ = write!(page, "<h2>{title}</h2>");
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        page.push_str("<p class=\"none\">none</p>\n");
        return;
    }
    page.push_str("<table><tr>");
    for column in columns {
        let _ = write!(page, "<th>{column}</th>");
    }
    page.push_str("</tr>\n");
    for row in rows {
        page.push_str("<tr>");
        for cell in row {
            let _ = write!(page, "<td>{}</td>", escape(&cell));
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admin::verdict::verdict, track::Survey};

    #[test]
    fn external_text_is_escaped() {
        let view = Overview {
            api: 1,
            now: String::new(),
            version: "0",
            uptime_s: 1,
            listen: vec![],
            users_told_apart: true,
            config: Some("<script>x".into()),
            tasks: 0,
            idle_connections: 0,
            verdict: verdict(&Survey::default(), &[], &[], std::time::SystemTime::now()),
            running: 0,
            transfers: vec![],
            recent: vec![],
            upstreams: vec![],
            faults: vec![],
            stalls: vec![],
            refusals: Vec::new(),
            totals: vec![],
        };
        let page = render(&view);
        assert!(page.contains("&lt;script&gt;x") && !page.contains("<script>"));
    }
}
