//! The daemon under test, as its user sees it: a config file, a port, a log, signals, an exit code.

use std::{
    fs,
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::{
    process::{clean_command, pid, wait_until},
    settings::Settings,
};

/// How long an event may take that must come.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A running daemon; killed on drop, its log printed where the test failed.
pub(crate) struct Ferry {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    dir: PathBuf,
    child: Child,
    log: Log,
    taken: Taken,
}

/// How many events of each kind the test has taken.
#[derive(Default)]
struct Taken {
    faults: AtomicUsize,
    stalls: AtomicUsize,
    ends: AtomicUsize,
}

/// What the daemon has written so far.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Ferry {
    /// Starts `gitferry run` and waits until it listens.
    pub(crate) fn start(settings: &Settings) -> Self {
        Self::start_with(settings, &[])
    }

    /// The same with these variables in its environment.
    pub(crate) fn start_with(settings: &Settings, variables: &[(&str, &str)]) -> Self {
        let config = settings.dir.join("gitferry.toml");
        fs::write(&config, settings.text("127.0.0.1:0")).unwrap();
        let mut command = clean_command(env!("CARGO_BIN_EXE_gitferry"), &settings.dir);
        let mut child = command
            .env("RUST_BACKTRACE", "1")
            .envs(variables.iter().copied())
            .args(["run", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::default();
        log.follow(child.stderr.take().unwrap());
        let mut ferry = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            dir: settings.dir.clone(),
            child,
            log,
            taken: Taken::default(),
        };
        let listening = ferry.wait_for_event("listening");
        ferry.address = listening["address"].as_str().unwrap().parse().unwrap();
        ferry
    }

    /// Writes another config file, with the address that is in use, and asks for it to be read.
    pub(crate) fn reload(&self, settings: &Settings) {
        let config = self.dir.join("gitferry.toml");
        fs::write(config, settings.text(&self.address.to_string())).unwrap();
        self.signal(Signal::HUP);
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child).unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self, within: Duration) -> ExitStatus {
        let mut status = None;
        let ended = wait_until(within, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        assert!(ended, "the daemon still runs after {within:?}");
        status.unwrap()
    }

    /// The value of `http.proxy`.
    pub(crate) fn proxy(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What clients are told to trust: the roots and the local CA.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.dir.join("state/bundle.pem")
    }

    /// The config file.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("gitferry.toml")
    }

    /// Everything on its stderr so far.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().unwrap().clone()
    }

    /// The events with this message.
    pub(crate) fn events(&self, message: &str) -> Vec<Value> {
        let log = self.log();
        let events = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["message"] == message).collect()
    }

    /// The codes of the faults so far.
    pub(crate) fn faults(&self) -> Vec<String> {
        let faults = self.events("fault");
        faults
            .iter()
            .map(|fault| fault["code"].as_str().unwrap_or("?").to_owned())
            .collect()
    }

    /// The first event with this message, which must come soon.
    #[track_caller]
    pub(crate) fn wait_for_event(&mut self, message: &str) -> Value {
        let mut first = None;
        wait_until(SOON, || {
            first = self.events(message).into_iter().next();
            first.is_some() || self.child.try_wait().unwrap().is_some()
        });
        first.unwrap_or_else(|| panic!("no event {message:?} in:\n{}", self.log()))
    }

    /// The next fault that was not taken yet, with `leg`, `stage` and `kind`.
    #[track_caller]
    pub(crate) fn next_fault(&self) -> Value {
        self.next(&self.taken.faults, "fault")
    }

    /// The next stall that began and was not taken yet, with `verdict`, `leg` and `stage`.
    #[track_caller]
    pub(crate) fn next_stall(&self) -> Value {
        self.next(&self.taken.stalls, "stall")
    }

    /// The next end of a transfer that was not taken yet, with `status` and `result`.
    #[track_caller]
    pub(crate) fn next_end(&self) -> Value {
        self.next(&self.taken.ends, "transfer ended")
    }

    #[track_caller]
    fn next(&self, taken: &AtomicUsize, message: &str) -> Value {
        let n = taken.fetch_add(1, Ordering::Relaxed);
        let mut found = None;
        wait_until(SOON, || {
            found = self.events(message).into_iter().nth(n);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no {message:?} number {n} in:\n{}", self.log()))
    }

    /// Waits for a fault with this code.
    #[track_caller]
    pub(crate) fn wait_for_fault(&self, code: &str) -> Value {
        let mut found = None;
        wait_until(SOON, || {
            found = self
                .events("fault")
                .into_iter()
                .find(|fault| fault["code"] == code);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no fault {code:?}, but {:?}", self.faults()))
    }

    /// The closing lines whose host and method are these; the line comes after the client has its answer, so it is waited for.
    #[track_caller]
    pub(crate) fn wait_for_transfer(&self, host: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        wait_until(SOON, || {
            let mut ended = self.events("transfer ended").into_iter();
            found = ended.find(|event| event["host"] == host && matches(event));
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no such transfer with {host}:\n{}", self.log()))
    }

    /// The answer to `GET path` of its own pages.
    pub(crate) fn get(&self, path: &str) -> String {
        let address = self.address;
        self.say(&format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        ))
    }

    /// What it answers to a request that closes the connection.
    pub(crate) fn say(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The transfers that run, as the status has them.
    pub(crate) fn transfers(&self) -> Vec<Value> {
        let answer = self.get("/-/status");
        let json = answer.split_once('{').map(|(_, rest)| format!("{{{rest}"));
        let json = json.unwrap_or_default();
        let json = json.rsplit_once('}').map(|(text, _)| format!("{text}}}"));
        let status: Value = serde_json::from_str(&json.unwrap_or_default())
            .unwrap_or_else(|error| panic!("no JSON in the status: {error}\n{answer}"));
        let transfers = status["transfers"].as_array().cloned();
        transfers.unwrap_or_else(|| panic!("no transfers in the status:\n{answer}"))
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Resident memory in KiB: `VmRSS` now, or `VmHWM`, the most since [`Ferry::forget_peak`].
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

    /// From now on `VmHWM` counts anew (proc(5), clear_refs).
    pub(crate) fn forget_peak(&self) {
        fs::write(self.proc("clear_refs"), "5").unwrap();
    }
}

impl Drop for Ferry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of gitferry:\n{}", self.log());
        }
    }
}

impl Log {
    fn follow(&self, pipe: impl std::io::Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut log = log.0.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
    }
}
