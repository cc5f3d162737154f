//! `gitferry run`: the daemon in the foreground.

use std::{
    borrow::Cow,
    cell::RefCell,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Builder;

use super::Failure;
use crate::{
    config::{self, Arguments, Config, Log, LogFormat, Problems, files::Files, reload::FileWatch},
    rt::IoThreads,
    service::{DrainOutcome, Notifier, Service, Signals, daemon::Daemon, serve},
    tls::{files::KEY_FILE, seed::seed_generator},
    track::{event, log},
};

/// `gitferry run`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry run\n  gitferry run --listen 127.0.0.1:8080 --verbose\n  gitferry run --config gitferry.toml 2> gitferry.log"
)]
pub(crate) struct RunArgs {
    /// Listen on this address, not on `address` of `[listen]`; may be repeated.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// Log every attempt, as with `level = "debug"` in `[log]`.
    #[arg(short, long)]
    verbose: bool,
    /// The format of the log, in place of `format` of `[log]`.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<Format>,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One line per transfer, with colours on a terminal.
    People,
    /// `name=value`, for `gitferry report` and log collectors.
    #[value(alias = "text")]
    Logfmt,
    /// One object per line.
    Json,
}

impl RunArgs {
    /// The arguments that override the file.
    pub(super) fn arguments(&self) -> Arguments {
        Arguments {
            listen: self.listen.clone(),
            verbose: self.verbose,
            log_format: self.log_format.map(|format| match format {
                Format::People => LogFormat::People,
                Format::Logfmt => LogFormat::Logfmt,
                Format::Json => LogFormat::Json,
            }),
        }
    }
}

/// Where the config is read from, at the start and at each reload.
pub(super) struct ConfigSource {
    /// The arguments that override the file.
    pub(super) arguments: Arguments,
    /// The file of `--config`.
    pub(super) given: Option<PathBuf>,
    /// Where a file is searched without `--config`.
    pub(super) places: Vec<PathBuf>,
}

impl ConfigSource {
    fn find(&self) -> Option<&Path> {
        let place = || self.places.iter().find(|place| place.is_file());
        let file = self.given.as_ref().or_else(place);
        file.map(PathBuf::as_path)
    }

    /// The files whose change or creation causes a reload.
    fn watched(&self) -> impl Iterator<Item = PathBuf> {
        let places = self.places.iter().filter(|_| self.given.is_none());
        places.cloned()
    }
}

/// Runs until a signal stops it. Fails where the daemon cannot start.
pub(super) fn run(source: &ConfigSource) -> Result<(), Failure> {
    let file = source.find();
    let config = load(source, file).map_err(|problems| Failure::config(&problems))?;
    start_log(config.log)?;
    // The log reads the time zone, which only works before another thread exists.
    seed_generator();
    warn_of_proxychains();
    raise_descriptors();
    let failed = |error| Failure::during("cannot start the runtime", error);
    // This thread handles signals and reloads, which block it: no client waits for them.
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let (threads, end_threads) = IoThreads::start().map_err(failed)?;
    let drained = runtime.block_on(serve_until_stopped(source, config, &threads))?;
    event::stopped(drained.ended);
    log::flush();
    drop(end_threads);
    // A look-up that hangs in the system's resolver must not delay the exit.
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(())
}

fn start_log(settings: Log) -> Result<(), Failure> {
    log::init(settings).map_err(|error| Failure::during("cannot start the log", error))
}

/// Keeps secrets out of core dumps, and other processes of the same user out of this one's memory. Called before a password is read.
pub(super) fn forbid_core_dumps() {
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(%error, "cannot disable core dumps");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::warn!(%error, "cannot make the process undumpable");
    }
}

/// proxychains sends every connection of the daemon through its own proxy, also direct ones and those to hops.
fn warn_of_proxychains() {
    let preload = std::env::var("LD_PRELOAD").unwrap_or_default();
    if preload.contains("proxychains") || std::env::var_os("PROXYCHAINS_CONF_FILE").is_some() {
        tracing::warn!(
            advice = "start gitferry without proxychains, and name its proxy in `[hops]`",
            "the daemon runs under proxychains"
        );
    }
}

/// Raises the soft limit to the hard one: a shell's soft limit is often 1,024 descriptors, and each connection takes two.
fn raise_descriptors() {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    let raised = limit.and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "cannot raise the file descriptor limit");
    }
}

async fn serve_until_stopped(
    source: &ConfigSource,
    config: Config,
    threads: &IoThreads,
) -> Result<DrainOutcome, Failure> {
    let mut signals =
        Signals::listen().map_err(|error| Failure::during("cannot handle signals", error))?;
    let notifier = Notifier::from_environment()
        .map_err(|error| Failure::during("cannot reach the service manager", error))?;
    let watch = FileWatch::new(&config);
    let key = config.state_directory.join(KEY_FILE);
    let daemon = Daemon::start_on(threads, config).map_err(|error| {
        let advice = error.advice();
        Failure::new(error).maybe_hint(advice.as_deref())
    })?;
    // The key exists by now, and `gitferry ca rotate` replaces it. A config may be created where none was.
    let watch = watch.with_file(key);
    let mut watch = source.watched().fold(watch, FileWatch::with_file);
    let status = |daemon: &Daemon| format!("{} routes", daemon.config().routes.len());
    let shared = daemon.shared().clone();
    let service = Service {
        signals: &mut signals,
        notifier: &notifier,
        tasks: &shared.tasks,
        threads,
        shutdown: &shared.shutdown,
        transfers: &|| shared.tracker.count(),
    };
    let missing = RefCell::new(Files::new());
    let reload = async || {
        let file = source.find();
        match reload(&daemon, source, file) {
            Ok(()) => Ok(status(&daemon)),
            Err(refused) => {
                event::config_rejected(file, &refused.problem, refused.advice.as_deref());
                missing.borrow_mut().extend(refused.files);
                Err(refused.problem)
            }
        }
    };
    let changed = async || {
        watch.follow(daemon.config().files.clone());
        watch.follow(missing.take());
        watch.changed().await;
    };
    let ready = status(&daemon);
    let drained = serve(service, &ready, reload, changed, || {
        daemon.config().shutdown.grace
    })
    .await;
    daemon.save_history();
    Ok(drained)
}

/// Why a reload failed.
struct ReloadError {
    problem: String,
    /// The advice, where `gitferry check` does not give it.
    advice: Option<Cow<'static, str>>,
    /// The files that the config names: one of them may be missing.
    files: Files,
}

/// Loads the config from `file`, and applies it.
fn reload(daemon: &Daemon, source: &ConfigSource, file: Option<&Path>) -> Result<(), ReloadError> {
    let config = load(source, file).map_err(|problems| ReloadError {
        problem: problems.one_line(),
        advice: None,
        files: problems.files().clone(),
    })?;
    let (log_settings, files) = (config.log, config.files.clone());
    daemon.reload(config).map_err(|error| ReloadError {
        advice: error.advice(),
        problem: Failure::new(error).to_string(),
        files,
    })?;
    // The log's writer keeps running: only its settings change.
    if let Err(error) = log::init(log_settings) {
        tracing::warn!(%error, "cannot change the log settings");
    }
    Ok(())
}

fn load(source: &ConfigSource, file: Option<&Path>) -> Result<Config, Problems> {
    config::load_with(file, &|name| env::var(name).ok(), &source.arguments)
}
