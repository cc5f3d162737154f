//! The configuration: turns the TOML text into a resolved [`Config`], or into a list of problems.
//!
//! [`load`] is the only entry point, at start and at every reload; it reports all mistakes of a file at once. The rest of gitferry holds an
//! `Arc<Config>`, in which every key has a value. Nothing here uses the network.

mod access;
mod credentials;
mod daemon;
mod dial;
mod effective;
mod environment;
mod file;
pub(crate) mod files;
mod hop;
mod inputs;
mod listen;
mod log_format;
mod peer;
pub(crate) mod problem;
pub(crate) mod reload;
mod resolve;
mod route;
mod section;
mod stall;
mod upstream;
mod value;

use std::{io::ErrorKind, path::Path};

pub(crate) use daemon::{
    Downloads, Log, PoolConfig, Replay, Reverse, RewriteConfig, ShutdownConfig, Trust,
};
pub(crate) use dial::Dial;
pub use effective::Config;
pub(crate) use environment::{Environment, is_in_no_proxy};
pub(crate) use hop::{GrantedTargets, Hop, HopKind, HopKindRow, HopProtocol, UPSTREAM_KINDS};
pub(crate) use inputs::{Arguments, Variables};
pub(crate) use listen::Listen;
pub(crate) use log_format::{LogFormat, LogLevel};
#[cfg(test)]
pub(crate) use peer::ClientCertificate;
pub(crate) use peer::PeerTls;
pub(crate) use problem::Problem;
pub use problem::Problems;
pub use resolve::DEFAULT;
pub(crate) use route::{HttpVersion, Override, Route};
pub(crate) use stall::{Interim, StallConfig, StallDefaults, UploadsConfig};
pub(crate) use upstream::{Mirror, MirrorCredentials, Upstream, Via};

/// Reads `file`, or the embedded default; omitted keys have the default's values.
///
/// Fails with every mistake of the file at once.
pub fn load(file: Option<&Path>, variables: Variables<'_>) -> Result<Config, Problems> {
    load_with(file, variables, &Arguments::default())
}

/// Like [`load`], but the command line takes precedence over the file.
pub(crate) fn load_with(
    file: Option<&Path>,
    variables: Variables<'_>,
    arguments: &Arguments,
) -> Result<Config, Problems> {
    let Some(path) = file else {
        return resolve::read(None, variables, arguments);
    };
    let seen = files::stamp(path);
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let mut config = resolve::read(Some((&text, path)), variables, arguments)?;
            config.files.insert(path.to_owned(), seen);
            Ok(config)
        }
        Err(error) => Err(Problems::from(vec![Problem {
            file: Some(path.to_owned()),
            message: format!("cannot be read: {error}"),
            hint: Some(
                match error.kind() {
                    ErrorKind::InvalidData => "save it as UTF-8",
                    ErrorKind::IsADirectory => "name a file",
                    _ => "check the path and the mode of that file",
                }
                .into(),
            ),
            ..Problem::default()
        }])),
    }
}

/// The config for the text of a file at `path`.
///
/// Fails with every mistake of the text at once.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn read(text: &str, path: &Path, variables: Variables<'_>) -> Result<Config, Problems> {
    resolve::read(Some((text, path)), variables, &Arguments::default())
}

/// The config for a text, for tests of other modules.
#[cfg(test)]
pub(crate) fn parsed(text: &str) -> Config {
    let home = |name: &str| (name == "HOME").then(|| "/home/user".to_owned());
    resolve::read(
        Some((text, Path::new("/test.toml"))),
        &home,
        &Arguments::default(),
    )
    .unwrap_or_else(|problems| panic!("{problems}"))
}
