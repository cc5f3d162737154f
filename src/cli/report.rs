//! `gitferry report`: summarises a log of gitferry or journald, as text or JSON.
//!
//! [`reader`], [`text`] and [`object`] parse the log, [`events`] and [`summary`] count, and [`verdict`],
//! [`page`] and [`data`] print. A new event is an entry in [`events`], a new format a file beside [`text`].

mod circuits;
mod counts;
mod data;
mod events;
mod object;
mod page;
mod reader;
mod record;
mod summary;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueHint};

pub(crate) use counts::Roles;

use super::{Failure, printed};
use crate::config::Config;
use summary::LogSummary;

/// `gitferry report`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry report gitferry.log\n  journalctl -u gitferry --since today -o json | gitferry report\n  gitferry report --json gitferry.log.1 gitferry.log"
)]
pub(crate) struct ReportArgs {
    /// The logs, the oldest first; `-` or none: stdin. Logfmt, JSON, or the output of `journalctl -u gitferry`, also with -o json or
    /// -o export.
    #[arg(value_name = "LOG", value_hint = ValueHint::FilePath)]
    pub logs: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What each route of the config is for: verdicts compare the main site with its storage.
pub(super) fn roles(config: &Config) -> Roles {
    let routes = config.routes.iter();
    routes
        .map(|route| (Box::from(&*route.name), route.role))
        .collect()
}

/// Reads every log and prints what they come to; 1 where they tell of a fault or a stall.
pub(super) fn run(args: &ReportArgs, roles: &Roles) -> Result<ExitCode, Failure> {
    let stdin = [PathBuf::from("-")];
    let logs = if args.logs.is_empty() {
        &stdin[..]
    } else {
        &args.logs
    };
    if args.logs.is_empty() && io::stdin().is_terminal() {
        return Err(Failure::usage("no log given")
            .hint("name a file, or pipe it: `journalctl -u gitferry -o json | gitferry report`"));
    }
    let mut summary = LogSummary::default();
    for log in logs {
        let name = if log.as_os_str() == "-" {
            "stdin".into()
        } else {
            log.display().to_string()
        };
        open(log)
            .and_then(|input| reader::read(input, &mut summary))
            .map_err(|error| Failure::during(format!("cannot read {name}"), error))?;
    }
    let lines = &summary.lines;
    if lines.events == 0 && lines.foreign + lines.unreadable > 0 {
        let hint = "expected the output of `gitferry run 2> FILE` or of `journalctl -u gitferry`; text copied from a terminal has too little";
        return Err(Failure::new("the input has no line of gitferry's log").hint(hint));
    }
    let mut text = if args.json {
        format!("{:#}", data::data(&summary, roles))
    } else {
        page::page(&summary, roles)
    };
    if args.json {
        text.push('\n');
    }
    printed(io::stdout().write_all(text.as_bytes()))?;
    Ok(if summary.has_faults() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What is printed of a log, for people and for programs; `None` where it cannot be read.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn of(log: &[u8]) -> Option<(String, String)> {
    let (mut summary, roles) = (LogSummary::default(), Roles::default());
    reader::read(log, &mut summary).ok()?;
    let data = data::data(&summary, &roles);
    Some((page::page(&summary, &roles), format!("{data:#}")))
}

fn open(log: &Path) -> io::Result<Box<dyn BufRead>> {
    const BUFFER: usize = 256 << 10;
    Ok(if log.as_os_str() == "-" {
        Box::new(BufReader::with_capacity(BUFFER, io::stdin()))
    } else {
        Box::new(BufReader::with_capacity(BUFFER, File::open(log)?))
    })
}
