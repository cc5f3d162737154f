//! The results as text: a line for each host and upstream, a table for each host with a fault, the verdict at the end.

use std::{collections::BTreeSet, fmt::Write as _, time::Duration};

use crate::{
    doctor::{
        CheckSubject, Finding, PATH_CHECKS, State,
        check_results::PathName,
        verdict::{self, Diagnosis, PathSummary},
    },
    model::columns::{TextBuilder, cut, indented},
};

/// What is rendered.
pub(super) struct ReportPage<'a> {
    pub(super) findings: &'a [Finding],
    pub(super) verdict: &'a Diagnosis,
    pub(super) notes: &'a [String],
    pub(super) took: Duration,
    pub(super) interrupted: bool,
    pub(super) verbose: bool,
    pub(super) colour: bool,
}

/// The width of a line.
const WIDTH: usize = 80;

/// The whole text.
pub(super) fn render(page: &ReportPage<'_>) -> String {
    let mut text = TextBuilder::new(WIDTH);
    let paths = verdict::summaries(page.findings);
    let mut hosts: Vec<&str> = paths.iter().map(|path| &*path.name.host).collect();
    hosts.dedup();
    for found in page.findings {
        local(&mut text, found, page);
    }
    for path in &paths {
        summary(&mut text, path, page);
    }
    for note in page.notes {
        text.words(0, &format!("note: {note}"));
    }
    let mut shown = BTreeSet::new();
    let mut alike = 0;
    for host in hosts {
        let paths: Vec<&PathSummary> = paths
            .iter()
            .filter(|path| &*path.name.host == host)
            .collect();
        let broken = |path: &&PathSummary| path.name.place.is_some() && path.root.is_some();
        if !page.verbose && !paths.iter().any(broken) {
            continue;
        }
        if !shown.insert(paths.iter().map(|path| symptom(path)).collect::<Vec<_>>())
            && !page.verbose
        {
            alike += 1;
            continue;
        }
        for paths in paths.chunks(3) {
            table(&mut text, paths, page);
        }
    }
    if alike > 0 {
        let (hosts, fail) = if alike == 1 {
            ("host", "fails")
        } else {
            ("hosts", "fail")
        };
        let line = format!(
            "{alike} more {hosts} {fail} in the same way: `gitferry doctor --verbose` shows each"
        );
        text.line("");
        text.words(0, &line);
    }
    closing(&mut text, page);
    text.into_text()
}

/// The failure of a host over one upstream: hosts with equal failures share one table.
fn symptom(path: &PathSummary) -> String {
    let PathName {
        upstream, place, ..
    } = &path.name;
    let root = path.root.as_ref();
    let root = root.map(|root| {
        (
            root.check,
            root.outcome.code.as_deref(),
            &*root.outcome.shown,
        )
    });
    let warned = path
        .findings
        .iter()
        .filter(|found| found.outcome.state == State::Warned);
    let warned: Vec<_> = warned
        .map(|found| (found.check, &*found.outcome.shown))
        .collect();
    format!("{upstream} {place:?} {root:?} {warned:?}")
}

/// One line for a client or a check of this machine.
fn local(text: &mut TextBuilder, found: &Finding, page: &ReportPage<'_>) {
    let outcome = &found.outcome;
    let (subject, is_shown) = match &found.subject {
        CheckSubject::Path(_) => return,
        CheckSubject::Machine => (
            found.check.to_owned(),
            page.verbose || found.check == "daemon",
        ),
        CheckSubject::Client(name) => (name.to_string(), true),
    };
    let (word, paint) = match outcome.state {
        State::Failed => ("FAIL", RED),
        State::Warned => ("warn", YELLOW),
        State::Pending => ("?", YELLOW),
        State::Passed if is_shown => ("ok", GREEN),
        State::Unmeasured if is_shown => ("-", DIM),
        State::Passed | State::Unmeasured | State::Skipped => return,
    };
    let line = format!("{:30} {}", cut(&subject, 30), outcome.shown);
    let word = painted(&format!("{word:4}"), paint, page);
    text.line(&format!("{word} {}", cut(line.trim_end(), WIDTH - 5)));
    if let Some(detail) = &outcome.detail
        && (page.verbose || matches!(outcome.state, State::Failed | State::Warned))
    {
        text.words(7, detail);
    }
}

/// One line for a host over one upstream.
fn summary(text: &mut TextBuilder, path: &PathSummary, page: &ReportPage<'_>) {
    let other = path.name.place.is_none();
    let (word, paint, words) = match &path.root {
        Some(root) => (
            "FAIL",
            if other { DIM } else { RED },
            format!("{}: {}", root.check, root.outcome.shown),
        ),
        None if path.unfinished => ("?", YELLOW, "not finished".into()),
        None => {
            let warned = path
                .findings
                .iter()
                .find(|found| found.outcome.state == State::Warned);
            match warned {
                Some(found) => (
                    "warn",
                    YELLOW,
                    format!("{}: {}", found.check, found.outcome.shown),
                ),
                None => ("ok", GREEN, healthy(path)),
            }
        }
    };
    let upstream = match other {
        true => format!("({})", path.name.upstream),
        false => path.name.upstream.to_string(),
    };
    let line = format!("{:30} {upstream:13} {words}", cut(&path.name.host, 30));
    text.line(&format!(
        "{} {}",
        painted(&format!("{word:4}"), paint, page),
        cut(line.trim_end(), WIDTH - 5)
    ));
}

