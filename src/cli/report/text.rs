//! Parses the text format of the log exactly as `track::log` writes it, also with the prefixes of syslog and journald.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    reader::End,
    record::{LogRecord, TIME_LENGTH, Time},
};

/// What a line of text is.
#[derive(Debug)]
pub(super) enum TextLine<'a> {
    /// An event.
    Event(LogRecord<'a>),
    /// The advice for the event before it.
    Advice(&'a str),
    /// It starts like an event, but is invalid.
    Broken,
    /// Another program's.
    Foreign,
}

/// Parses one line. The last field of a line without a newline is left out, because it may be incomplete.
pub(super) fn parse(line: &str, end: End) -> TextLine<'_> {
    if let Some(text) = advice(line).filter(|_| line.starts_with(' ')) {
        return TextLine::Advice(text);
    }
    match event(line, 0, end) {
        TextLine::Foreign => prefixed(line, end),
        ours => ours,
    }
}

/// The same, for a line after a prefix with the process.
pub(super) fn payload(line: &str, pid: u32, end: End) -> TextLine<'_> {
    match advice(line) {
        Some(text) => TextLine::Advice(text),
        None => event(line, pid, end),
    }
}

/// journald strips blanks from the start of a line, so the indent is optional.
fn advice(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("advice: ")
}

/// `Nov 23 16:00:00 host gitferry[123]: …`, also with other forms of the time.
fn prefixed(line: &str, end: End) -> TextLine<'_> {
    let Some((prefix, rest)) = line.split_once("]: ") else {
        return TextLine::Foreign;
    };
    let pid = prefix
        .rsplit_once('[')
        .and_then(|(_, pid)| pid.parse().ok());
    match pid {
        Some(pid) => payload(rest, pid, end),
        None => TextLine::Foreign,
    }
}

fn event(line: &str, pid: u32, line_end: End) -> TextLine<'_> {
    let whole = line_end == End::Newline;
    let Some((time, rest)) = begin(line) else {
        return TextLine::Foreign;
    };
    let Some(rest) = level(rest) else {
        return TextLine::Foreign;
    };
    let end = first_field(rest);
    let (message, mut rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let mut fields = Vec::with_capacity(20);
    while !rest.is_empty() {
        match field(rest) {
            Some((name, value, after)) => {
                fields.push((Cow::Borrowed(name), value));
                rest = after;
            }
            None if !whole => {
                // A field that is cut inside its quotes is left out already.
                fields.push((Cow::Borrowed(""), Value::Null));
                rest = "";
            }
            None => return TextLine::Broken,
        }
    }
    if !whole {
        fields.pop();
    }
    TextLine::Event(LogRecord {
        time: Some(time),
        pid,
        message: Cow::Borrowed(message),
        fields,
    })
}

fn begin(line: &str) -> Option<(Time, &str)> {
    let (time, rest) = line.split_at_checked(TIME_LENGTH)?;
    Some((Time::parse(time)?, rest.strip_prefix(' ')?))
}

/// The rest after the level, which is padded to five characters, and coloured on a terminal.
fn level(rest: &str) -> Option<&str> {
    let rest = uncoloured(rest).trim_start_matches(' ');
    let levels = ["INFO", "WARN", "ERROR", "DEBUG", "TRACE"];
    let rest = levels.iter().find_map(|level| rest.strip_prefix(level))?;
    uncoloured(rest).strip_prefix(' ')
}

fn uncoloured(text: &str) -> &str {
    text.strip_prefix("\u{1b}[")
        .and_then(|rest| rest.split_once('m'))
        .filter(|(code, _)| code.len() <= 2)
        .map_or(text, |(_, rest)| rest)
}

/// Where the message ends: before the first ` name=`.
fn first_field(rest: &str) -> usize {
    let mut spaces = rest.match_indices(' ').map(|(at, _)| at);
    spaces
        .find(|at| name(rest.get(at + 1..).unwrap_or_default()).is_some())
        .unwrap_or(rest.len())
}

