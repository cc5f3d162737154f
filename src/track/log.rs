//! Where log lines go and how they look: text for people, JSON for programs, on stderr.
//!
//! Only gitferry's own events pass below warn: at debug, HTTP libraries print headers.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::OnceLock,
    time::SystemTime,
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer, filter::Targets, fmt::MakeWriter, layer::Context, layer::SubscriberExt,
    registry::Registry, reload, util::SubscriberInitExt,
};

use crate::config::{Log, LogFormat, LogLevel};

type Handle = reload::Handle<Box<dyn Layer<Registry> + Send + Sync>, Registry>;

static HANDLE: OnceLock<Handle> = OnceLock::new();

/// Begins logging, or changes how it is done where it has begun.
pub fn init(log: Log) {
    if let Some(handle) = HANDLE.get() {
        let _ = handle.reload(layer(log));
        return;
    }
    let (layer, handle) = reload::Layer::new(layer(log));
    if tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .is_ok()
    {
        let _ = HANDLE.set(handle);
    }
}

fn layer(log: Log) -> Box<dyn Layer<Registry> + Send + Sync> {
    let level = match log.level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let filter = Targets::new()
        .with_target("gitferry", level)
        .with_default(Level::WARN.min(level));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    Lines {
        format: log.format,
        colours,
        writer: io::stderr,
    }
    .with_filter(filter)
    .boxed()
}

/// One line an event.
struct Lines<W> {
    format: LogFormat,
    colours: bool,
    writer: W,
}

impl<S: Subscriber, W: for<'a> MakeWriter<'a> + 'static> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = *event.metadata().level();
        let line = match self.format {
            LogFormat::Json => fields.json(level, now()),
            LogFormat::Text => fields.text(level, now(), self.colours),
        };
        // A closed stderr is nobody's fault, and no reason to stop carrying.
        let _ = self.writer.make_writer().write_all(line.as_bytes());
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
        let mut line = format!("{now} {begin}{:>5}{end} {}", level.as_str(), self.message);
        let mut advice = None;
        for (name, value) in self.values {
            let shown = match value {
                serde_json::Value::String(text) if name == "advice" => {
                    advice = Some(text);
                    continue;
                }
                serde_json::Value::String(text) if text.is_empty() => continue,
                serde_json::Value::String(text) if text.contains([' ', '"', '=']) => {
                    serde_json::Value::String(text).to_string()
                }
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            line.push_str(&format!(" {name}={shown}"));
        }
        if let Some(advice) = advice {
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

/// RFC 3339, UTC, milliseconds.
fn now() -> String {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    rfc3339(since.as_secs(), since.subsec_millis())
}

fn rfc3339(seconds: u64, millis: u32) -> String {
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
