//! `gitferry doctor`: what works, what does not, and the one change to make.

mod apply;
mod bundle;
mod in_force;
mod json;
mod live;
mod plan;
mod report;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueHint};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use super::{Failure, printed};
use crate::{
    config::Config,
    doctor::{CheckResults, LocalFacts, ProbeSetup, Session, verdict},
    rt,
    tls::{Connector, trust::Roots},
};

/// `gitferry doctor`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry doctor\n  gitferry doctor huggingface.co\n  gitferry doctor --apply\n  gitferry doctor --bundle bundle.txt"
)]
pub(crate) struct DoctorArgs {
    /// A host, a URL or a repository's directory; without one the repository here, else the hosts of all routes.
    #[arg(value_name = "HOST|URL|DIRECTORY")]
    what: Vec<String>,
    /// Print JSON: every check, and the verdict.
    #[arg(long)]
    json: bool,
    /// Make the verdict's change in the config file: it is shown and checked first, and the previous file is kept. Settings of trust
    /// and access are never changed.
    #[arg(long, conflicts_with = "json")]
    apply: bool,
    /// Write a file for somebody who helps you: versions, routes, checks and faults, without secrets or your own host names.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "json")]
    bundle: Option<PathBuf>,
    /// Keep your own host names in the bundle.
    #[arg(long, requires = "bundle")]
    with_names: bool,
    /// Show every check of every host, not only those of hosts with a fault.
    #[arg(long, short)]
    verbose: bool,
}

/// The limit of the whole run.
const DEADLINE: Duration = Duration::from_secs(20);

/// Runs all checks and prints the results; 1 where something is broken.
pub(super) fn run(
    args: &DoctorArgs,
    load: impl Fn() -> Result<Config, Failure>,
    place: Option<&Path>,
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::during("cannot start the runtime", error))?;
    let begun = runtime.block_on(async { Instant::now() });
    let prepared = runtime.block_on(prepare(args, load()?))?;
    let interrupted = runtime.block_on(watch(&prepared.session, args))?;
    let results = &prepared.session.results;
    let verdict = verdict::of_results(results);
    let findings = results.findings();
    let took = begun.elapsed();
    let faults = runtime.block_on(prepared.session.faults());
    // A look-up that hangs in the system's resolver must not delay the exit.
    runtime.shutdown_background();
    if args.json {
        let value = json::document(&findings, &verdict, took);
        printed(writeln!(io::stdout(), "{value:#}"))?;
    } else {
        let page = report::ReportPage {
            findings: &findings,
            verdict: &verdict,
            notes: &prepared.notes,
            took,
            interrupted,
            verbose: args.verbose,
            colour: rt::shows_colours(io::stdout()),
        };
        printed(io::stdout().write_all(report::render(&page).as_bytes()))?;
    }
    let config = &prepared.session.config;
    if let Some(file) = &args.bundle {
        let contents = bundle::BundleContents {
            config,
            about: prepared.session.local.about.as_ref().ok(),
            faults: &faults,
            findings: &findings,
            verdict: &verdict,
            took,
            with_names: args.with_names,
        };
        bundle::write(file, &contents)?;
    }
    if args.apply {
        change(&verdict, config.file.as_deref().or(place))?;
    }
    Ok(match verdict.is_healthy() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Makes the change, if a command may make it.
fn change(verdict: &verdict::Diagnosis, file: Option<&Path>) -> Result<(), Failure> {
    let Some(change) = &verdict.change else {
        return printed(writeln!(io::stdout(), "there is nothing to change"));
    };
    let Some(edit) = &change.edit else {
        return printed(writeln!(
            io::stdout(),
            "`--apply` does not make this change: it is not part of the config's routes"
        ));
    };
    let file = file.ok_or_else(|| {
        Failure::new("there is no directory for a config file").hint("name one with `--config`")
    })?;
    apply::run(edit, file)
}

/// The session, and the notes to print before the results.
struct PreparedRun {
    session: Session,
    notes: Vec<String>,
}

async fn prepare(args: &DoctorArgs, config: Config) -> Result<PreparedRun, Failure> {
    let state_directory = config.state_directory.clone();
    let (config, daemon, about) = in_force::of(config).await;
    let planned = plan::planned(&args.what, &config).await?;
    let roots = Roots::load(&config.trust);
    let connector = Connector::new(&roots, config.tls_peers()).map_err(Failure::new)?;
    let setup = ProbeSetup {
        connector,
        skew: tokio::sync::watch::Sender::default(),
        lacks_password: in_force::missing_passwords(&about, &config),
    };
    let session = Session {
        hosts: planned.hosts,
        setup: Arc::new(setup),
        local: LocalFacts {
            daemon,
            about,
            state_directory,
            directory: planned.directory,
            ssh: planned.ssh,
        },
        config: Arc::new(config),
        results: Arc::new(CheckResults::default()),
    };
    Ok(PreparedRun {
        session,
        notes: planned.notes,
    })
}

/// Runs the session until it ends, the deadline passes or the user presses Ctrl-C; true for Ctrl-C.
async fn watch(session: &Session, args: &DoctorArgs) -> Result<bool, Failure> {
    let mut display = live::Display::new(args.json);
    // Registered before anything runs: until then, the signal ends the process.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
    let mut running = std::pin::pin!(tokio::time::timeout(DEADLINE, session.run()));
    let interrupted = loop {
        let changed = session.results.changed();
        tokio::select! {
            _ = &mut running => break false,
            _ = interrupt.recv() => break true,
            () = changed => {}
            () = tokio::time::sleep(live::RENEWAL) => {}
        }
        display.show(&session.results.findings());
    };
    display.end(&session.results.findings());
    Ok(interrupted)
}