/// The measurements of a working upstream.
fn healthy(path: &PathSummary) -> String {
    let shown = |check| Some(path.finding(check)?.outcome.shown.as_str());
    let measured = ["ssh", "path"].into_iter().filter_map(shown);
    let parts: Vec<&str> = measured.filter(|shown| !shown.is_empty()).collect();
    parts.join(", ")
}

/// All checks of a host, a column for each upstream.
fn table(text: &mut TextBuilder, paths: &[&PathSummary], page: &ReportPage<'_>) {
    let Some(first) = paths.first() else {
        return;
    };
    let name = &first.name;
    text.line(&format!(
        "\n{} ({}, route {})",
        painted(&name.host, BOLD, page),
        name.role,
        name.route
    ));
    let width = (WIDTH - 14) / paths.len() - 1;
    let mut head = format!("{:14}", "");
    for path in paths {
        let title = match path.name.place {
            Some(place) => format!("{} {}", place + 1, path.name.upstream),
            None => format!("({}: not in the route)", path.name.upstream),
        };
        let _ = write!(head, "{:width$} ", cut(&title, width));
    }
    text.line(&head);
    for check in PATH_CHECKS {
        let cells: Vec<Option<&Finding>> =
            paths.iter().map(|path| path.finding(check.name)).collect();
        let silent = |cell: &Option<&Finding>| {
            cell.is_none_or(|found| found.outcome.state == State::Skipped)
        };
        if cells.iter().all(silent) {
            continue;
        }
        let mut line = format!("  {:12}", check.name);
        for found in cells {
            line.push_str(&painted_cell(found, width, page));
            line.push(' ');
        }
        text.line(&line);
    }
    details(text, paths, page);
}

fn painted_cell(found: Option<&Finding>, width: usize, page: &ReportPage<'_>) -> String {
    let Some(found) = found else {
        return " ".repeat(width);
    };
    let outcome = &found.outcome;
    let (mark, paint) = match outcome.state {
        State::Passed => ("", NONE),
        State::Warned => ("! ", YELLOW),
        State::Failed => ("FAIL ", RED),
        State::Pending => ("? ", YELLOW),
        State::Unmeasured | State::Skipped => ("", DIM),
    };
    let words = match (outcome.state, outcome.shown.as_str()) {
        (State::Skipped, "not tried") => "-".to_owned(),
        (_, shown) => format!("{mark}{shown}"),
    };
    painted(&format!("{:width$}", cut(&words, width)), paint, page)
}

/// The sentences below a table.
fn details(text: &mut TextBuilder, paths: &[&PathSummary], page: &ReportPage<'_>) {
    for path in paths {
        for found in &path.findings {
            let state = found.outcome.state;
            let is_shown = state == State::Failed
                || state == State::Warned
                || state == State::Unmeasured && page.verbose;
            let Some(detail) = &found.outcome.detail else {
                continue;
            };
            if !is_shown {
                continue;
            }
            let line = format!("{}, {}: {detail}", path.name.upstream, found.check);
            text.words(2, &line);
        }
    }
}

/// The verdict.
fn closing(text: &mut TextBuilder, page: &ReportPage<'_>) {
    let Diagnosis {
        works,
        broken,
        recent,
        change,
    } = page.verdict;
    let label = |word: &str, paint| painted(&format!("{word:8}"), paint, page);
    text.line("");
    section(text, &label("works", GREEN), works);
    match broken {
        Some(broken) => section(text, &label("broken", RED), broken),
        None => section(text, &label("broken", GREEN), "nothing"),
    }
    if let Some(recent) = recent {
        section(text, &label("recent", YELLOW), recent);
    }
    if let Some(change) = change {
        section(text, &label("fix", BOLD), &change.sentence);
        let lines = change.command.iter().chain(&change.toml);
        for line in lines.flat_map(|text| text.lines()) {
            text.line(&format!("{:12}{line}", ""));
        }
        if change.edit.is_some() {
            text.line(&format!(
                "{:8}`gitferry doctor --apply` makes this change",
                ""
            ));
        }
    }
    text.line(&format!(
        "\n{} checks in {}.{} s{}",
        page.findings.len(),
        page.took.as_secs(),
        page.took.subsec_millis() / 100,
        match page.interrupted {
            true => ", interrupted",
            false => "",
        }
    ));
}

/// A label of eight columns, and a sentence beside it.
fn section(text: &mut TextBuilder, label: &str, sentence: &str) {
    let body = indented(sentence, 8, WIDTH);
    text.line(&format!("{label}{}", body.trim_start()));
}

/// SGR parameters (ECMA-48).
const NONE: &str = "";
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

fn painted(words: &str, paint: &str, page: &ReportPage<'_>) -> String {
    match page.colour && !paint.is_empty() {
        true => format!("\x1b[{paint}m{words}\x1b[0m"),
        false => words.to_owned(),
    }
}
