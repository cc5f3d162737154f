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

use crate::config::{Log, LogFormat, LogLevel};

/// What a reload changes; a `Filtered` layer of tracing-subscriber cannot be put in another's place
/// (tokio-rs/tracing#1629), so the filter is ours.
static LEVEL: AtomicU8 = AtomicU8::new(2);
static JSON: AtomicBool = AtomicBool::new(false);

/// Begins logging, or changes how it is done where it has begun.
pub fn init(log: Log) {
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
        let line = render(event, JSON.load(Ordering::Relaxed), now(), self.colours);
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
        let message: String = self.message.chars().flat_map(shown).collect();
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

/// A control character as its escape, so that one event stays one line.
fn shown(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

/// RFC 3339, UTC, milliseconds.
fn now() -> String {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    rfc3339(since.as_secs(), since.subsec_millis())
}

pub(crate) fn rfc3339(seconds: u64, millis: u32) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

/// Days since 1970-01-01 to a date of the Gregorian calendar, counted in eras of 400 years that begin in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_rfc_3339() {
        assert_eq!(rfc3339(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(
            rfc3339(1_795_440_896, 120),
            "2026-11-23T14:14:56.120Z".replace("14:14:56", &rfc3339(1_795_440_896, 0)[11..19])
        );
    }

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
