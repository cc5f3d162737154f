//! The daemon under test: a config, a port and its events; of the binary also a log, signals and an exit code.

mod events;
mod log;
mod pages;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::AtomicUsize,
    thread,
    time::Duration,
};

use gitferry::testing::{self, Config, Daemon, DrainOutcome, Shared};
use nix::sys::signal::{Signal, kill};
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinHandle,
};

use self::log::Log;
use super::{
    events::Observations,
    process::{clean_command, pid, threads, wait_until},
    settings::Settings,
};

/// How long to wait for an expected event.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// An address with a port that the kernel chooses.
pub(crate) const FREE: &str = "127.0.0.1:0";

/// How a daemon runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// Inside the test: starts in milliseconds, and its internals can be read.
    InProcess,
    /// As a separate process: signals, exit code, log, memory.
    Binary,
}

/// A running daemon. It ends on drop; the log of the binary is printed where the test failed.
pub(crate) struct Ferry {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    events: Observations,
    // How many lines of the log the test has consumed.
    lines: AtomicUsize,
    dir: PathBuf,
    running: Running,
}

enum Running {
    InProcess(Box<Inside>),
    Binary(Child, Log),
}

/// A daemon inside the test.
struct Inside {
    // `None` once the test has stopped it.
    daemon: Option<Daemon>,
    shared: Shared,
    // Its own runtime, where the test has none.
    runtime: Option<Runtime>,
}

impl Ferry {
    /// Starts `gitferry run` and waits until it listens.
    pub(crate) fn start(settings: &Settings) -> Self {
        Self::start_with(settings, &[])
    }

    /// The same with additional environment variables.
    pub(crate) fn start_with(settings: &Settings, variables: &[(&str, &str)]) -> Self {
        Self::binary(&settings.dir, &settings.text(FREE), variables)
    }

    /// Starts the binary through another program, such as proxychains, which runs the command after its arguments.
    pub(crate) fn start_under(program: &str, arguments: &[&str], settings: &Settings) -> Self {
        let config = settings.dir.join("gitferry.toml");
        fs::write(&config, settings.text(FREE)).unwrap();
        let mut command = clean_command(program, &settings.dir);
        command
            .args(arguments)
            .arg(env!("CARGO_BIN_EXE_gitferry"))
            .args(["run", "--config"])
            .arg(&config);
        Self::of(&mut command, &settings.dir)
    }

    /// Starts a daemon as `run` says, with the config `text`, in `dir`.
    pub(crate) fn run(run: Run, dir: &Path, text: &str) -> Self {
        match run {
            Run::InProcess => Self::in_process(dir, text),
            Run::Binary => Self::binary(dir, text, &[]),
        }
    }

    fn in_process(dir: &Path, text: &str) -> Self {
        let config = load(dir, text);
        // An async test has a runtime, which daemon and origins share.
        let runtime = Handle::try_current()
            .is_err()
            .then(|| Runtime::new().unwrap());
        let daemon = {
            let _inside = runtime.as_ref().map(Runtime::enter);
            Daemon::start(config).unwrap()
        };
        let shared = daemon.shared().clone();
        Self {
            address: daemon.addresses()[0],
            events: Observations::of(shared.tracker.subscribe()),
            lines: AtomicUsize::new(0),
            dir: dir.to_owned(),
            running: Running::InProcess(Box::new(Inside {
                daemon: Some(daemon),
                shared,
                runtime,
            })),
        }
    }

    fn binary(dir: &Path, text: &str, variables: &[(&str, &str)]) -> Self {
        let config = dir.join("gitferry.toml");
        fs::write(&config, text).unwrap();
        let mut command = clean_command(env!("CARGO_BIN_EXE_gitferry"), dir);
        command
            .env("RUST_BACKTRACE", "1")
            .envs(variables.iter().copied())
            .args(["run", "--config"])
            .arg(&config);
        Self::of(&mut command, dir)
    }

