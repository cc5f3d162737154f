//! `gitferry doctor`: what works, what does not, and the one change to make.

mod json;
mod live;
mod report;
mod what;

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use tokio::time::Instant;

use super::{Failure, printed};
use crate::{
    config::Config,
    doctor::{Board, Means, Session, verdict},
    tls::{Connector, trust::Roots},
};

/// `gitferry doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// A host, a URL or a repository's directory; without one the repository here, else the hosts of all routes.
    #[arg(value_name = "HOST|URL|DIRECTORY")]
    what: Vec<String>,
    /// For programs: every check, and the verdict.
    #[arg(long)]
    json: bool,
    /// Every check of every host, not only those of hosts with a fault.
    #[arg(long, short)]
    verbose: bool,
}

/// All of it is over by then, whatever is found.
const DEADLINE: Duration = Duration::from_secs(20);

/// Tries everything; 1 where something is broken.
pub(super) fn run(args: &DoctorArgs, config: Config) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::during("cannot start the runtime", error))?;
    let begun = runtime.block_on(async { Instant::now() });
    let session = session(args, config)?;
    let interrupted = runtime.block_on(watch(&session, args))?;
    let verdict = verdict::of_board(&session.board);
    let findings = session.board.findings();
    let took = begun.elapsed();
    // A look-up that hangs in the system's resolver must not hold the process.
    runtime.shutdown_background();
    if args.json {
        let value = json::document(&findings, &verdict, took);
        printed(writeln!(io::stdout(), "{value:#}"))?;
    } else {
        let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let page = report::Page {
            findings: &findings,
            verdict: &verdict,
            took,
            interrupted,
            verbose: args.verbose,
            colour,
        };
        printed(io::stdout().write_all(report::render(&page).as_bytes()))?;
    }
    Ok(match verdict.is_healthy() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn session(args: &DoctorArgs, config: Config) -> Result<Session, Failure> {
    let roots = Roots::load(&config.trust);
    let connector = Connector::new(&roots, config.tls_peers()).map_err(Failure::new)?;
    let hosts = what::hosts(&args.what, &config)?;
    Ok(Session {
        hosts,
        means: Arc::new(Means { connector, roots }),
        config: Arc::new(config),
        board: Arc::new(Board::default()),
    })
}

/// Runs the session until its end, the deadline or Ctrl-C; true where the user ended it.
async fn watch(session: &Session, args: &DoctorArgs) -> Result<bool, Failure> {
    let mut display = live::Display::new(args.json);
    let mut running = std::pin::pin!(tokio::time::timeout(DEADLINE, session.run()));
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let interrupted = loop {
        let changed = session.board.changed();
        tokio::select! {
            _ = &mut running => break false,
            _ = &mut interrupt => break true,
            () = changed => {}
            () = tokio::time::sleep(live::RENEWAL) => {}
        }
        display.show(&session.board.findings());
    };
    display.end(&session.board.findings());
    Ok(interrupted)
}
