//! The destination and format of log lines: one line per transfer for people, logfmt or JSON for programs, on stderr.
//!
//! Below warn only gitferry's own events are logged, because HTTP libraries print headers at debug. [`writer`] writes in a thread of its
//! own, so that a blocked reader of the log delays nothing.

mod line;
mod people;
mod writer;

use std::{
    io::{self, IsTerminal},
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, SystemTime},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::{Interest, set_global_default},
};

use crate::{
    config::{Log, LogFormat, LogLevel},
    rt,
};
pub(crate) use line::LogLine;
pub(crate) use people::People;
use writer::Writer;

/// The level and the format, which a reload may change.
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);
static FORMAT: AtomicU8 = AtomicU8::new(LogFormat::Logfmt as u8);
static WRITER: OnceLock<Writer> = OnceLock::new();
static RENDERER: OnceLock<Renderer> = OnceLock::new();

/// How long the daemon waits for the log's reader when it stops.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Starts logging, or changes its settings where it was started. Fails where the writer thread cannot start.
pub(crate) fn init(log: Log) -> io::Result<()> {
    LEVEL.store(log.level as u8, Ordering::Relaxed);
    let terminal = io::stderr().is_terminal();
    let format = match log.format {
        LogFormat::Auto if terminal => LogFormat::People,
        LogFormat::Auto => LogFormat::Logfmt,
        format => format,
    };
    FORMAT.store(format as u8, Ordering::Relaxed);
    if WRITER.get().is_some() {
        tracing::callsite::rebuild_interest_cache();
        return Ok(());
    }
    let colours = rt::shows_colours(io::stderr());
    let renderer = RENDERER.get_or_init(|| Renderer {
        colours,
        people: People::new(colours),
    });
    let writer = Writer::to_stderr(dropped_line)?;
    let writer = WRITER.get_or_init(|| writer);
    // A test's own subscriber stays in place.
    let _ = set_global_default(LineSubscriber { writer, renderer });
    Ok(())
}

/// Waits until queued lines are written, for [`LAST_LINES`] at most.
pub(crate) fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(LAST_LINES);
    }
}

/// The number of lines that were queued for the log's reader.
pub(crate) fn lines() -> u64 {
    WRITER.get().map_or(0, Writer::queued)
}

/// The number of lines that were dropped because the log's reader was blocked.
pub(crate) fn dropped_lines() -> u64 {
    WRITER.get().map_or(0, Writer::lost)
}

/// True for gitferry's own events up to the configured level, and for warnings and errors of other crates.
fn is_wanted(metadata: &Metadata<'_>) -> bool {
    let own = metadata.target().split("::").next() == Some("gitferry");
    let rank = match *metadata.level() {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        _ => LogLevel::Trace,
    } as u8;
    let limit = LEVEL.load(Ordering::Relaxed);
    let limit = match own {
        true => limit,
        false => limit.min(LogLevel::Warn as u8),
    };
    metadata.is_event() && rank <= limit
}

/// Writes one line per event.
struct LineSubscriber {
    writer: &'static Writer,
    renderer: &'static Renderer,
}

struct Renderer {
    colours: bool,
    people: People,
}

impl Renderer {
    fn render(&self, line: &LogLine) -> String {
        const PEOPLE: u8 = LogFormat::People as u8;
        const JSON: u8 = LogFormat::Json as u8;
        match FORMAT.load(Ordering::Relaxed) {
            PEOPLE => self.people.render(line, people::columns()),
            JSON => line.json(),
            _ => line.logfmt(self.colours),
        }
    }
}

impl Subscriber for LineSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_wanted(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_wanted(metadata)
    }

    fn event(&self, event: &Event<'_>) {
        let line = LogLine::of(event, SystemTime::now());
        self.writer.write(self.renderer.render(&line));
    }

    // `is_wanted` disables all spans, so the methods below have nothing to do.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The line that reports dropped lines.
fn dropped_line(count: u64) -> String {
    let line = LogLine::new(Level::WARN, SystemTime::now(), "log lines dropped")
        .with("count", count)
        .with(
            "advice",
            "read the log faster, or set `level = \"warn\"` in `[log]`",
        );
    RENDERER
        .get()
        .map_or_else(String::new, |renderer| renderer.render(&line))
}
