//! A report for people: at most [`WIDTH`] columns, the same for the same log.

use std::fmt::Write as _;

use super::{
    counts::{FaultCounts, HostCounts, MEANS, Roles, safe},
    record::Time,
    summary::LogSummary,
    verdict::{HostVerdict, verdicts},
};
use crate::model::{
    columns::{count, wrapped},
    size::{bytes, duration},
};

const WIDTH: usize = 80;
/// The longest code that gets a column; longer ones push theirs.
const CODE: usize = 34;
/// More verdicts are not read by people; `--json` has all.
const VERDICTS: usize = 20;

/// The whole page.
pub(super) fn page(sum: &LogSummary, roles: &Roles) -> String {
    let mut page = head(sum);
    let faulty = || sum.hosts.iter().filter(|(_, host)| !host.rows.is_empty());
    let codes = faulty().flat_map(|(_, host)| host.rows.keys());
    let code = codes
        .map(|code| count(&safe(code)))
        .max()
        .unwrap_or(0)
        .clamp(4, CODE);
    for (name, host) in faulty() {
        table(&mut page, name, host, roles, code);
    }
    for (number, line) in sum.circuits.lines().enumerate() {
        if number == 0 {
            page.push_str("\ncircuits\n");
        }
        wrap(&mut page, "  ", 4, &line);
    }
    for (number, refused) in sum.refusals.totals().iter().enumerate() {
        if number == 0 {
            page.push_str("\nrefused by the site itself\n");
        }
        wrap(&mut page, "  ", 4, &safe(&refused.to_string()));
    }
    let verdicts = verdicts(sum, roles);
    if !verdicts.is_empty() {
        page.push_str("\nverdicts\n");
    }
    for HostVerdict {
        sentence, advice, ..
    } in verdicts.iter().take(VERDICTS)
    {
        wrap(&mut page, "  - ", 4, sentence);
        wrap(&mut page, "    advice: ", 12, advice);
    }
    if verdicts.len() > VERDICTS {
        let _ = writeln!(
            page,
            "  and {} more: `--json` lists all",
            verdicts.len() - VERDICTS
        );
    }
    page
}

fn head(sum: &LogSummary) -> String {
    let mut head = String::new();
    let (lines, transfers) = (&sum.lines, &sum.transfers);
    match sum.period {
        Some((first, last)) => {
            let (from, to) = (first.shown(), last.shown());
            let span = duration(last.0 - first.0);
            let _ = writeln!(head, "period     {from} to {to} UTC, {span}");
        }
        None => head.push_str("period     no log lines\n"),
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
    wrap(&mut head, "lines      ", 11, &text);
    wrap(&mut head, "transfers  ", 11, &transfer_counts(sum));
    let (up, down) = (bytes(transfers.up), bytes(transfers.down));
    let _ = writeln!(head, "bytes      {up} up, {down} down");
    if sum.has_faults() {
        let _ = writeln!(head, "time lost  {}", duration(sum.lost_ms()));
    } else {
        head.push_str("no faults and no stalls\n");
    }
    head
}

fn transfer_counts(sum: &LogSummary) -> String {
    let transfers = &sum.transfers;
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
        (sum.open_ended(), "with a fault and no end in this log"),
        (transfers.refused, "refused by the site itself"),
    ] {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    text
}

fn table(page: &mut String, name: &str, host: &HostCounts, roles: &Roles, code: usize) {
    let role = host.role(roles).as_str();
    let title = format!(
        "{} ({role}, route {}): transfers {}, failed {}, rescued {}",
        safe(name),
        safe(&host.route),
        host.ended,
        host.failed,
        host.rescued
    );
    page.push('\n');
    wrap(page, "", 2, &title);
    let _ = writeln!(
        page,
        "  {:code$} {:>6} {:>7} {:>11} {:14} upstreams",
        "code", "times", "rescued", "lost", "last seen"
    );
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

fn row(page: &mut String, name: &str, row: &FaultCounts, code: usize) {
    let last = row.last.map(Time::shown).unwrap_or_default();
    let line = format!(
        "  {:code$} {:>6} {:>7} {:>11} {:14} ",
        safe(name),
        row.times,
        row.rescued,
        duration(row.lost_ms),
        last.get(5..).unwrap_or_default()
    );
    let ways = row.ways.keys().filter(|way| !way.is_empty());
    let ways: Vec<String> = ways.map(|way| safe(way)).collect();
    let ways = if ways.is_empty() {
        "-".to_owned()
    } else {
        ways.join(", ")
    };
    if count(&line) + count(&ways) <= WIDTH {
        let _ = writeln!(page, "{line}{ways}");
    } else {
        wrap(page, "", 4, line.trim_end());
        wrap(page, "    upstreams: ", 6, &ways);
    }
}

/// Words in lines of [`WIDTH`] columns.
fn wrap(page: &mut String, first: &str, indent: usize, text: &str) {
    page.push_str(&wrapped(first, indent, text, WIDTH));
    page.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_the_page_and_no_character_is_lost() {
        let long = "é".repeat(230);
        let mut page = String::new();
        wrap(
            &mut page,
            "  - ",
            4,
            &format!("a {long} b {}", "word ".repeat(60)),
        );
        assert!(
            page.lines().all(|line| line.chars().count() <= WIDTH),
            "{page}"
        );
        assert_eq!(page.matches('é').count(), 230);
        assert_eq!(page.matches("word").count(), 60);
    }
}
