//! What `setup` says: changes as they could be typed, notes behind `#`, warnings on stderr.

use std::io::{self, Write};

use crate::cli::Failure;

/// The two ways out, and whether changes are only said.
pub(super) struct Output<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    dry: bool,
    trouble: Option<io::Error>,
}

impl<'a> Output<'a> {
    /// `dry` where changes are said and not made.
    pub(super) fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, dry: bool) -> Self {
        Self {
            out,
            err,
            dry,
            trouble: None,
        }
    }

    /// True where nothing may be changed.
    pub(super) fn dry(&self) -> bool {
        self.dry
    }

    /// A line that can be typed, or that stands in a file.
    pub(super) fn text(&mut self, line: &str) {
        let result = writeln!(self.out, "{line}");
        if let Err(error) = result {
            self.trouble.get_or_insert(error);
        }
    }

    /// A line for the reader.
    pub(super) fn note(&mut self, line: &str) {
        self.text(&format!("# {line}"));
    }

    /// What needs the reader's hand.
    pub(super) fn warn(&mut self, line: &str) {
        if let Err(error) = writeln!(self.err, "warning: {line}") {
            self.trouble.get_or_insert(error);
        }
    }

    /// Flushes; fails where something could not be said. A set-up that began is finished, whoever listens.
    pub(super) fn close(&mut self) -> Result<(), Failure> {
        let result = self.out.flush();
        crate::cli::printed(match self.trouble.take() {
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
