//! Why a command ends with 1 or 2. Every command writes its errors in one form: `error:` with what failed and where, then `hint:` with
//! what to do.

use std::{
    error::Error,
    fmt,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use crate::{
    config::{Problem, Problems},
    model::columns::filled,
    rt,
    tls::CaError,
};

/// A command's failure; rendered by [`Failure::report`] alone.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    cause: Box<dyn Error + Send + Sync>,
    hint: Option<Box<str>>,
    /// Further failures of the same command, such as the other mistakes of a config.
    others: Vec<Self>,
}

impl Failure {
    /// The command found a fault, or failed: exit code 1.
    pub(crate) fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            code: 1,
            cause: cause.into(),
            hint: None,
            others: Vec::new(),
        }
    }

    /// The mistakes of a config: each is an error with its own hint.
    pub(crate) fn config(problems: &Problems) -> Self {
        let one = |problem: &Problem| Self {
            hint: problem.hint.as_deref().map(Into::into),
            ..Self::new(problem.cause())
        };
        let mut all = problems.0.iter().map(one);
        let first = all
            .next()
            .unwrap_or_else(|| Self::new("the config has errors"));
        Self {
            others: all.collect(),
            ..first
        }
    }

    /// The local CA cannot be used.
    pub(crate) fn ca(error: CaError) -> Self {
        let advice = error.advice.clone();
        Self::new(error).maybe_hint(advice.as_deref())
    }

    /// An error of clap, with the tip or the usage as hint. `command` is the subcommand.
    pub(crate) fn arguments(error: &clap::Error, command: Option<&str>) -> Self {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let mut parts = text.split("\n\n").map(one_line);
        let failure = Self::usage(parts.next().unwrap_or_default());
        let rest: Vec<_> = parts.collect();
        let tip = rest.iter().find_map(|part| part.strip_prefix("tip: "));
        let usage = rest.iter().find_map(|part| part.strip_prefix("Usage: "));
        match (tip, usage) {
            (Some(tip), _) => failure.hint(tip),
            (None, Some(usage)) => failure.hint(format!("usage: {usage}")),
            (None, None) => {
                let help = command.map_or("gitferry help".into(), |name| {
                    format!("gitferry help {name}")
                });
                failure.hint(format!("`{help}` explains the arguments"))
            }
        }
    }

    /// Wrong usage: exit code 2.
    pub(crate) fn usage(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            code: 2,
            ..Self::new(cause)
        }
    }

    /// `what` failed because of `source`.
    pub(crate) fn during(
        what: impl Into<Box<str>>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::new(FailureStep {
            what: what.into(),
            source: source.into(),
        })
    }

    /// For `map_err`: `what`, such as `read`, failed with the file at `path`.
    pub(crate) fn cannot<E: Into<Box<dyn Error + Send + Sync>>>(
        what: &str,
        path: &Path,
    ) -> impl Fn(E) -> Self + use<E> {
        let what = format!("cannot {what} {}", path.display());
        move |error| Self::during(what.clone(), error)
    }

    /// Adds a hint, which names a command or a key.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<Box<str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, where there is such a sentence.
    #[must_use]
    pub(crate) fn maybe_hint(self, hint: Option<&str>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Writes the failure to stderr, and returns the exit code of the command.
    pub(crate) fn report(&self) -> ExitCode {
        for failure in std::iter::once(self).chain(&self.others) {
            say("error", "31", failure);
        }
        ExitCode::from(self.code)
    }
}

/// Writes a warning to stderr, in the form of an error.
pub(crate) fn warn(text: impl fmt::Display) {
    say("warning", "33", text);
}

fn say(label: &str, colour: &str, text: impl fmt::Display) {
    let mut stderr = io::stderr();
    let mut text = format!("{label}: {text}");
    if let Some((columns, _)) = rt::terminal_size(&stderr) {
        text = within(&text, columns);
    }
    let rest = text
        .strip_prefix(label)
        .filter(|_| rt::shows_colours(io::stderr()));
    // A closed stderr has no reader.
    let _ = match rest.and_then(|rest| rest.strip_prefix(':')) {
        Some(rest) => writeln!(stderr, "\x1b[1;{colour}m{label}:\x1b[0m{rest}"),
        None => writeln!(stderr, "{text}"),
    };
}

