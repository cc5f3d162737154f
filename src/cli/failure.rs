//! Why a command ends with 1 or 2: a chain of causes, each told once, and a hint apart from them.

use std::{error::Error, fmt, process::ExitCode};

/// A command's failure; rendered by [`Failure::report`] alone.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    cause: Box<dyn Error + Send + Sync>,
    hint: Option<Box<str>>,
}

impl Failure {
    /// It worked and found a fault, or could not do its work: exit code 1.
    pub(crate) fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            code: 1,
            cause: cause.into(),
            hint: None,
        }
    }

    /// The user asked for what cannot be: exit code 2.
    pub(crate) fn usage(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            code: 2,
            ..Self::new(cause)
        }
    }

    /// `what` was being done when `source` happened.
    pub(crate) fn during(
        what: impl Into<Box<str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::new(Step {
            what: what.into(),
            source: source.into(),
        })
    }

    /// With a sentence that names a command or a key.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Writes the failure to stderr; the exit code is the command's.
    pub(crate) fn report(&self) -> ExitCode {
        use std::io::Write as _;
        // Where stderr is gone there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "gitferry: {self}");
        ExitCode::from(self.code)
    }
}

/// The causes, outermost first, then the hint on a line of its own.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(&*self.cause))?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Step {
    what: Box<str>,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Step {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// An error and its sources on one line. A level that the one above has already quoted is left out.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(level) = next {
        let words = level.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = level.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_cause_is_told_once_and_the_hint_apart() {
        let io = io::Error::other("no space left");
        let quoting = Failure::during("cannot write x: no space left", io);
        assert_eq!(quoting.to_string(), "cannot write x: no space left");
        let io = io::Error::from_raw_os_error(2);
        let failure = Failure::during("cannot read /x", io).hint("run `gitferry run`");
        assert_eq!(
            failure.to_string(),
            "cannot read /x: No such file or directory (os error 2)\nhint: run `gitferry run`"
        );
    }
}
