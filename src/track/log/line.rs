//! One event as the log holds it, and its two forms for programs; `gitferry report` reads both back.

use std::{fmt, time::SystemTime};

use serde_json::Value;
use tracing::{
    Event, Level,
    field::{Field, Visit},
};

use crate::track::{moment, redact};

/// An event with its fields.
#[derive(Debug)]
pub(crate) struct Line {
    pub(super) time: SystemTime,
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) values: Vec<(&'static str, Value)>,
}

impl Line {
    /// One without fields.
    pub(crate) fn new(level: Level, time: SystemTime, message: &str) -> Self {
        Self {
            time,
            level,
            message: message.to_owned(),
            values: Vec::new(),
        }
    }

    /// The fields of `event`, at this time.
    pub(crate) fn of(event: &Event<'_>, time: SystemTime) -> Self {
        let mut line = Self::new(*event.metadata().level(), time, "");
        event.record(&mut line);
        line
    }

    /// With a field more.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.push((name, value.into()));
        self
    }

    /// The same with what a terminal would obey as escapes.
    pub(super) fn escaped(&self) -> Self {
        let escaped = |(name, value): &(&'static str, Value)| {
            let value = match value {
                Value::String(text) => redact::escaped(text).into_owned().into(),
                other => other.clone(),
            };
            (*name, value)
        };
        Self {
            message: redact::escaped(&self.message).into_owned(),
            values: self.values.iter().map(escaped).collect(),
            ..*self
        }
    }

    /// A field's text; `None` where it is missing, empty or no text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// A field's number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.as_u64()
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let mut values = self.values.iter();
        values.find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// One object and a newline.
    pub(crate) fn json(&self) -> String {
        let mut object = serde_json::Map::new();
        object.insert("time".into(), moment::logged(self.time).into());
        let level = self.level.as_str().to_ascii_lowercase();
        object.insert("level".into(), level.into());
        object.insert("message".into(), self.message.clone().into());
        let values = self.values.iter();
        object.extend(values.map(|(name, value)| ((*name).to_owned(), value.clone())));
        Value::Object(object).to_string() + "\n"
    }

    /// Time, level, message, `name=value`; an advice on a line of its own.
    pub(crate) fn logfmt(&self, colours: bool) -> String {
        let (begin, end) = match (colours, self.level) {
            (false, _) => ("", ""),
            (true, Level::ERROR) => ("\u{1b}[31m", "\u{1b}[0m"),
            (true, Level::WARN) => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, _) => ("\u{1b}[2m", "\u{1b}[0m"),
        };
        // Ours are constant; those of libraries may quote a peer.
        let message = redact::escaped(&self.message);
        let now = moment::logged(self.time);
        let mut line = format!("{now} {begin}{:>5}{end} {message}", self.level.as_str());
        let mut advice = None;
        for (name, value) in &self.values {
            let shown = match value {
                Value::String(text) if *name == "advice" => {
                    advice = Some(text);
                    continue;
                }
                Value::String(text) if text.is_empty() => continue,
                Value::String(text)
                    if text.contains(|c: char| c.is_control() || " \"=".contains(c)) =>
                {
                    value.to_string()
                }
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            line.push_str(&format!(" {name}={shown}"));
        }
        if let Some(advice) = advice {
            let advice: String = advice.chars().filter(|c| !c.is_control()).collect();
            line.push_str(&format!("\n{:25}advice: {advice}", ""));
        }
        line + "\n"
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.values.push((field.name(), value.into()));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.values.push((field.name(), value.into()));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.values.push((field.name(), value.into()));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.values.push((field.name(), value.into()));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.values.push((field.name(), value.into()));
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.values.push((field.name(), text.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_logfmt_and_one_of_json_have_the_same_fields() {
        let line = Line::new(Level::WARN, SystemTime::UNIX_EPOCH, "fault")
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
