//! The world of the in-process tests: a daemon on port 0, and origins that say exactly what a test tells them to.
//!
//! Faults, stalls and ends of transfers are asserted as values: [`World::next_fault`], [`World::next_stall`], [`World::ended`]. Which
//! world, daemon handle, hop and origin to take for what: `tests/support/mod.rs`.

use std::{
    future::Future,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use gitferry::testing::{self, Config, Daemon, EndSeen, Events, FaultSeen, Observed, StallSeen};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Nothing in these tests takes longer unless it hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits for `event`, and fails by name where it does not come.
pub(crate) async fn soon<T>(what: &str, event: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// The shortest answer.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A daemon and its state directory.
pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) address: SocketAddr,
    pub(crate) events: Observations,
    directory: tempfile::TempDir,
}

/// What a daemon reports, and how much of it the test has taken.
pub(crate) struct Observations {
    events: Events,
    faults: AtomicUsize,
    stalls: AtomicUsize,
    ends: AtomicUsize,
}

impl Observations {
    /// Everything that `daemon` reports from now on.
    pub(crate) fn of(daemon: &Daemon) -> Self {
        Self {
            events: daemon.shared().tracker.subscribe(),
            faults: AtomicUsize::new(0),
            stalls: AtomicUsize::new(0),
            ends: AtomicUsize::new(0),
        }
    }

    async fn next<T>(
        &self,
        taken: &AtomicUsize,
        what: &str,
        pick: impl Fn(Observed) -> Option<T>,
    ) -> T {
        let n = taken.fetch_add(1, Ordering::Relaxed);
        soon(what, self.events.nth(n, pick)).await
    }

    /// Every fault so far.
    pub(crate) fn faults(&self) -> Vec<FaultSeen> {
        self.events.so_far(fault)
    }

    /// Every line of a stall so far.
    pub(crate) fn stalls(&self) -> Vec<StallSeen> {
        self.events.so_far(stall)
    }

    /// The next fault that was not taken yet.
    pub(crate) async fn next_fault(&self) -> FaultSeen {
        self.next(&self.faults, "a fault", fault).await
    }

    /// The next line of a stall that was not taken yet.
    pub(crate) async fn next_stall(&self) -> StallSeen {
        self.next(&self.stalls, "a stall", stall).await
    }

    /// The next end of a transfer that was not taken yet.
    pub(crate) async fn ended(&self) -> EndSeen {
        self.next(&self.ends, "the end of a transfer", end).await
    }
}

fn fault(event: Observed) -> Option<FaultSeen> {
    match event {
        Observed::Fault(fault) => Some(fault),
        Observed::Stall(_) | Observed::Ended(_) => None,
    }
}

fn stall(event: Observed) -> Option<StallSeen> {
    match event {
        Observed::Stall(stall) => Some(stall),
        Observed::Fault(_) | Observed::Ended(_) => None,
    }
}

fn end(event: Observed) -> Option<EndSeen> {
    match event {
        Observed::Ended(end) => Some(end),
        Observed::Fault(_) | Observed::Stall(_) => None,
    }
}

impl World {
    /// A daemon that runs on `routes` (the `[[route]]` part of a config) beside what every test needs.
    pub(crate) async fn with(routes: &str) -> Self {
        Self::for_clients(64, routes).await
    }

    /// The same with so many places for clients.
    pub(crate) async fn for_clients(max_connections: usize, routes: &str) -> Self {
        let listen = format!("max_connections = {max_connections}");
        Self::listening(&listen, routes).await
    }

