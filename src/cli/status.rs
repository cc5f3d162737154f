//! `gitferry status`: live transfers and upstream health, from the running daemon.

pub(crate) mod detail;
pub(crate) mod model;
pub(crate) mod render;
mod watch;

use std::{
    io::{self, IsTerminal as _, Write as _},
    net::{SocketAddr, ToSocketAddrs as _},
};

use clap::Args;

use super::{Failure, daemon, printed};

/// `gitferry status`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry status\n  gitferry status --watch\n  gitferry status --json | jq .verdict"
)]
pub(crate) struct StatusArgs {
    /// Print JSON, as from /-/api/overview.
    #[arg(long)]
    pub json: bool,
    /// Show a full-screen view that updates every second: q quits, Enter shows a transfer.
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// The address of the daemon; default: as in the config.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub address: Option<SocketAddr>,
}

/// An address, or the first address of a name.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|error| format!("{error}; an address looks like 127.0.0.1:4483"))?;
    found.next().ok_or_else(|| "the name has no address".into())
}

/// The failure where no daemon answers at `address`.
pub(super) fn unreachable(address: SocketAddr, error: io::Error) -> Failure {
    let start = "start it with `gitferry run`, or name its address with `--address`";
    daemon::unreachable(address, error, start)
}

/// Prints the status of the daemon at `address`.
pub(super) fn run(args: &StatusArgs, address: SocketAddr) -> Result<(), Failure> {
    let body = daemon::get(address, "/-/api/overview").map_err(|it| unreachable(address, it))?;
    if args.watch {
        if !io::stdout().is_terminal() {
            return Err(
                Failure::usage("--watch needs a terminal").hint("omit `--watch` to print it once")
            );
        }
        return watch::run(address, model::read(&body)?);
    }
    let text = match args.json {
        true => body,
        false => render::render(&model::read(&body)?),
    };
    printed(io::stdout().write_all(text.as_bytes()))
}
