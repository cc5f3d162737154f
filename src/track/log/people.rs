//! The log on a terminal: one line per transfer; a failure adds a sentence and its advice. `gitferry history ID` shows the rest.
//!
//! A line has at most [`WIDEST`] columns and fits the terminal. Each advice is shown once, not for every transfer with that problem.

mod sentence;
mod width;

use std::{collections::VecDeque, fmt::Write as _, io};

use time::{OffsetDateTime, UtcOffset};
use tracing::Level;

use self::{sentence::*, width::*};
use super::LogLine;
use crate::{
    model::{
        columns::{count, indented},
        size,
    },
    rt,
    sync::Mutex,
};

/// The widest line.
const WIDEST: usize = 120;
/// The smallest width; a narrower terminal wraps the lines.
const NARROWEST: usize = 80;
/// From this width on a rate is shown.
const WIDE: usize = 100;
/// The number of advice texts that are remembered.
const REMEMBERED: usize = 64;

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD: &str = "1";
const DIM: &str = "2";

/// The column of a line's text: after the time and the mark.
const INDENT: usize = 11;

/// Formats lines for people, and remembers which advice was shown.
pub(crate) struct People {
    colours: bool,
    /// The machine's time zone at the start.
    offset: UtcOffset,
    advised: Mutex<VecDeque<String>>,
}

/// The width of stderr.
pub(super) fn columns() -> usize {
    let size = rt::terminal_size(io::stderr());
    size.map_or(WIDEST, |(columns, _)| columns.clamp(NARROWEST, WIDEST))
}

impl People {
    /// With or without colours. Call it before threads start: the time zone cannot be read later.
    pub(crate) fn new(colours: bool) -> Self {
        Self {
            colours,
            offset: UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC),
            advised: Mutex::default(),
        }
    }

    /// With times in UTC.
    #[cfg(test)]
    pub(crate) fn in_utc(colours: bool) -> Self {
        Self {
            offset: UtcOffset::UTC,
            ..Self::new(colours)
        }
    }

    /// The lines of an event, at most `width` wide.
    pub(crate) fn render(&self, line: &LogLine, width: usize) -> String {
        let line = &line.escaped();
        let mut text = match line.message() {
            "transfer ended" => return self.transfer(line, width),
            "fault" => fault_sentence(line),
            "stall" | "stall goes on" => stall_sentence(line),
            "the site refuses requests" => line.text("summary").unwrap_or_default().to_owned(),
            "waiting for the answer" | "no answer yet" => awaited_sentence(line),
            "stall over" => format!("{} moves again after {}", place(line), idle(line)),
            "stall ended with its transfer" => {
                format!("{} ended after a stall of {}", place(line), idle(line))
            }
            message if message.starts_with("circuit ") => circuit_sentence(line),
            _ => sentence(line),
        };
        if let Some(id) = line.number("id") {
            let _ = write!(text, "  #{id}");
        }
        let text = indented(&text, INDENT, width);
        let (time, mark) = (self.time(line), self.level_mark(line.level));
        let mut lines = format!("{time} {mark} {}\n", text.trim_start());
        if let Some(advice) = line.text("advice").filter(|advice| self.is_new(advice)) {
            let text = indented(&format!("advice: {advice}"), INDENT + 2, width);
            let text = self.painted(BOLD, text.trim_start());
            let _ = writeln!(lines, "{:INDENT$}  {text}", "");
        }
        lines
    }

    fn transfer(&self, line: &LogLine, width: usize) -> String {
        let result = line.text("result").unwrap_or("-");
        let status = line.number("status").filter(|status| *status >= 400);
        let failed = !matches!(result, "answered" | "closed");
        let mark = match status {
            _ if failed => self.painted(RED, "!"),
            Some(status) if is_unsuccessful(line, status) => self.painted(YELLOW, "!"),
            _ => self.painted(GREEN, "✓"),
        };
        let wide = width >= WIDE;
        let method = line.text("method").unwrap_or("-");
        let begin = format!(
            "{method:<4} {}",
            padded(&host(line), if wide { 22 } else { 14 })
        );
        let way = upstream(
            line.text("upstream").unwrap_or("-"),
            if wide { 13 } else { 8 },
        );
        let took = size::duration(line.number("total_ms").unwrap_or(0));
        let id = format!("#{}", line.number("id").unwrap_or_default());
        let end = format!("{took:>6} {way} ");
        let used = INDENT
            + [&begin, &end, &id]
                .map(|part| count(part))
                .iter()
                .sum::<usize>()
            + 2;
        let room = width.saturating_sub(used);
        // A failed transfer's status is gitferry's own.
        let what = resource(line, status.filter(|_| !failed));
        // A code is never cut, so that it can be looked up: it has its own line where this one is too narrow.
        let beside = room.saturating_sub(count(result) + 1);
        let fits = room > count(result) && beside >= count(&what).min(10);
        let mut below = String::new();
        let middle = if failed && fits {
            format!("{} {}", padded(&what, beside), self.painted(RED, result))
        } else if failed {
            let code = self.painted(RED, &shortened(result, width.saturating_sub(INDENT)));
            below = format!("{:INDENT$}{code}\n", "");
            padded(&what, room)
        } else {
            let numbers = numbers(line, wide);
            format!(
                "{} {numbers}",
                padded(&what, room.saturating_sub(count(&numbers) + 1))
            )
        };
        let (time, id) = (self.time(line), self.painted(DIM, &id));
        format!("{time} {mark} {begin} {middle} {end}{id}\n{below}")
    }

    fn time(&self, line: &LogLine) -> String {
        let at = OffsetDateTime::from(line.time).to_offset(self.offset);
        let text = format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
        self.painted(DIM, &text)
    }

    fn level_mark(&self, level: Level) -> String {
        match level {
            Level::ERROR => self.painted(RED, "!"),
            Level::WARN => self.painted(YELLOW, "!"),
            _ => self.painted(DIM, "·"),
        }
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// True for an advice that was not shown recently.
    fn is_new(&self, advice: &str) -> bool {
        let mut advised = self.advised.lock();
        if advised.iter().any(|known| known == advice) {
            return false;
        }
        if advised.len() >= REMEMBERED {
            advised.pop_front();
        }
        advised.push_back(advice.to_owned());
        true
    }
}

#[cfg(test)]
mod tests;
