//! The inputs of a config other than its file: the environment and the command line.

use std::net::SocketAddr;

use super::log_format::LogFormat;

/// Looks up a variable of the process environment by its name.
pub(crate) type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// The command line's settings, which take precedence over the file at every reload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// The listening addresses; empty for those of the file.
    pub listen: Vec<SocketAddr>,
    /// True to log at least at level debug.
    pub verbose: bool,
    /// The log format; `None` for that of the file.
    pub log_format: Option<LogFormat>,
}
