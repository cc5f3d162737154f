//! Where log lines go and how they look: a line a transfer for people, logfmt or JSON for programs, on stderr.
//!
//! Only gitferry's own events pass below warn: at debug, HTTP libraries print headers. [`writer`] does the writing, so that a reader
//! that stops holds nothing up.

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

use crate::config::{Log, LogFormat, LogLevel};
pub(crate) use line::Line;
pub(crate) use people::People;
use writer::Writer;

/// What a reload changes.
static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);
static FORMAT: AtomicU8 = AtomicU8::new(0);
static WRITER: OnceLock<Writer> = OnceLock::new();
static RENDERER: OnceLock<Renderer> = OnceLock::new();

/// How long the end of the daemon waits for the log's reader.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Begins logging, or changes how it is done where it has begun. Fails where the thread that writes cannot start.
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
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let renderer = RENDERER.get_or_init(|| Renderer {
        colours,
        people: People::new(colours),
    });
    let writer = Writer::to_stderr(dropped_line)?;
    let writer = WRITER.get_or_init(|| writer);
    // A subscriber of a test, where there is one, stays.
    let _ = set_global_default(Lines { writer, renderer });
    Ok(())
}

/// Lets what is queued be written, for half a second at most.
pub(crate) fn finish() {
    if let Some(writer) = WRITER.get() {
        writer.flush(LAST_LINES);
    }
}

/// Lines that were queued for the log's reader.
pub(crate) fn lines() -> u64 {
    WRITER.get().map_or(0, Writer::queued)
}

/// Lines that were dropped because nobody read the log.
pub(crate) fn dropped() -> u64 {
    WRITER.get().map_or(0, Writer::lost)
}

/// gitferry's own events by the configured level; of other crates no more than warnings.
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

/// One line an event.
struct Lines {
    writer: &'static Writer,
    renderer: &'static Renderer,
}

struct Renderer {
    colours: bool,
    people: People,
}

impl Renderer {
    fn render(&self, line: &Line) -> String {
        match FORMAT.load(Ordering::Relaxed) {
            0 => line.logfmt(self.colours),
            1 => self.people.render(line, people::columns()),
            _ => line.json(),
        }
    }
}

impl Subscriber for Lines {
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
        let line = Line::of(event, SystemTime::now());
        self.writer.write(self.renderer.render(&line));
    }

    // Spans are not wanted, so none of these is called for one that counts.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What the log says of lines that it lost.
fn dropped_line(count: u64) -> String {
    let line = Line::new(Level::WARN, SystemTime::now(), "log lines dropped")
        .with("count", count)
        .with(
            "advice",
            "read the log faster, or set `level = \"warn\"` in `[log]`",
        );
    RENDERER
        .get()
        .map_or_else(String::new, |renderer| renderer.render(&line))
}
