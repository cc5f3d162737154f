//! `gitferry history`: finished transfers, from the running daemon.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    time::SystemTime,
};

use clap::Args;
use serde::Deserialize;

use super::{
    Failure, daemon, printed,
    status::{
        address,
        detail::detail,
        model::{self, OneTransfer, StatusTransfer},
        render,
    },
};
use crate::admin;

/// `gitferry history`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry history --failed --since 2h\n  gitferry history --host cdn-lfs\n  gitferry history 1042"
)]
pub(crate) struct HistoryArgs {
    /// The number of a transfer, running or finished, as in the log: show all its details.
    #[arg(value_name = "ID", value_parser = number, conflicts_with_all = ["host", "since", "failed", "limit"])]
    pub id: Option<u64>,
    /// Only hosts, with their port, that contain this text.
    #[arg(long, value_name = "TEXT", value_parser = host)]
    pub host: Option<String>,
    /// Only transfers that ended since then: 90s, 15m, 2h, 3d, or a time as in the log.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<String>,
    /// Only transfers that failed or that the site refused.
    #[arg(long)]
    pub failed: bool,
    /// How many transfers, the newest first; the daemon keeps 1000.
    #[arg(long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub limit: u16,
    /// Print JSON, as from /-/api/history.
    #[arg(long)]
    pub json: bool,
    /// The address of the daemon; default: as in the config.
    #[arg(long, value_name = "HOST:PORT", value_parser = address)]
    pub address: Option<SocketAddr>,
}

/// The number of a transfer.
fn number(text: &str) -> Result<u64, String> {
    let number = text.trim_start_matches('#').parse();
    number.map_err(|_| {
        "expected the number of a transfer, as `gitferry history` and the log show it".into()
    })
}

/// Text that needs no encoding in a query.
fn host(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-.:_[]".contains(c);
    match text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("letters, digits, `-`, `.` and `:` only".into()),
    }
}

/// A time that the daemon understands, checked before the request.
fn since(text: &str) -> Result<String, String> {
    match admin::parse_since(text, SystemTime::now()) {
        Ok(_) => host(text),
        Err(valid) => Err(format!("expected {valid}")),
    }
}

#[derive(Deserialize)]
struct HistoryPage {
    #[serde(default)]
    transfers: Vec<StatusTransfer>,
}

/// Prints the history of the daemon at `address`.
pub(super) fn run(args: &HistoryArgs, address: SocketAddr) -> Result<(), Failure> {
    let body = daemon::get(address, &path(args)).map_err(|error| match args.id {
        Some(id) if error.to_string().contains(" 404 ") => {
            Failure::new(format!("there is no transfer {id}"))
                .hint("`gitferry history --limit 1000` lists all that the daemon keeps")
        }
        _ => super::status::unreachable(address, error),
    })?;
    let text = match args.id {
        _ if args.json => body,
        Some(_) => {
            let one: OneTransfer = model::read(&body)?;
            detail(&one)
        }
        None => {
            let page: HistoryPage = model::read(&body)?;
            let lines = page.transfers.iter().map(render::finished);
            let text: String = lines.map(|line| line + "\n").collect();
            match text.is_empty() {
                false => text,
                true if args.host.is_none() && args.since.is_none() && !args.failed => {
                    "no transfer has ended yet\n".into()
                }
                true => "no finished transfer matches\n".into(),
            }
        }
    };
    printed(io::stdout().write_all(text.as_bytes()))
}

fn path(args: &HistoryArgs) -> String {
    if let Some(id) = args.id {
        return format!("/-/api/transfers/{id}");
    }
    let mut path = format!("/-/api/history?limit={}", args.limit);
    for (name, value) in [("host", &args.host), ("since", &args.since)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={value}"));
        }
    }
    if args.failed {
        path.push_str("&failed=1");
    }
    path
}
