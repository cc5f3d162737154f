//! One line of the log, and its two formats for programs, which `gitferry report` parses.
//!
//! Every transfer creates a line, so its texts share one buffer, and each format writes into one string.

use std::{
    fmt::{self, Write as _},
    ops::Range,
    time::SystemTime,
};

use tracing::{
    Event, Level,
    field::{Field, Visit},
};

use crate::track::{digits, moment, redact};

/// An event with its fields.
#[derive(Debug)]
pub(crate) struct LogLine {
    pub(super) time: SystemTime,
    pub(super) level: Level,
    /// The message and the texts of the fields, concatenated.
    text: String,
    message: Range<usize>,
    pub(super) values: Vec<(&'static str, FieldValue)>,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum FieldValue {
    /// The range of its text.
    Text(Range<usize>),
    Number(u64),
    Signed(i64),
    Float(f64),
    Truth(bool),
}

/// The buffer size, in bytes, that suffices for most transfers.
const TEXT: usize = 384;
/// The same for the number of fields.
const FIELDS: usize = 24;

impl LogLine {
    /// A line without fields.
    pub(crate) fn new(level: Level, time: SystemTime, message: &str) -> Self {
        let mut text = String::with_capacity(TEXT);
        text.push_str(message);
        Self {
            time,
            level,
            message: 0..text.len(),
            text,
            values: Vec::with_capacity(FIELDS),
        }
    }

    /// The line of `event`.
    pub(crate) fn of(event: &Event<'_>, time: SystemTime) -> Self {
        let mut line = Self::new(*event.metadata().level(), time, "");
        event.record(&mut line);
        line
    }

    /// Adds a field.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<serde_json::Value>) -> Self {
        let value = match value.into() {
            serde_json::Value::Bool(truth) => FieldValue::Truth(truth),
            serde_json::Value::Number(number) if number.is_u64() => {
                FieldValue::Number(number.as_u64().unwrap_or_default())
            }
            serde_json::Value::String(text) => FieldValue::Text(self.add(format_args!("{text}"))),
            other => FieldValue::Text(self.add(format_args!("{other}"))),
        };
        self.values.push((name, value));
        self
    }

    /// A copy with terminal control characters escaped.
    pub(super) fn escaped(&self) -> Self {
        let mut line = Self::new(self.level, self.time, &redact::escaped(self.message()));
        for (name, value) in &self.values {
            let value = match value {
                FieldValue::Text(place) => {
                    let text = redact::escaped(self.text_at(place));
                    FieldValue::Text(line.add(format_args!("{text}")))
                }
                other => other.clone(),
            };
            line.values.push((name, value));
        }
        line
    }

    /// The message.
    pub(super) fn message(&self) -> &str {
        self.text_at(&self.message)
    }