/// A field's name, and the text after its equals sign.
fn name(text: &str) -> Option<(&str, &str)> {
    let end = text
        .bytes()
        .position(|b| !(b.is_ascii_alphanumeric() || b == b'_' || b == b'.'))?;
    let (name, rest) = text.split_at_checked(end)?;
    let rest = rest.strip_prefix('=')?;
    (!name.is_empty()).then_some((name, rest))
}

/// Parses a field with the space before it: name, value, rest.
fn field(text: &str) -> Option<(&str, Value, &str)> {
    let (name, rest) = name(text.strip_prefix(' ')?)?;
    if !rest.starts_with('"') {
        let (value, after) = rest.split_at_checked(rest.find(' ').unwrap_or(rest.len()))?;
        return Some((name, value.into(), after));
    }
    let mut escaped = false;
    let end = rest.bytes().enumerate().skip(1).find_map(|(at, b)| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends.then_some(at)
    })?;
    let (quoted, after) = rest.split_at_checked(end + 1)?;
    let inner = quoted.get(1..end)?;
    let value = if inner.contains('\\') {
        serde_json::from_str(quoted).ok()?
    } else {
        inner.into()
    };
    Some((name, value, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026-11-23T16:00:00.123Z  WARN fault id=7 code=hop/greeting/timed-out cause=\"a \\\"b\\\" c=d\" host=hf.co";

    fn record(line: &str, end: End) -> LogRecord<'_> {
        match parse(line, end) {
            TextLine::Event(record) => record,
            other => panic!("{other:?} of {line}"),
        }
    }

    #[test]
    fn a_prefix_of_syslog_or_journald_is_removed_and_its_pid_is_kept() {
        for prefix in [
            "Nov 23 16:00:00 host gitferry[123]: ",
            "2026-11-23T16:00:00+0000 host gitferry[123]: ",
            "Mon 2026-11-23 16:00:00 UTC host gitferry[123]: ",
            "[ 5.123456] host gitferry[123]: ",
        ] {
            let line = format!("{prefix}{LINE}");
            let record = record(&line, End::Newline);
            assert_eq!(record.pid, 123, "{prefix}");
            assert_eq!(record.text("cause"), Some("a \"b\" c=d"));
            assert_eq!(record.text("host"), Some("hf.co"));
        }
        let advised = "Nov 23 16:00:00 host gitferry[123]: advice: run it";
        assert!(matches!(
            parse(advised, End::Newline),
            TextLine::Advice("run it")
        ));
    }

    #[test]
    fn colours_of_a_terminal_are_removed() {
        let line = LINE.replace(" WARN", "\u{1b}[33m WARN\u{1b}[0m");
        assert_eq!(record(&line, End::Newline).message, "fault");
    }

    #[test]
    fn a_line_that_is_cut_anywhere_loses_the_field_that_is_cut_and_no_other() {
        let full = record(LINE, End::Newline);
        for end in (TIME_LENGTH + 12)..LINE.len() {
            let cut = record(&LINE[..end], End::Input);
            assert!(cut.fields.len() < full.fields.len(), "at {end}");
            assert_eq!(cut.fields[..], full.fields[..cut.fields.len()], "at {end}");
        }
    }

    #[test]
    fn other_programs_are_foreign_and_broken_lines_are_broken() {
        for line in [
            "",
            "x",
            "Nov 23 16:00:00 host sshd[1]: Accepted publickey for me",
            "Nov 23 16:00:00 host systemd[1]: Started gitferry.service.",
            "2026-11-23T16:00:00.123456Z  INFO hyper: a=b",
            "2026-11-23T16:00:00.123Z",
            "2026-11-23T16:00:00.123Z é",
            "]: ",
        ] {
            assert!(
                matches!(parse(line, End::Newline), TextLine::Foreign),
                "{line}"
            );
        }
        for line in [
            "id=7 code",
            "id=7 cause=\"x",
            "cause=\"\\x\"",
            "id=7  code=x",
        ] {
            let line = format!("2026-11-23T16:00:00.123Z  WARN fault {line}");
            assert!(
                matches!(parse(&line, End::Newline), TextLine::Broken),
                "{line}"
            );
        }
    }
}
