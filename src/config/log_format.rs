//! The log's format and level.

use serde::Serialize;

use crate::model::named::named;

pub(super) const FORMATS: [(&str, LogFormat); 5] = [
    ("auto", LogFormat::Auto),
    ("people", LogFormat::People),
    ("logfmt", LogFormat::Logfmt),
    ("text", LogFormat::Logfmt),
    ("json", LogFormat::Json),
];

/// The format of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// `People` on a terminal, `Logfmt` in a file or journal.
    #[default]
    Auto,
    /// One line per transfer, two for a failure.
    People,
    /// `name=value`; `text` is its old name.
    Logfmt,
    /// A JSON object for each line.
    Json,
}

named! {
/// The log level.
#[derive(Default)]
pub(crate) enum LogLevel {
    /// gitferry cannot work.
    Error = "error",
    /// A transfer failed or needed rescue.
    Warn = "warn",
    /// The daemon's life cycle, and one closing line per transfer.
    #[default]
    Info = "info",
    /// Attempts.
    Debug = "debug",
    /// Everything.
    Trace = "trace",
}
}
