//! The destination and format of log lines: one line per transfer for people, logfmt or JSON for programs, on stderr.
//!
//! Below warn only gitferry's own events are logged, because at debug HTTP libraries print headers. [`writer`] does the writing, so a
//! blocked reader delays nothing.

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

/// The settings that a reload changes.
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);
static FORMAT: AtomicU8 = AtomicU8::new(0);
static WRITER: OnceLock<Writer> = OnceLock::new();
static RENDERER: OnceLock<Renderer> = OnceLock::new();

/// How long the daemon waits for the log's reader when it stops.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Starts logging, or changes its settings where it was started. Fails where the writer thread cannot start.
pub(crate) fn init(log: Log) -> io::Result<()> {
    LEVEL.store(log.level as u8, Ordering::Relaxed);
    let terminal = io::stderr().is_terminal();
    let format = match log.format {
        LogFormat::Auto if terminal => 1,
        LogFormat::People => 1,
        LogFormat::Json => 2,
        LogFormat::Auto | LogFormat::Logfmt => 0,
    };
    FORMAT.store(format, Ordering::Relaxed);
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
    let _ = set_global_default(LineLayer { writer, renderer });
    Ok(())
}

/// Waits until queued lines are written, for half a second at most.
pub(crate) fn finish() {
    if let Some(writer) = WRITER.get() {
        writer.flush(LAST_LINES);
    }
}

/// Lines that were queued for the log's reader.
pub(crate) fn lines() -> u64 {
    WRITER.get().map_or(0, Writer::queued)
}

/// Lines that were dropped because the log's reader was blocked.
pub(crate) fn dropped() -> u64 {
    WRITER.get().map_or(0, Writer::lost)
}

/// gitferry's own events at the configured level; only warnings and errors of other crates.
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
    metadata.is_event() && rank <= if own { limit } else { limit.min(1) }
}

/// Writes one line per event.
struct LineLayer {
    writer: &'static Writer,
    renderer: &'static Renderer,
}

struct Renderer {
    colours: bool,
    people: People,
}

impl Renderer {
    fn render(&self, line: &LogLine) -> String {
        match FORMAT.load(Ordering::Relaxed) {
            0 => line.logfmt(self.colours),
            1 => self.people.render(line, people::columns()),
            _ => line.json(),
        }
    }
}

impl Subscriber for LineLayer {
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

    // Spans are disabled, so these are never called for a span that matters.
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
