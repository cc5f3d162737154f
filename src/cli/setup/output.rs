//! What `setup` prints, and whether it makes the changes: lines that could be typed, notes behind `#`, warnings on stderr.

use std::io::{self, Write};

use crate::{cli::Failure, model::columns::filled};

/// Stdout and stderr, and whether changes are only printed.
pub(super) struct Output<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    dry: bool,
    /// The width of notes and warnings.
    columns: usize,
    error: Option<io::Error>,
}

impl<'a> Output<'a> {
    /// `dry` where changes are printed and not made.
    pub(super) fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, dry: bool) -> Self {
        Self {
            out,
            err,
            dry,
            columns: usize::MAX,
            error: None,
        }
    }

    /// Wraps notes and warnings at the width of a terminal.
    pub(super) fn within(mut self, columns: Option<usize>) -> Self {
        self.columns = columns.unwrap_or(usize::MAX);
        self
    }

    /// True where nothing may be changed.
    pub(super) fn dry(&self) -> bool {
        self.dry
    }

    /// Makes a change, unless changes are only printed.
    pub(super) fn make(&self, change: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        match self.dry {
            true => Ok(()),
            false => change(),
        }
    }

    /// A line that can be typed, or that stands in a file.
    pub(super) fn text(&mut self, line: &str) {
        if let Err(error) = writeln!(self.out, "{line}") {
            self.error.get_or_insert(error);
        }
    }

    /// Prints a line for the reader.
    pub(super) fn note(&mut self, line: &str) {
        let line = filled("# ", 2, line, self.columns);
        // A line after the first begins with two blanks.
        self.text(&line.replace("\n  ", "\n# "));
    }

    /// What the reader has to change.
    pub(super) fn warn(&mut self, line: &str) {
        let line = filled("warning: ", 2, line, self.columns);
        if let Err(error) = writeln!(self.err, "{line}") {
            self.error.get_or_insert(error);
        }
    }

    /// Flushes. Fails where a line could not be written: a set-up is finished first, even if nobody reads what it prints.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        let result = self.out.flush();
        crate::cli::printed(match self.error.take() {
            Some(error) => Err(error),
            None => result,
        })
    }
}

/// `text` as one word of a POSIX shell.
pub(super) fn shell_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
