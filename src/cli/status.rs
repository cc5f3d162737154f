//! `gitferry status`: live transfers and upstream health, from the running daemon.

mod render;

use std::{
    io::{self, IsTerminal, Write},
    net::{SocketAddr, ToSocketAddrs as _},
    time::Duration,
};

use clap::Args;

use super::{Failure, daemon, printed};

/// `gitferry status`.
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    /// What the daemon says, as it says it.
    #[arg(long)]
    pub json: bool,
    /// Again every second, until interrupted.
    #[arg(long)]
    pub watch: bool,
    /// Where the daemon listens; without it, what the config says.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub address: Option<SocketAddr>,
}

/// The first address of a name, too.
fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|error| format!("{error}; it is written as in 127.0.0.1:4483"))?;
    found.next().ok_or_else(|| "the name has no address".into())
}

/// Prints the status of the daemon at `address`.
pub(super) fn run(args: &StatusArgs, address: SocketAddr) -> Result<(), Failure> {
    loop {
        let body = daemon::get(address, "/-/status").map_err(|error| {
            Failure::during(format!("no gitferry answers at {address}"), error)
                .hint("start it with `gitferry run`, or say where it is with `--address`")
        })?;
        let text = if args.json {
            body
        } else {
            let status = serde_json::from_str(&body)
                .map_err(|error| Failure::during("cannot read the daemon's answer", error))?;
            render::render(&status)
        };
        if args.watch && io::stdout().is_terminal() {
            // Home, and clear what is below (ECMA-48: CUP, ED).
            printed(io::stdout().write_all(b"\x1b[H\x1b[J"))?;
        }
        printed(
            io::stdout()
                .write_all(text.as_bytes())
                .and_then(|()| io::stdout().flush()),
        )?;
        if !args.watch {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
