//! What a config is made of beside its file: the environment and the command line.

use std::net::SocketAddr;

use super::log_format::LogFormat;

/// Names to the values of the process environment.
pub(crate) type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// What the command line says in place of the file, at every reload again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    /// The addresses; none for those of the file.
    pub listen: Vec<SocketAddr>,
    /// Attempts are logged, whatever level the file has.
    pub verbose: bool,
    /// How the log looks, whatever the file says.
    pub log_format: Option<LogFormat>,
}
