//! The log on a terminal: one line a transfer in the order in which a person reads, and two for what went wrong, the sentence and
//! the advice. `gitferry history ID` has the rest.
//!
//! Never wider than [`WIDEST`], and no wider than the terminal. An advice is given once, not for every transfer that meets it.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io,
    sync::{Mutex, PoisonError},
};

use time::{OffsetDateTime, UtcOffset};
use tracing::Level;

use super::Line;
use crate::model::{Stage, fault, resource, size};

/// The widest line.
const WIDEST: usize = 120;
/// A narrower terminal wraps by itself.
const NARROWEST: usize = 80;
/// From here on there is room for a rate.
const WIDE: usize = 100;
/// How many pieces of advice are remembered.
const REMEMBERED: usize = 64;

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const BOLD: &str = "1";
const DIM: &str = "2";

/// Where a line's text begins: after the time and the mark.
const INDENT: usize = 11;

/// Lines for people, and which advice they gave.
pub(crate) struct People {
    colours: bool,
    /// The machine's time zone at the start.
    offset: UtcOffset,
    advised: Mutex<VecDeque<String>>,
}

/// How wide stderr is.
pub(super) fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    match columns {
        0 => WIDEST,
        columns => columns.clamp(NARROWEST, WIDEST),
    }
}

impl People {
    /// With colours or without. To be called before threads run: the time zone cannot be read later.
    pub(crate) fn new(colours: bool) -> Self {
        Self {
            colours,
            offset: UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC),
            advised: Mutex::default(),
        }
    }

    /// In UTC.
    #[cfg(test)]
    pub(crate) fn in_utc(colours: bool) -> Self {
        Self {
            offset: UtcOffset::UTC,
            ..Self::new(colours)
        }
    }

    /// The lines of an event, no wider than `width`.
    pub(crate) fn render(&self, line: &Line, width: usize) -> String {
        let line = &line.escaped();
        let mut text = match line.message.as_str() {
            "transfer ended" => return self.transfer(line, width),
            "fault" => fault_sentence(line),
            "stall" | "stall goes on" => stall_sentence(line),
            "stall over" => format!("{} moves again after {}", place(line), idle(line)),
            "stall ended with its transfer" => {
                format!("{} ended after a stall of {}", place(line), idle(line))
            }
            _ => sentence(line),
        };
        if let Some(id) = line.number("id") {
            let _ = write!(text, "  #{id}");
        }
        let mut lines = format!("{} {} ", self.time(line), self.mark(line.level));
        lines.push_str(&wrapped(&text, INDENT, width));
        lines.push('\n');
        if let Some(advice) = line.text("advice").filter(|advice| self.is_new(advice)) {
            let text = wrapped(&format!("advice: {advice}"), INDENT + 2, width);
            let _ = writeln!(lines, "{:INDENT$}  {}", "", self.painted(BOLD, &text));
        }
        lines
    }

    fn transfer(&self, line: &Line, width: usize) -> String {
        let result = line.text("result").unwrap_or("-");
        let status = line.number("status").filter(|status| *status >= 400);
        let failed = !matches!(result, "answered" | "closed");
        let mark = match status {
            _ if failed => self.painted(RED, "!"),
            // A 401 is how a client learns that it is to send its credentials.
            None | Some(401) => self.painted(GREEN, "✓"),
            Some(_) => self.painted(YELLOW, "!"),
        };
        let wide = width >= WIDE;
        let method = line.text("method").unwrap_or("-");
        let begin = format!(
            "{method:<4} {}",
            padded(&host(line), if wide { 22 } else { 14 })
        );
        let way = padded(
            line.text("upstream").unwrap_or("-"),
            if wide { 10 } else { 8 },
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
        // The status of a failed transfer is gitferry's own.
        let what = what(line, status.filter(|_| !failed));
        let middle = if failed {
            let code = shortened(result, room * 2 / 3);
            let what = padded(&what, room.saturating_sub(count(&code) + 1));
            format!("{what} {}", self.painted(RED, &code))
        } else {
            let numbers = numbers(line, wide);
            format!(
                "{} {numbers}",
                padded(&what, room.saturating_sub(count(&numbers) + 1))
            )
        };
        let (time, id) = (self.time(line), self.painted(DIM, &id));
        format!("{time} {mark} {begin} {middle} {end}{id}\n")
    }

    fn time(&self, line: &Line) -> String {
        let at = OffsetDateTime::from(line.time).to_offset(self.offset);
        let text = format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
        self.painted(DIM, &text)
    }

    fn mark(&self, level: Level) -> String {
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

    /// True for an advice that was not given lately.
    fn is_new(&self, advice: &str) -> bool {
        let mut advised = self.advised.lock().unwrap_or_else(PoisonError::into_inner);
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

/// What a transfer was about, with its status where that says no, and the number of attempts.
fn what(line: &Line, status: Option<u64>) -> String {
    let method = line.text("method").unwrap_or_default();
    let path = line.text("path").unwrap_or_default();
    let mut what = resource::describe(method, path);
    if let Some(status) = status {
        let _ = write!(what, " {status}");
    }
    if let Some(attempts) = line.number("attempts").filter(|attempts| *attempts > 1) {
        let _ = write!(what, " ×{attempts}");
    }
    what
}

/// Size and, where there is room, rate of the larger direction.
fn numbers(line: &Line, rate: bool) -> String {
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
        // That of a few bytes says nothing.
        let shown = (bytes >= 64 << 10).then(|| size::rate(bytes, ms));
        let _ = write!(text, " {:>10}", shown.unwrap_or_default());
    }
    text
}

/// The host, with a port that is not the usual one.
fn host(line: &Line) -> String {
    let host = line.text("host").unwrap_or("-");
    match line.number("port") {
        None | Some(0 | 80 | 443) => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

/// The host and the upstream.
fn place(line: &Line) -> String {
    match line.text("upstream") {
        Some(upstream) => format!("{} via {upstream}", host(line)),
        None => host(line),
    }
}

fn idle(line: &Line) -> String {
    size::duration(line.number("idle_ms").unwrap_or(0))
}

/// `hf.co via office: the hop refused (403) while asking the hop, with 192.0.2.7:3128; next upstream: tunnel`.
fn fault_sentence(line: &Line) -> String {
    let kind = line.text("kind").unwrap_or("-");
    let (meaning, value) = fault::meaning(kind).unwrap_or((kind, None));
    let leg = match line.text("leg") {
        Some("hop") => ", hop leg",
        Some("client") => ", client leg",
        _ => "",
    };
    let meaning = lower(meaning.trim_end_matches('.'));
    let mut text = format!("{}{leg}: {meaning}", place(line));
    if let Some(value) = value {
        let _ = write!(text, " ({value})");
    }
    let _ = write!(text, " {}", during(line));
    let code = line.text("code").unwrap_or_default();
    let cause = line.text("cause").unwrap_or_default();
    let rest = cause.strip_prefix(code).unwrap_or(cause);
    let rest = rest.trim_start_matches([' ', ':']);
    if !rest.is_empty() {
        let _ = write!(text, ", {}", without_numbers(rest));
    }
    let next = match (line.text("next_upstream"), line.number("wait_ms")) {
        (Some(upstream), _) => format!("next upstream: {upstream}"),
        (None, Some(ms)) => format!("trying again in {}", size::duration(ms)),
        (None, None) => "giving up".into(),
    };
    text + "; " + &next
}

/// `connection refused`, not `connection refused (os error 111)`.
fn without_numbers(cause: &str) -> &str {
    cause.split(" (os error ").next().unwrap_or(cause)
}

fn stall_sentence(line: &Line) -> String {
    let action = match line.text("action") {
        Some("fail") => "gitferry ends the transfer",
        Some("failover") => "gitferry tries another upstream where that is safe",
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

/// In which part of a transfer.
fn during(line: &Line) -> &'static str {
    let name = line.text("stage").unwrap_or_default();
    let stage = Stage::ALL.into_iter().find(|stage| stage.as_str() == name);
    match stage {
        Some(Stage::Accepted) => "in the client's request",
        Some(Stage::Queued) => "while queued",
        Some(Stage::Resolving) => "while looking the name up",
        Some(Stage::Connecting) => "while connecting",
        Some(Stage::Greeting) => "while asking the hop to connect",
        Some(Stage::Handshaking) => "in the TLS handshake",
        Some(Stage::SendingHead | Stage::SendingBody) => "while sending the request",
        Some(Stage::AwaitingHead) => "while waiting for the response",
        Some(Stage::ReceivingBody) => "while receiving the response",
        None => "",
    }
}

/// Message and fields of any other event, the fields that say most first.
fn sentence(line: &Line) -> String {
    let mut text = line.message.clone();
    for (name, value) in &line.values {
        if matches!(*name, "advice" | "id" | "remedy") {
            continue;
        }
        let shown = match value {
            serde_json::Value::String(value) => value.clone(),
            value => value.to_string(),
        };
        let (name, shown) = match (name.strip_suffix("_ms"), name.strip_suffix("_s")) {
            (Some(name), _) => (name, shown.parse().map_or(shown, size::duration)),
            (None, Some(name)) => (name, shown + " s"),
            (None, None) => (*name, shown),
        };
        if !shown.is_empty() {
            let _ = write!(text, ", {} {shown}", name.replace('_', " "));
        }
    }
    text.replacen(", ", ": ", 1)
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    // An acronym stays.
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

fn count(text: &str) -> usize {
    text.chars().count()
}

/// At most `room` characters, the middle left out.
fn shortened(text: &str, room: usize) -> String {
    let length = count(text);
    if length <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(1) else {
        return String::new();
    };
    let end = room / 2;
    let begin: String = text.chars().take(room - end).collect();
    let rest: String = text.chars().skip(length - end).collect();
    format!("{begin}…{rest}")
}

/// Exactly `room` characters.
fn padded(text: &str, room: usize) -> String {
    format!("{:<room$}", shortened(text, room))
}

/// `text` in lines of at most `width`, all but the first indented.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let mut lines = String::new();
    let mut used = indent;
    for word in text.split(' ') {
        let mut word = word;
        let mut length = count(word);
        if used > indent && used + 1 + length > width {
            let _ = write!(lines, "\n{:indent$}", "");
            used = indent;
        } else if used > indent {
            lines.push(' ');
            used += 1;
        }
        // A word that is longer than a line is cut.
        while used + length > width {
            let at = word
                .char_indices()
                .nth(width - used)
                .map_or(word.len(), |(at, _)| at);
            let (begin, rest) = word.split_at_checked(at).unwrap_or((word, ""));
            let _ = write!(lines, "{begin}\n{:indent$}", "");
            (word, length, used) = (rest, count(rest), indent);
        }
        lines.push_str(word);
        used += length;
    }
    lines
}

#[cfg(test)]
mod tests;
