//! The progress of the checks: on a terminal a line for each subject that is updated in place, elsewhere a line for each check.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use crate::{
    doctor::{CheckSubject, Finding, State},
    model::columns::cut,
    rt,
};

/// How often the lines are redrawn where no check ends.
pub(super) const RENEWAL: Duration = Duration::from_millis(200);

/// The height of a terminal that does not report one.
const ROWS: usize = 24;

/// The width of a line.
const WIDTH: usize = 79;

/// Writes to stderr: stdout is for the result.
pub(super) struct Display {
    mode: DisplayMode,
    printed: BTreeSet<(String, &'static str)>,
}

enum DisplayMode {
    Silent,
    /// The number of lines drawn.
    Terminal(usize),
    Lines,
}

impl Display {
    /// Lines that are updated on a terminal; nothing for `--json`.
    pub(super) fn new(silent: bool) -> Self {
        let mode = match silent {
            true => DisplayMode::Silent,
            false if io::stderr().is_terminal() => DisplayMode::Terminal(0),
            false => DisplayMode::Lines,
        };
        Self {
            mode,
            printed: BTreeSet::new(),
        }
    }

    /// Shows the findings so far.
    pub(super) fn show(&mut self, findings: &[Finding]) {
        match &mut self.mode {
            DisplayMode::Silent => {}
            DisplayMode::Terminal(drawn) => {
                let size = rt::terminal_size(io::stderr());
                let rows = size.map_or(ROWS, |(_, rows)| rows.max(4));
                let lines = frame(findings, rows.saturating_sub(2));
                let mut text = erased(*drawn);
                for line in &lines {
                    let _ = writeln!(text, "{line}");
                }
                *drawn = lines.len();
                let _ = io::stderr().write_all(text.as_bytes());
            }
            DisplayMode::Lines => self.print(findings),
        }
    }

    /// Removes the lines from the terminal.
    pub(super) fn end(&mut self, findings: &[Finding]) {
        match &self.mode {
            DisplayMode::Silent => {}
            DisplayMode::Terminal(drawn) => {
                let _ = io::stderr().write_all(erased(*drawn).as_bytes());
            }
            DisplayMode::Lines => self.print(findings),
        }
    }

    fn print(&mut self, findings: &[Finding]) {
        for finding in findings {
            let state = finding.outcome.state;
            if matches!(state, State::Pending | State::Skipped) {
                continue;
            }
            let subject = finding.subject.to_string();
            if self.printed.insert((subject.clone(), finding.check)) {
                let _ = writeln!(
                    io::stderr(),
                    "{subject}: {} {}: {}",
                    finding.check,
                    state.as_str(),
                    finding.outcome.shown
                );
            }
        }
    }
}

/// Moves to the first drawn line and clears everything below (ECMA-48: CPL, ED).
fn erased(drawn: usize) -> String {
    match drawn {
        0 => String::new(),
        lines => format!("\x1b[{lines}F\x1b[J"),
    }
}

/// A line for each subject with a mark for each check, then a line with the counts; at most `rows` lines.
fn frame(findings: &[Finding], rows: usize) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&Finding>)> = Vec::new();
    for finding in findings {
        let name = match &finding.subject {
            CheckSubject::Path(path) => format!("{:32} {:12}", cut(&path.host, 32), path.upstream),
            CheckSubject::Machine => "this machine".to_owned(),
            CheckSubject::Client(name) => name.to_string(),
        };
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, found)) => found.push(finding),
            None => groups.push((name, vec![finding])),
        }
    }
    // Subjects with running checks take precedence.
    let pending = |found: &&Finding| found.outcome.state == State::Pending;
    if groups.len() >= rows {
        groups.retain(|(_, found)| found.iter().any(pending));
        groups.truncate(rows.saturating_sub(1));
    }
    let mut lines: Vec<String> = groups
        .iter()
        .map(|(name, found)| {
            let marks: String = found
                .iter()
                .map(|found| mark(found.outcome.state))
                .collect();
            let waits = found.iter().copied().find(pending);
            let waits = waits.map_or("", |found| found.check);
            cut(
                format!("{:46}{marks} {waits}", cut(name, 45)).trim_end(),
                WIDTH,
            )
        })
        .collect();
    let done = findings.iter().filter(|found| !pending(found)).count();
    lines.push(format!(
        "{done} of {} checks done, Ctrl-C shows the results so far",
        findings.len()
    ));
    lines
}

fn mark(state: State) -> &'static str {
    match state {
        State::Pending => ".",
        State::Passed => "+",
        State::Warned => "!",
        State::Failed => "X",
        State::Unmeasured | State::Skipped => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    fn finding(client: &str, outcome: Outcome) -> Finding {
        Finding {
            subject: CheckSubject::Client(client.into()),
            check: "client",
            outcome,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn the_live_display_fits_the_height_and_width_of_the_terminal() {
        let findings: Vec<Finding> = (0..40)
            .map(|number| finding(&format!("git {number}"), Outcome::passed("ok")))
            .chain([finding(
                "git-lfs",
                Outcome::failed("does not trust gitferry's CA"),
            )])
            .collect();
        assert_eq!(frame(&findings, 60).len(), 42);
        let lines = frame(&findings, 10);
        assert!(lines.len() <= 10, "{lines:?}");
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH));
        assert_eq!(erased(0), "");
    }
}
