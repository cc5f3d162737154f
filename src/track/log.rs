//! Where log lines go and how they look: text for people, JSON for programs, on stderr.
//!
//! Only gitferry's own events pass below warn: at debug, HTTP libraries print headers.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    time::SystemTime,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use super::{moment, redact};
use crate::config::{Log, LogFormat, LogLevel};

/// What a reload changes; a `Filtered` layer of tracing-subscriber cannot be put in another's place
/// (tokio-rs/tracing#1629), so the filter is ours.
static LEVEL: AtomicU8 = AtomicU8::new(2);
static JSON: AtomicBool = AtomicBool::new(false);

/// Begins logging, or changes how it is done where it has begun.
pub(crate) fn init(log: Log) {
    let level = match log.level {
        LogLevel::Error => 0,
        LogLevel::Warn => 1,
        LogLevel::Info => 2,
        LogLevel::Debug => 3,
        LogLevel::Trace => 4,
    };
    LEVEL.store(level, Ordering::Relaxed);
    JSON.store(log.format == LogFormat::Json, Ordering::Relaxed);
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // The second time there is a subscriber already, and it reads the settings above.
    if tracing_subscriber::registry()
        .with(Lines { colours })
        .try_init()
        .is_err()
    {
        tracing::callsite::rebuild_interest_cache();
    }
}

/// gitferry's own events by the configured level; of other crates no more than warnings.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    let own = metadata.target().split("::").next() == Some("gitferry");
    let rank = match *metadata.level() {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        _ => 4,
    };
    let limit = LEVEL.load(Ordering::Relaxed);
    metadata.is_event() && rank <= if own { limit } else { limit.min(1) }
}

/// One line an event.
struct Lines {
    colours: bool,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_wanted(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_wanted(metadata)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let line = render(
            event,
            JSON.load(Ordering::Relaxed),
            moment::logged(SystemTime::now()),
            self.colours,
        );
        // A closed stderr is nobody's fault, and no reason to stop carrying.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// The line, or for text with an advice the two lines, of `event` at the time `now`; `gitferry report` reads them back.
pub(crate) fn render(event: &Event<'_>, json: bool, now: String, colours: bool) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let level = *event.metadata().level();
    if json {
        fields.json(level, now)
    } else {
        fields.text(level, now, colours)
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    values: Vec<(&'static str, serde_json::Value)>,
}

impl Fields {
    fn json(self, level: Level, now: String) -> String {
        let mut object = serde_json::Map::new();
        object.insert("time".into(), now.into());
        object.insert("level".into(), level.as_str().to_ascii_lowercase().into());
        object.insert("message".into(), self.message.into());
        object.extend(
            self.values
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value)),
        );
        serde_json::Value::Object(object).to_string() + "\n"
    }

    fn text(self, level: Level, now: String, colours: bool) -> String {
        let (begin, end) = match (colours, level) {
            (false, _) => ("", ""),
            (true, Level::ERROR) => ("\u{1b}[31m", "\u{1b}[0m"),
            (true, Level::WARN) => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, _) => ("\u{1b}[2m", "\u{1b}[0m"),
        };
        // Ours are constant; those of libraries may quote a peer.
        let message = redact::escaped(&self.message);
        let mut line = format!("{now} {begin}{:>5}{end} {message}", level.as_str());
        let mut advice = None;
        for (name, value) in self.values {
            let shown = match value {
                serde_json::Value::String(text) if name == "advice" => {
                    advice = Some(text);
                    continue;
                }
                serde_json::Value::String(text) if text.is_empty() => continue,
                serde_json::Value::String(text)
                    if text.contains(|c: char| c.is_control() || " \"=".contains(c)) =>
                {
                    serde_json::Value::String(text).to_string()
                }
                serde_json::Value::String(text) => text,
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

    fn push(&mut self, field: &Field, value: serde_json::Value) {
        self.values.push((field.name(), value));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value.into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text
        } else {
            self.push(field, text.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_text_and_one_of_json_have_the_same_fields() {
        let fields = || Fields {
            message: "fault".into(),
            values: vec![
                ("code", "a/b/c".into()),
                ("cause", "it broke".into()),
                ("attempt", 2.into()),
                ("advice", "try".into()),
            ],
        };
        let text = fields().text(Level::WARN, "T".into(), false);
        assert_eq!(
            text,
            format!(
                "T  WARN fault code=a/b/c cause=\"it broke\" attempt=2\n{:25}advice: try\n",
                ""
            )
        );
        let json: serde_json::Value =
            serde_json::from_str(&fields().json(Level::WARN, "T".into())).unwrap();
        assert_eq!(json["code"], "a/b/c");
        assert_eq!(json["attempt"], 2);
        assert_eq!(json["level"], "warn");
    }
}