    /// The fields in order: the name, and the value as text.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.values.iter().map(|(name, value)| {
            let mut shown = String::new();
            match value {
                FieldValue::Text(place) => shown.push_str(self.text_at(place)),
                other => other.write(&mut shown),
            }
            (*name, shown)
        })
    }

    /// A field's text; `None` where the field is missing, empty, or not a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            FieldValue::Text(place) => Some(self.text_at(place)).filter(|text| !text.is_empty()),
            FieldValue::Number(_)
            | FieldValue::Signed(_)
            | FieldValue::Float(_)
            | FieldValue::Truth(_) => None,
        }
    }

    /// A field's number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            FieldValue::Number(number) => Some(*number),
            FieldValue::Signed(number) => u64::try_from(*number).ok(),
            FieldValue::Text(_) | FieldValue::Float(_) | FieldValue::Truth(_) => None,
        }
    }

    /// A field that is true or false.
    pub(super) fn bool_field(&self, name: &str) -> Option<bool> {
        match self.value(name)? {
            FieldValue::Truth(truth) => Some(*truth),
            _ => None,
        }
    }

    fn value(&self, name: &str) -> Option<&FieldValue> {
        let mut values = self.values.iter();
        values.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// One object and a newline.
    pub(crate) fn json(&self) -> String {
        let mut json = String::with_capacity(2 * TEXT);
        json.push_str("{\"time\":\"");
        moment::log(&mut json, self.time);
        json.push_str("\",\"level\":\"");
        json.push_str(level(self.level));
        json.push_str("\",\"message\":");
        quote(&mut json, self.message());
        for (name, value) in &self.values {
            json.push_str(",\"");
            json.push_str(name);
            json.push_str("\":");
            match value {
                FieldValue::Text(place) => quote(&mut json, self.text_at(place)),
                other => other.write(&mut json),
            }
        }
        json.push_str("}\n");
        json
    }

    /// Time, level, message, and `name=value` for each field. An advice has a line of its own.
    pub(crate) fn logfmt(&self, colours: bool) -> String {
        let (begin, end) = match (colours, self.level) {
            (false, _) => ("", ""),
            (true, Level::ERROR) => ("\u{1b}[31m", "\u{1b}[0m"),
            (true, Level::WARN) => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, _) => ("\u{1b}[2m", "\u{1b}[0m"),
        };
        let mut line = String::with_capacity(2 * TEXT);
        moment::log(&mut line, self.time);
        // gitferry's messages are constant; those of libraries may quote a peer.
        let message = redact::escaped(self.message());
        let _ = write!(line, " {begin}{:>5}{end} {message}", self.level.as_str());
        let mut advice = None;
        for (name, value) in &self.values {
            let text = match value {
                FieldValue::Text(place) => self.text_at(place),
                other => {
                    let _ = write!(line, " {name}=");
                    other.write(&mut line);
                    continue;
                }
            };
            if *name == "advice" {
                advice = Some(text);
            } else if text.contains(|c: char| c.is_control() || " \"=".contains(c)) {
                let _ = write!(line, " {name}=");
                quote(&mut line, text);
            } else if !text.is_empty() {
                let _ = write!(line, " {name}={text}");
            }
        }
        if let Some(advice) = advice {
            let advice: String = advice.chars().filter(|c| !c.is_control()).collect();
            let _ = write!(line, "\n{:25}advice: {advice}", "");
        }
        line.push('\n');
        line
    }

    /// Appends a text to the buffer; returns its range.
    fn add(&mut self, text: fmt::Arguments<'_>) -> Range<usize> {
        let begin = self.text.len();
        let _ = self.text.write_fmt(text);
        begin..self.text.len()
    }

    fn text_at(&self, place: &Range<usize>) -> &str {
        self.text.get(place.clone()).unwrap_or_default()
    }
}

impl FieldValue {
    /// Writes a value that is no text.
    fn write(&self, line: &mut String) {
        let _ = match self {
            Self::Text(_) => Ok(()),
            Self::Number(number) => {
                digits::number(line, *number);
                Ok(())
            }
            Self::Signed(number) => write!(line, "{number}"),
            // JSON has no other floats.
            Self::Float(number) if number.is_finite() => write!(line, "{number}"),
            Self::Float(_) => line.write_str("null"),
            Self::Truth(truth) => line.write_str(if *truth { "true" } else { "false" }),
        };
    }
}

/// A level's name in JSON.
fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Writes `text` as JSON does.
fn quote(line: &mut String, text: &str) {
    // No early exit: the compiler can vectorise the loop.
    let odd = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if !text.bytes().fold(false, |any, byte| any | odd(byte)) {
        line.push('"');
        line.push_str(text);
        line.push('"');
    } else {
        let _ = write!(line, "{}", serde_json::Value::from(text));
    }
}

impl Visit for LogLine {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.values.push((field.name(), FieldValue::Float(value)));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.values.push((field.name(), FieldValue::Signed(value)));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.values.push((field.name(), FieldValue::Number(value)));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.values.push((field.name(), FieldValue::Truth(value)));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        let begin = self.text.len();
        self.text.push_str(value);
        let place = FieldValue::Text(begin..self.text.len());
        self.values.push((field.name(), place));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let place = self.add(format_args!("{value:?}"));
        if field.name() == "message" {
            self.message = place;
        } else {
            self.values.push((field.name(), FieldValue::Text(place)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Level, LogLine, SystemTime};

    #[test]
    fn a_line_of_logfmt_and_one_of_json_have_the_same_fields() {
        let line = LogLine::new(Level::WARN, SystemTime::UNIX_EPOCH, "fault")
            .with("code", "a/b/c")
            .with("cause", "it broke")
            .with("attempt", 2)
            .with("advice", "try");
        assert_eq!(
            line.logfmt(false),
            format!(
                "1970-01-01T00:00:00.000Z  WARN fault code=a/b/c cause=\"it broke\" attempt=2\n{:25}advice: try\n",
                ""
            )
        );
        let json: Value = serde_json::from_str(&line.json()).unwrap();
        assert_eq!(json["code"], "a/b/c");
        assert_eq!(json["attempt"], 2);
        assert_eq!(json["level"], "warn");
    }
}
