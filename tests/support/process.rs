//! Child processes with a bounded life: servers end with their test, clients at their deadline.

use std::{
    fs::{self, File},
    io::Read,
    net::{SocketAddr, TcpStream},
    os::unix::{net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::time::Instant;

pub(crate) use super::port::free_address;

/// How long a server may take to listen.
const READY: Duration = Duration::from_secs(20);

/// The interval between two checks of an expected condition; every such wait has a deadline.
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// Waits until `ready` returns true; false after `within`.
pub(crate) fn wait_until(within: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if ready() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(LOOK);
    }
}

/// A command without this machine's settings: no proxy variables, no CA bundles, English messages.
pub(crate) fn clean_command(program: impl AsRef<Path>, home: &Path) -> Command {
    let mut command = Command::new(program.as_ref());
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", home)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null());
    command
}

/// The address of a server.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Door {
    fn opens(&self) -> bool {
        match self {
            Self::Tcp(address) => TcpStream::connect_timeout(address, READY).is_ok(),
            Self::Unix(path) => UnixStream::connect(path).is_ok(),
        }
    }
}

/// A real server in the foreground. It and its children are killed on drop, and also when the test process dies: a shell holds a pipe from
/// the test and kills its own process group when the pipe closes.
pub(crate) struct Server {
    name: &'static str,
    log: PathBuf,
    supervisor: Child,
}

impl Server {
    /// Runs `command` until `door` accepts connections; its output goes to `NAME.log` in `dir`.
    pub(crate) fn start(name: &'static str, dir: &Path, command: &Command, door: &Door) -> Self {
        Self::try_start(name, dir, command, door)
            .unwrap_or_else(|log| panic!("{name} did not come up:\n{log}"))
    }

    /// Like [`Server::start`] for servers that cannot listen on port 0: `build` gets a recently free port, and another one where a different
    /// program took it.
    pub(crate) fn start_on_a_port(
        name: &'static str,
        dir: &Path,
        build: impl Fn(SocketAddr) -> Command,
    ) -> (Self, SocketAddr) {
        let mut last = String::new();
        for _ in 0..5 {
            let address = free_address();
            match Self::try_start(name, dir, &build(address), &Door::Tcp(address)) {
                Ok(server) => return (server, address),
                Err(log) => last = log,
            }
        }
        panic!("{name} did not come up on five ports:\n{last}")
    }

    fn try_start(
        name: &'static str,
        dir: &Path,
        command: &Command,
        door: &Door,
    ) -> Result<Self, String> {
        let log = dir.join(format!("{name}.log"));
        let output = File::create(&log).unwrap();
        let mut supervisor = Command::new("/bin/sh");
        supervisor
            .args(["-c", SUPERVISE, "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0);
        let mut server = Self {
            name,
            log,
            supervisor: supervisor.spawn().unwrap(),
        };
        let mut died = false;
        let up = wait_until(READY, || {
            died = server.supervisor.try_wait().unwrap().is_some();
            died || door.opens()
        });
        if up && !died {
            return Ok(server);
        }
        Err(tail(&server.log))
    }
}

/// The server runs next to a `read` that returns when the test's end of the pipe closes.
const SUPERVISE: &str =
    r#"("$@" </dev/null; echo "ended with status $?"; kill -KILL 0) & read -r _; kill -KILL 0"#;

impl Drop for Server {
    fn drop(&mut self) {
        kill_group(&self.supervisor);
        let _ = self.supervisor.wait();
        if thread::panicking() {
            eprintln!("--- log of {}:\n{}", self.name, tail(&self.log));
        }
    }
}

/// The end of a log, for the report of a failed test.
pub(crate) fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

fn kill_group(child: &Child) {
    if let Some(group) = pid(child) {
        let _ = killpg(group, Signal::SIGKILL);
    }
}

/// The process id as nix has it.
pub(crate) fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().map(Pid::from_raw)
}

/// A loopback port without a listener, reserved as long as this lives.
pub(crate) struct ClosedPort {
    pub(crate) address: SocketAddr,
    _bound: socket2::Socket,
}

impl ClosedPort {
    pub(crate) fn new() -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        Self {
            address: socket.local_addr().unwrap().as_socket().unwrap(),
            _bound: socket,
        }
    }
}

/// A client that runs; killed with its children on drop.
pub(crate) struct Running {
    shown: String,
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

/// A client that ended.
#[derive(Debug)]
pub(crate) struct Finished {
    shown: String,
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    /// Starts `command` in a process group of its own.
    pub(crate) fn start(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Self {
            shown,
            child,
            stdout,
            stderr,
        }
    }

    /// Waits for its end; a client that lives longer than `within` fails the test.
    pub(crate) fn finish(mut self, within: Duration) -> Finished {
        let mut status = None;
        let ended = wait_until(within, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if !ended {
            kill_group(&self.child);
        }
        let [stdout, stderr] = [self.stdout.take(), self.stderr.take()].map(|pipe| {
            let bytes = pipe.map(|reader| reader.join().unwrap());
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        });
        let Some(status) = status else {
            panic!(
                "still running after {within:?}: {}\n{stdout}\n{stderr}",
                self.shown
            );
        };
        Finished {
            shown: self.shown.clone(),
            status,
            stdout,
            stderr,
        }
    }

    /// Stops it and its children (SIGSTOP), and waits until none of them runs.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        let group = self.child.id().to_string();
        let of_group = |fields: &[&str]| fields.get(2) == Some(&&*group);
        let stands_still = |fields: &[&str]| matches!(fields[0], "T" | "Z");
        assert!(
            wait_until(READY, || {
                let processes = fs::read_dir("/proc").unwrap().flatten();
                let mut threads = processes.flat_map(|process| threads(&process.path()));
                threads.all(|stat| {
                    let fields: Vec<_> = stat.split_whitespace().collect();
                    !of_group(&fields) || stands_still(&fields)
                })
            }),
            "SIGSTOP does not stop {}",
            self.shown
        );
    }

    /// Continues them (SIGCONT).
    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        killpg(pid(&self.child).unwrap(), signal).unwrap();
    }

    /// Ctrl-C in its terminal: SIGINT to it and its children.
    pub(crate) fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Kills it and its children; returns its output.
    pub(crate) fn end(&self) {
        kill_group(&self.child);
    }

    /// Kills it and its children at once.
    pub(crate) fn vanish(self) {}

    /// True while it runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill_group(&self.child);
        let _ = self.child.wait();
    }
}

impl Finished {
    /// Fails the test unless the client succeeded.
    #[track_caller]
    pub(crate) fn well(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// Fails the test unless the client failed.
    #[track_caller]
    pub(crate) fn badly(self) -> Self {
        assert!(!self.status.success(), "{self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            shown,
            status,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{shown}\n{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

/// What /proc has of each thread of a process after its name (proc(5), `stat`): the state, the parent, the process group.
pub(super) fn threads(process: &Path) -> Vec<String> {
    let tasks = fs::read_dir(process.join("task"));
    let stats = tasks.into_iter().flatten().flatten();
    let stats = stats.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let after_name = |stat: String| Some(stat.rsplit_once(") ")?.1.to_owned());
    stats.filter_map(after_name).collect()
}

/// Reads a pipe to its end in the background.
fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}