/// `text` with its lines wrapped at spaces. An excerpt of a file, which begins with a blank, stays.
fn within(text: &str, columns: usize) -> String {
    let fill = |line: &str| match line.starts_with([' ', '|']) {
        true => line.to_owned(),
        false => filled("", 2, line, columns),
    };
    let lines: Vec<String> = text.lines().map(fill).collect();
    lines.join("\n")
}

/// The hint for an error of the system that has none of its own.
fn usual_hint(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(level) = next {
        match level.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => return Some("check the path"),
            Some(io::ErrorKind::PermissionDenied) => {
                return Some("check the owner and the mode of that file");
            }
            Some(io::ErrorKind::IsADirectory) => return Some("name a file"),
            Some(io::ErrorKind::StorageFull) => return Some("free space on that disk"),
            _ => next = level.source(),
        }
    }
    None
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The causes, outermost first, then the hint on its own line; of several failures the first.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(&*self.cause))?;
        match self.hint.as_deref().or(usual_hint(&*self.cause)) {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
struct FailureStep {
    what: Box<str>,
    source: Box<dyn Error + Send + Sync>,
}

impl fmt::Display for FailureStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for FailureStep {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// An error and its sources on one line. A source that the text already contains is left out.
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

/// The result of writing to stdout. A closed pipe (`| head`) is not a failure.
pub(crate) fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::during("cannot write to stdout", error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn errors_of_clap_have_the_form_of_every_other_error() {
        use clap::Parser as _;
        for (arguments, expected) in [
            (
                &["gitferry", "run", "--verbos"][..],
                "unexpected argument '--verbos' found\nhint: a similar argument exists: '--verbose'",
            ),
            (
                &["gitferry", "setup"],
                "the following required arguments were not provided: <WHAT>\nhint: usage: gitferry setup <WHAT>",
            ),
            (
                &["gitferry", "history", "x"],
                "invalid value 'x' for '[ID]': expected the number of a transfer, as `gitferry history` and the log show it\nhint: `gitferry help history` explains the arguments",
            ),
        ] {
            let error = crate::cli::Cli::try_parse_from(arguments).unwrap_err();
            let failure = Failure::arguments(&error, arguments.get(1).copied());
            assert_eq!((failure.code, &*failure.to_string()), (2, expected));
        }
    }

    #[test]
    fn an_error_on_a_terminal_is_wrapped_at_spaces_and_a_path_or_command_stays_whole() {
        let path = format!("/home/me/{}/ca-key.pem", "long-name/".repeat(8));
        let text = format!(
            "error: cannot use the local CA at {path}: other users can write to it\n  | excerpt{}\nhint: run `chmod go-w {path}`, and then `gitferry ca rotate` if it may have changed",
            " of a file".repeat(10)
        );
        let wrapped = within(&text, 80);
        assert_eq!(wrapped.matches(&*path).count(), 2, "{wrapped}");
        for line in wrapped.lines() {
            let fits = line.chars().count() <= 80;
            assert!(
                fits || line.contains(&path) || line.starts_with("  |"),
                "{line}"
            );
        }
        assert!(wrapped.contains("`gitferry ca rotate`"), "{wrapped}");
        assert!(wrapped.lines().count() > 6, "{wrapped}");
    }

    #[test]
    fn each_cause_is_printed_once_and_the_hint_on_its_own_line() {
        let io = io::Error::other("no space left");
        let quoting = Failure::during("cannot write x: no space left", io);
        assert_eq!(quoting.to_string(), "cannot write x: no space left");
        let io = io::Error::from_raw_os_error(2);
        let failure = Failure::during("cannot read /x", io).hint("run `gitferry run`");
        assert_eq!(
            failure.to_string(),
            "cannot read /x: No such file or directory (os error 2)\nhint: run `gitferry run`"
        );
        let io = io::Error::from_raw_os_error(13);
        let failure = Failure::during("cannot read /x", io);
        assert!(
            failure
                .to_string()
                .ends_with("\nhint: check the owner and the mode of that file")
        );
    }
}
