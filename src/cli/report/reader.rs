//! Reads a log: recognises the format of each line, and counts incomplete, overlong and foreign lines.
//!
//! It keeps one line in memory, of at most [`LONGEST`] bytes.

use std::io::{self, BufRead, Read as _};

use super::{
    events,
    object::{self, JsonLine},
    summary::LogSummary,
    text::{self, TextLine},
};

/// The longest line. journald cuts lines at 48 KiB, and gitferry's are shorter: a longer one is another program's.
const LONGEST: u64 = 1 << 20;

/// Reads `input` to its end into `summary`. Fails where reading fails, or where the input is compressed.
pub(super) fn read(input: impl BufRead, summary: &mut LogSummary) -> io::Result<()> {
    let mut reader = Reader {
        input,
        line: Vec::new(),
        export: None,
    };
    if reader.input.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Err(io::Error::other(
            "it is compressed: decompress it first, such as with `zcat`",
        ));
    }
    while let Some(end) = reader.next()? {
        reader.take(end, summary)?;
    }
    reader.entry_ended(End::Input, summary);
    Ok(())
}

struct Reader<R> {
    input: R,
    line: Vec<u8>,
    /// The entry of a `journalctl -o export` that is being read.
    export: Option<JournalEntry>,
}

#[derive(Default)]
struct JournalEntry {
    message: Option<Vec<u8>>,
    pid: u32,
}

/// How a line ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Newline,
    /// The input ended: the line may be incomplete.
    Input,
    /// It was longer than [`LONGEST`], and the rest was skipped.
    TooLong,
}

impl<R: BufRead> Reader<R> {
    fn next(&mut self) -> io::Result<Option<End>> {
        self.line.clear();
        let read = (&mut self.input)
            .take(LONGEST)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            self.line.pop_if(|last| *last == b'\r');
            return Ok(Some(End::Newline));
        }
        if (read as u64) < LONGEST {
            return Ok(Some(End::Input));
        }
        loop {
            self.line.clear();
            let read = (&mut self.input)
                .take(LONGEST)
                .read_until(b'\n', &mut self.line)?;
            if read == 0 || self.line.last() == Some(&b'\n') {
                return Ok(Some(End::TooLong));
            }
        }
    }

    fn take(&mut self, end: End, summary: &mut LogSummary) -> io::Result<()> {
        if end == End::TooLong {
            summary.lines.foreign += 1;
            return Ok(());
        }
        if self.export.is_some() {
            return self.export_line(end, summary);
        }
        if self.line.starts_with(b"__CURSOR=") {
            self.export = Some(JournalEntry::default());
            return Ok(());
        }
        line(&self.line, 0, end, Container::Log, summary);
        Ok(())
    }

    /// systemd's `Journal Export Format`: `NAME=text`, or `NAME`, a length of eight bytes and as many bytes; an empty line ends
    /// the entry.
    fn export_line(&mut self, end: End, summary: &mut LogSummary) -> io::Result<()> {
        if self.line.is_empty() {
            self.entry_ended(End::Newline, summary);
            return Ok(());
        }
        let whole = end == End::Newline;
        let Some(equals) = self.line.iter().position(|b| *b == b'=') else {
            return if whole { self.binary() } else { Ok(()) };
        };
        let (name, value) = self.line.split_at_checked(equals).unwrap_or_default();
        let value = value.get(1..).unwrap_or_default();
        if let Some(entry) = &mut self.export {
            match name {
                b"MESSAGE" if whole => entry.message = Some(value.to_vec()),
                b"_PID" => entry.pid = pid(value),
                _ => {}
            }
        }
        Ok(())
    }

    fn binary(&mut self) -> io::Result<()> {
        let mut length = [0; 8];
        if self.input.read_exact(&mut length).is_err() {
            return Ok(());
        }
        let length = u64::from_le_bytes(length);
        let kept = length.min(LONGEST);
        let mut value = Vec::new();
        (&mut self.input).take(kept).read_to_end(&mut value)?;
        // The newline after it too.
        io::copy(
            &mut (&mut self.input).take((length - kept).saturating_add(1)),
            &mut io::sink(),
        )?;
        if let Some(entry) = &mut self.export
            && self.line == b"MESSAGE"
            && length == kept
        {
            entry.message = Some(value);
        }
        Ok(())
    }

    fn entry_ended(&mut self, end: End, summary: &mut LogSummary) {
        match self.export.take() {
            Some(JournalEntry {
                message: Some(message),
                pid,
            }) => {
                line(&message, pid, End::Newline, Container::Journal, summary);
            }
            Some(_) if end == End::Newline => summary.lines.foreign += 1,
            Some(_) => summary.lines.cut += 1,
            None => {}
        }
    }
}

fn pid(digits: &[u8]) -> u32 {
    let digits = std::str::from_utf8(digits).unwrap_or_default();
    digits.parse().unwrap_or_default()
}

/// What contains a line.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    /// A log.
    Log,
    /// An entry of the journal, which cannot contain another entry.
    Journal,
}

fn line(bytes: &[u8], pid: u32, end: End, place: Container, summary: &mut LogSummary) {
    let text = String::from_utf8_lossy(bytes);
    if text.starts_with('{') {
        return object(&text, pid, end, place, summary);
    }
    // A line of the journal's short format that contains JSON.
    if place == Container::Log
        && let Some((prefix, rest)) = text.split_once("]: {")
        && let Some((_, digits)) = prefix.rsplit_once('[')
    {
        let rest = text.get(text.len() - rest.len() - 1..).unwrap_or_default();
        return object(
            rest,
            self::pid(digits.as_bytes()),
            end,
            Container::Journal,
            summary,
        );
    }
    let parsed = match place {
        Container::Log => text::parse(&text, end),
        Container::Journal => text::payload(&text, pid, end),
    };
    match parsed {
        TextLine::Event(record) => event(&record, end, summary),
        TextLine::Advice(advice) if end == End::Newline => {
            summary.lines.advice += 1;
            summary.note_advice(advice);
        }
        TextLine::Advice(_) => summary.lines.cut += 1,
        TextLine::Broken => summary.lines.unreadable += 1,
        TextLine::Foreign => summary.lines.foreign += 1,
    }
}

fn object(text: &str, pid: u32, end: End, place: Container, summary: &mut LogSummary) {
    match object::parse(text, pid) {
        JsonLine::Event(record) => event(&record, End::Newline, summary),
        JsonLine::Entry { message, pid } if place == Container::Log => {
            line(&message, pid, End::Newline, Container::Journal, summary);
        }
        JsonLine::Broken if end != End::Newline => summary.lines.cut += 1,
        JsonLine::Broken => summary.lines.unreadable += 1,
        JsonLine::Entry { .. } | JsonLine::Foreign => summary.lines.foreign += 1,
    }
}

fn event(record: &super::record::LogRecord<'_>, end: End, summary: &mut LogSummary) {
    if events::take(record, summary) {
        summary.lines.events += 1;
    } else if end == End::Newline {
        summary.lines.unreadable += 1;
    } else {
        summary.lines.cut += 1;
    }
}
