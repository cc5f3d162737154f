//! The inputs of a config besides its file: the environment and the command line.

use std::net::SocketAddr;

use super::log_format::LogFormat;

/// Looks a variable of the process environment up by its name.
pub(crate) type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// The command line's settings, which take precedence over the file at every reload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// The addresses; empty to use those of the file.
    pub listen: Vec<SocketAddr>,
    /// Logs attempts, whatever level the file has.
    pub verbose: bool,
    /// The log format, whatever the file has.
    pub log_format: Option<LogFormat>,
}
