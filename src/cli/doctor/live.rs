//! What is seen while the checks run: one line that is renewed on a terminal, a line per check elsewhere.

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use crate::doctor::{Finding, State};

/// How often the line is renewed where nothing happens.
pub(super) const RENEWAL: Duration = Duration::from_millis(200);

/// Writes to stderr: stdout is for the result.
pub(super) struct Display {
    how: How,
    told: BTreeSet<(String, &'static str)>,
}

enum How {
    Silent,
    Terminal,
    Lines,
}

impl Display {
    /// On a terminal a line that is renewed; nothing where a program reads the result.
    pub(super) fn new(silent: bool) -> Self {
        let how = match silent {
            true => How::Silent,
            false if io::stderr().is_terminal() => How::Terminal,
            false => How::Lines,
        };
        Self {
            how,
            told: BTreeSet::new(),
        }
    }

    /// Shows what is known now.
    pub(super) fn show(&mut self, findings: &[Finding]) {
        match self.how {
            How::Silent => {}
            How::Terminal => {
                // Back to the first column, and clear (ECMA-48: EL).
                let _ = write!(io::stderr(), "\r{}\x1b[K", line(findings));
                let _ = io::stderr().flush();
            }
            How::Lines => self.tell(findings),
        }
    }

    /// Leaves the terminal as it was.
    pub(super) fn end(&mut self, findings: &[Finding]) {
        match self.how {
            How::Silent => {}
            How::Terminal => {
                let _ = write!(io::stderr(), "\r\x1b[K");
            }
            How::Lines => self.tell(findings),
        }
    }

    fn tell(&mut self, findings: &[Finding]) {
        for finding in findings {
            let state = finding.outcome.state;
            if matches!(state, State::Pending | State::Skipped) {
                continue;
            }
            let subject = finding.subject.to_string();
            if self.told.insert((subject.clone(), finding.check)) {
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

/// How far it is, and what it waits for.
fn line(findings: &[Finding]) -> String {
    let pending: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.outcome.state == State::Pending)
        .collect();
    let failed = findings
        .iter()
        .filter(|finding| finding.outcome.state == State::Failed)
        .count();
    let done = findings.len() - pending.len();
    let waits = pending
        .first()
        .map(|finding| format!(", {}: {}", finding.subject, finding.check))
        .unwrap_or_default();
    let text = format!(
        "{done} of {} checks done, {failed} failed{waits}",
        findings.len()
    );
    text.chars().take(78).collect()
}