    /// Starts the binary with the test's command, whose log must be JSON, and waits until it listens.
    #[track_caller]
    pub(crate) fn of(command: &mut Command, dir: &Path) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (log, events) = Log::of(child.stderr.take().unwrap());
        let mut ferry = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            events: Observations::of(events),
            lines: AtomicUsize::new(0),
            dir: dir.to_owned(),
            running: Running::Binary(child, log),
        };
        let listening = ferry.wait_for_event("listening");
        ferry.address = listening["address"].as_str().unwrap().parse().unwrap();
        ferry
    }

    /// Writes another config file with the same address, and triggers a reload.
    pub(crate) fn reload(&self, settings: &Settings) {
        self.reload_text(&settings.text(&self.address.to_string()));
    }

    /// The same with the text of the file. In the process, the reload is complete on return.
    pub(crate) fn reload_text(&self, text: &str) {
        match &self.running {
            Running::InProcess(inside) => {
                let daemon = inside.daemon.as_ref().unwrap();
                daemon.reload(load(&self.dir, text)).unwrap();
            }
            Running::Binary(child, _) => {
                fs::write(self.config(), text).unwrap();
                kill(pid(child).unwrap(), Signal::SIGHUP).unwrap();
            }
        }
    }

    /// Stops a daemon in the process, as SIGTERM does with this `shutdown.grace`.
    pub(crate) fn stop(&mut self, grace: Duration) -> JoinHandle<DrainOutcome> {
        let Running::InProcess(inside) = &mut self.running else {
            panic!("the binary is stopped by `terminate`");
        };
        let stopping = inside.daemon.take().unwrap().stop(grace);
        match &inside.runtime {
            Some(runtime) => runtime.spawn(stopping),
            None => Handle::current().spawn(stopping),
        }
    }

    /// The internals of a daemon in the process.
    pub(crate) fn shared(&self) -> &Shared {
        match &self.running {
            Running::InProcess(inside) => &inside.shared,
            Running::Binary(..) => panic!("nobody looks into the binary"),
        }
    }

    fn process(&self) -> (&Child, &Log) {
        match &self.running {
            Running::Binary(child, log) => (child, log),
            Running::InProcess(_) => panic!("a daemon in the process has no pid and no log"),
        }
    }

    /// Triggers a reload of the binary.
    pub(crate) fn hang_up(&self) {
        kill(pid(self.process().0).unwrap(), Signal::SIGHUP).unwrap();
    }

    /// Freezes the binary, and waits until every thread of it stands still: the kernel queues what clients send.
    pub(crate) fn pause(&self) {
        kill(pid(self.process().0).unwrap(), Signal::SIGSTOP).unwrap();
        let stopped = wait_until(SOON, || {
            let threads = threads(&self.proc(""));
            threads.iter().all(|stat| stat.starts_with('T'))
        });
        assert!(stopped, "SIGSTOP does not stop the daemon");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        kill(pid(self.process().0).unwrap(), Signal::SIGCONT).unwrap();
    }

    /// Asks the binary to stop.
    pub(crate) fn terminate(&self) {
        kill(pid(self.process().0).unwrap(), Signal::SIGTERM).unwrap();
    }

    /// Waits for the end of the binary.
    pub(crate) fn ended(&mut self, within: Duration) -> ExitStatus {
        let mut status = None;
        let ended = wait_until(within, || {
            status = self.has_ended();
            status.is_some()
        });
        assert!(ended, "the daemon still runs after {within:?}");
        // Its last lines.
        if let Running::Binary(_, log) = &self.running {
            wait_until(SOON, || log.is_complete());
        }
        status.unwrap()
    }

    fn has_ended(&mut self) -> Option<ExitStatus> {
        match &mut self.running {
            Running::Binary(child, _) => child.try_wait().unwrap(),
            Running::InProcess(_) => None,
        }
    }

    /// The value of `http.proxy`.
    pub(crate) fn proxy(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bundle for clients: the roots and the local CA.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.dir.join("state/bundle.pem")
    }

    /// The config file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("gitferry.toml")
    }

    /// The process id of the binary.
    pub(crate) fn id(&self) -> u32 {
        self.process().0.id()
    }

    /// A file of the binary's in /proc.
    pub(crate) fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.id()))
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Resident memory in KiB: `VmRSS` now, `RssAnon` without the pages of files, or `VmHWM`, the most since [`Ferry::forget_peak`].
    pub(crate) fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap()
    }

    /// Resets `VmHWM` (proc(5), clear_refs).
    pub(crate) fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").unwrap();
    }
}

impl Drop for Ferry {
    fn drop(&mut self) {
        match &mut self.running {
            Running::InProcess(inside) => {
                if let Some(runtime) = inside.runtime.take() {
                    runtime.shutdown_background();
                }
            }
            Running::Binary(child, log) => {
                let _ = child.kill();
                let _ = child.wait();
                if thread::panicking() {
                    eprintln!("--- log of gitferry:\n{}", log.text());
                }
            }
        }
    }
}

fn load(dir: &Path, text: &str) -> Config {
    let file = dir.join("gitferry.toml");
    fs::write(&file, text).unwrap();
    testing::load(Some(&file), &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}