    /// The same where clients must give a name and a password.
    pub(crate) async fn with_account(username: &str, password: &str, routes: &str) -> Self {
        // The config is read once.
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), password).unwrap();
        let listen = format!(
            "username = \"{username}\"\npassword_file = \"{}\"",
            file.path().display()
        );
        Self::listening(&listen, routes).await
    }

    /// The same with these lines of `[listen]`.
    pub(crate) async fn listening(listen: &str, routes: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = load(directory.path(), listen, routes);
        let daemon = Daemon::start(config).unwrap();
        let address = daemon.addresses()[0];
        Self {
            events: Observations::of(&daemon),
            daemon,
            address,
            directory,
        }
    }

    /// A daemon that reaches `name` at `origin`, over plain HTTP or a tunnel.
    pub(crate) async fn in_front_of(name: &str, origin: SocketAddr) -> Self {
        Self::with(&route(name, origin, "tunnel", "")).await
    }

    /// The state directory.
    pub(crate) fn state(&self) -> std::path::PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn reload(&self, routes: &str) {
        self.reload_listening("", routes);
    }

    pub(crate) fn reload_listening(&self, listen: &str, routes: &str) {
        self.daemon
            .reload(load(self.directory.path(), listen, routes))
            .unwrap();
    }

    /// Stops the daemon and starts another one on the same state directory.
    pub(crate) async fn restart(self, routes: &str) -> Self {
        let Self {
            daemon, directory, ..
        } = self;
        soon("the end of the old daemon", daemon.stop(DEADLINE)).await;
        let daemon = Daemon::start(load(directory.path(), "", routes)).unwrap();
        let address = daemon.addresses()[0];
        Self {
            events: Observations::of(&daemon),
            daemon,
            address,
            directory,
        }
    }

    /// Every fault so far.
    pub(crate) fn faults(&self) -> Vec<FaultSeen> {
        self.events.faults()
    }

    /// Every line of a stall so far.
    pub(crate) fn stalls(&self) -> Vec<StallSeen> {
        self.events.stalls()
    }

    /// The next fault that was not taken yet.
    pub(crate) async fn next_fault(&self) -> FaultSeen {
        self.events.next_fault().await
    }

    /// The next line of a stall that was not taken yet.
    pub(crate) async fn next_stall(&self) -> StallSeen {
        self.events.next_stall().await
    }

    /// The next end of a transfer that was not taken yet.
    pub(crate) async fn ended(&self) -> EndSeen {
        self.events.ended().await
    }

    pub(crate) async fn client(&self) -> Client {
        Client::to(self.address).await
    }

    /// Waits until so many origin connections are kept for the next request.
    pub(crate) async fn keeps_idle(&self, count: usize) {
        let kept = format!("\"idle_connections\": {count},");
        soon("an idle connection", async {
            loop {
                let mut client = self.client().await;
                client
                    .send("GET /-/status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                    .await;
                if String::from_utf8_lossy(&client.rest().await).contains(&kept) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    /// Waits until no transfer is left.
    pub(crate) async fn is_quiet(&self) {
        soon("the last transfer's end", async {
            while !self.daemon.shared().tracker.list().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

pub(crate) fn route(name: &str, origin: SocketAddr, tls: &str, more: &str) -> String {
    format!(
        "[[route]]\nname = \"{name}\"\nrole = \"other\"\nhosts = [\"{name}\"]\ntls = \"{tls}\"\n\
         upstreams = [{{ via = \"direct\" }}]\nresolve = {{ \"{name}\" = \"{origin}\" }}\n{more}\n"
    )
}

fn load(directory: &std::path::Path, listen: &str, routes: &str) -> Config {
    let file = directory.join("gitferry.toml");
    let state = directory.join("state");
    let text = format!(
        "[listen]\naddress = \"127.0.0.1:0\"\nhead_timeout = \"5s\"\nidle_timeout = \"5s\"\nmax_head = \"16 KiB\"\n{listen}\n\
         [built_in]\nroutes = false\n[state]\ndirectory = \"{}\"\n[trust]\nplatform_roots = false\n\
         [dial]\nbackoff = \"5ms\"\nbackoff_limit = \"20ms\"\nattempts = 4\nhandshake_timeout = \"5s\"\n{routes}",
        state.display()
    );
    std::fs::write(&file, text).unwrap();
    testing::load(Some(&file), &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A client that writes what it is told to and reads what comes.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self(
            soon("a connection", TcpStream::connect(address))
                .await
                .unwrap(),
        )
    }

    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        soon("room to write", self.0.write_all(text.as_ref()))
            .await
            .unwrap();
    }

    /// Reads up to and with `end`.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        String::from_utf8(read_until(&mut self.0, end.as_bytes()).await).unwrap()
    }

    /// Reads a head.
    pub(crate) async fn head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = soon("the end", self.0.read_to_end(&mut rest)).await;
        rest
    }
}

/// Reads up to and with `end`; whatever came before the stream ended, where it ended first.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    let what = format!("{:?}", String::from_utf8_lossy(end));
    soon(&what, async {
        let mut byte = [0];
        while !read.ends_with(end) {
            match stream.read(&mut byte).await {
                Ok(1) => read.push(byte[0]),
                _ => return,
            }
        }
    })
    .await;
    read
}

/// An origin on port 0 that does `script` with its first connection, and can be waited for.
pub(crate) async fn origin<F, T>(
    script: impl FnOnce(Connections) -> F + Send + 'static,
) -> (SocketAddr, JoinHandle<T>)
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::task::spawn(script(Connections(listener))))
}

pub(crate) struct Connections(TcpListener);

impl Connections {
    pub(crate) async fn next(&self) -> TcpStream {
        soon("a connection at the origin", self.0.accept())
            .await
            .unwrap()
            .0
    }
}

/// Closes with a reset.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}
