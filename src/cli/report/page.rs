//! A report as text of at most [`WIDTH`] columns.

use std::fmt::Write as _;

use super::{
    counts::{FaultCounts, HostCounts, MEANS, Roles, safe},
    record::Time,
    summary::LogSummary,
    verdict::{HostVerdict, verdicts},
};
use crate::model::{
    columns::{TextBuilder, count},
    size::{bytes, duration},
};

const WIDTH: usize = 80;
/// The widest column of codes; the numbers of a longer code are on the next line.
const CODE: usize = 39;
/// The most verdicts; `--json` has all.
const VERDICTS: usize = 20;

/// The whole page.
pub(super) fn page(summary: &LogSummary, roles: &Roles) -> String {
    let mut whole = TextBuilder::new(WIDTH);
    let page = &mut whole;
    head(page, summary);
    let faulty = || {
        summary
            .hosts
            .iter()
            .filter(|(_, host)| !host.rows.is_empty())
    };
    let codes = faulty().flat_map(|(_, host)| host.rows.keys());
    let code = codes
        .map(|code| count(&safe(code)))
        .max()
        .unwrap_or(0)
        .clamp(4, CODE);
    for (name, host) in faulty() {
        table(page, name, host, roles, code);
    }
    page.heading("circuits");
    for line in summary.circuits.lines() {
        page.labelled("  ", 4, &line);
    }
    page.heading("refused by the site itself");
    for refused in &summary.refusals.totals() {
        page.labelled("  ", 4, &safe(&refused.to_string()));
    }
    let verdicts = verdicts(summary, roles);
    page.heading("verdicts");
    for HostVerdict {
        sentence, advice, ..
    } in verdicts.iter().take(VERDICTS)
    {
        page.labelled("  - ", 4, sentence);
        page.labelled("    advice: ", 12, advice);
    }
    if verdicts.len() > VERDICTS {
        page.line(&format!(
            "  and {} more: `--json` lists all",
            verdicts.len() - VERDICTS
        ));
    }
    whole.into_text()
}

fn head(page: &mut TextBuilder, summary: &LogSummary) {
    let (lines, transfers) = (&summary.lines, &summary.transfers);
    match summary.period {
        Some((first, last)) => {
            let (from, to) = (first.shown(), last.shown());
            let span = duration(last.0 - first.0);
            page.line(&format!("period     {from} to {to} UTC, {span}"));
        }
        None => page.line("period     no log lines"),
    }
    let mut text = format!("{} of gitferry", lines.events + lines.advice);
    for (number, what) in [
        (lines.foreign, "of other programs ignored"),
        (lines.unreadable, "unreadable"),
        (lines.cut, "incomplete"),
    ] {
        if number > 0 {
            let _ = write!(text, ", {number} {what}");
        }
    }
    page.labelled("lines      ", 11, &text);
    page.labelled("transfers  ", 11, &transfer_counts(summary));
    let (up, down) = (bytes(transfers.up), bytes(transfers.down));
    page.line(&format!("bytes      {up} up, {down} down"));
    if summary.has_faults() {
        page.line(&format!("time lost  {}", duration(summary.lost_ms())));
    } else {
        page.line("no faults and no stalls");
    }
}

fn transfer_counts(summary: &LogSummary) -> String {
    let transfers = &summary.transfers;
    let mut text = format!(
        "{}, {} failed, {} rescued",
        transfers.ended, transfers.failed, transfers.rescued
    );
    let means = MEANS
        .iter()
        .zip(transfers.means)
        .filter(|(_, count)| *count > 0);
    let means: Vec<String> = means
        .map(|(name, count)| format!("{count} by {}", name.replace('-', " ")))
        .collect();
    if !means.is_empty() {
        let _ = write!(text, " ({})", means.join(", "));
    }
    for (count, what) in [
        (summary.open_ended(), "with a fault and no end in this log"),
        (transfers.refused, "refused by the site itself"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text
}

fn table(page: &mut TextBuilder, name: &str, host: &HostCounts, roles: &Roles, code: usize) {
    let role = host.role(roles).as_str();
    let title = format!(
        "{} ({role}, route {}): transfers {}, failed {}, rescued {}",
        safe(name),
        safe(&host.route),
        host.ended,
        host.failed,
        host.rescued
    );
    page.line("");
    page.labelled("", 2, &title);
    page.line(&format!(
        "  {:code$} {:>5} {:>7} {:>7} last seen",
        "code", "times", "rescued", "lost"
    ));
    let mut rows: Vec<(&str, &FaultCounts)> =
        host.rows.iter().map(|(code, row)| (&**code, row)).collect();
    rows.sort_by_key(|(code, row)| {
        (
            code.split('/').next().unwrap_or_default(),
            u64::MAX - row.times,
            *code,
        )
    });
    for (name, it) in rows {
        row(page, name, it, code);
    }
}

fn row(page: &mut TextBuilder, name: &str, row: &FaultCounts, code: usize) {
    let last = row.last.map(Time::shown).unwrap_or_default();
    let mut name = safe(name);
    if count(&name) > code {
        page.labelled("  ", 4, &name);
        name.clear();
    }
    page.line(&format!(
        "  {name:code$} {:>5} {:>7} {:>7} {}",
        row.times,
        row.rescued,
        duration(row.lost_ms),
        last.get(5..).unwrap_or_default()
    ));
    let upstreams = row.upstreams.keys().filter(|name| !name.is_empty());
    let upstreams: Vec<String> = upstreams.map(|name| safe(name)).collect();
    if !upstreams.is_empty() {
        page.labelled("    upstreams: ", 6, &upstreams.join(", "));
    }
}
