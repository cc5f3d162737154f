//! A whole test world: a CA, a git host with LFS, a home for the clients, and a daemon.

use std::{
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Arc, LazyLock},
    time::Duration,
};

use gitferry::testing::DrainOutcome;
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, task::JoinHandle};

use super::{
    ca::{Flaw, TestCa},
    client::Git,
    ferry::{FREE, Ferry, Run},
    git_host::{GitHost, Manners},
    hop::Hop,
    lfs::LfsServer,
    script::{DEADLINE, origin, soon},
    settings::Settings,
};

/// The main site.
pub(crate) const MAIN: &str = "main.test";
/// The LFS storage.
pub(crate) const STORAGE: &str = "storage.test";

/// The servers that start on first use.
type Lazy<T> = LazyLock<T, Box<dyn FnOnce() -> T + Send>>;

/// A separate world for each test, so that tests run in parallel.
///
/// [`World::with`] and related functions start a daemon in it; the world then dereferences to that [`Ferry`].
pub(crate) struct World {
    /// The git host; it answers to every name of its certificate.
    pub(crate) host: Lazy<GitHost>,
    /// The LFS server.
    pub(crate) lfs: Arc<Lazy<LfsServer>>,
    /// The CA that signs the certificates.
    pub(crate) ca: Arc<Lazy<TestCa>>,
    ferry: Option<Ferry>,
    // Last, so that it is removed after the servers end.
    dir: TempDir,
}

impl Deref for World {
    type Target = Ferry;

    fn deref(&self) -> &Ferry {
        let ferry = self.ferry.as_ref();
        ferry.unwrap_or_else(|| panic!("this world has no daemon: start it by `World::with`"))
    }
}

impl World {
    /// Builds one.
    pub(crate) fn new() -> Self {
        Self::with_account(None)
    }

    /// Builds one whose git host requires a name and a password.
    pub(crate) fn with_account(account: Option<(&'static str, &'static str)>) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("gitferry-git-")
            .tempdir()
            .unwrap();
        let at = |name: &str| dir.path().join(name);
        let place = at("ca");
        let ca: Arc<Lazy<TestCa>> = Arc::new(LazyLock::new(Box::new(move || TestCa::new(place))));
        let (place, signer) = (at("lfs"), Arc::clone(&ca));
        let lfs: Arc<Lazy<LfsServer>> = Arc::new(LazyLock::new(Box::new(move || {
            // Some hosts keep objects on another port.
            let storage = signer.leaf(&[STORAGE, MAIN], Flaw::None);
            LfsServer::start(place, MAIN, STORAGE, &storage)
        })));
        let (place, signer, objects) = (at("host"), Arc::clone(&ca), Arc::clone(&lfs));
        let host: Lazy<GitHost> = LazyLock::new(Box::new(move || {
            let main = signer.files("main", &signer.leaf(&[MAIN, "localhost"], Flaw::None));
            let manners = Manners {
                account,
                lfs: Some(objects.api),
            };
            GitHost::start(place, &main, manners)
        }));
        Self {
            host,
            lfs,
            ca,
            ferry: None,
            dir,
        }
    }

    /// A daemon inside the test with `routes` (the `[[route]]` part of a config) and the settings that every test needs.
    pub(crate) async fn with(routes: &str) -> Self {
        Self::run(Run::InProcess, "", routes).await
    }

    /// A daemon inside the test that reaches `name` at `origin`, over plain HTTP or a tunnel.
    pub(crate) async fn in_front_of(name: &str, origin: SocketAddr) -> Self {
        Self::with(&route(name, origin, "tunnel", "")).await
    }

    /// A daemon inside the test in front of an `origin.test` that answers the first request of each connection with this and closes.
    pub(crate) async fn answering(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        let (address, _served) = origin(move |connections| async move {
            loop {
                let mut stream = connections.asked().await;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        Self::in_front_of("origin.test", address).await
    }

    /// A daemon inside the test with these lines of `[listen]` and these routes.
    pub(crate) async fn listening(listen: &str, routes: &str) -> Self {
        Self::run(Run::InProcess, listen, routes).await
    }

    /// A daemon as `run` says, with these lines of `[listen]` and these routes.
    pub(crate) async fn run(run: Run, listen: &str, routes: &str) -> Self {
        let mut world = Self::new();
        let text = scripted(world.dir.path(), FREE, listen, routes);
        world.ferry = Some(Ferry::run(run, world.dir.path(), &text));
        world
    }

    /// Replaces the daemon's routes; see [`Ferry::reload_text`].
    pub(crate) fn reload(&self, routes: &str) {
        self.reload_listening("", routes);
    }

    /// The same with these lines of `[listen]`.
    pub(crate) fn reload_listening(&self, listen: &str, routes: &str) {
        let address = self.address.to_string();
        self.reload_text(&scripted(self.dir.path(), &address, listen, routes));
    }

    /// A second daemon in the process, on the state directory of the first one.
    pub(crate) fn beside(&self, routes: &str) -> Ferry {
        let text = scripted(self.dir.path(), FREE, "", routes);
        Ferry::run(Run::InProcess, self.dir.path(), &text)
    }

    /// Stops the daemon and starts another one inside the test, on the same state directory.
    pub(crate) async fn restart(&mut self, routes: &str) {
        let stopping = self.stop(DEADLINE);
        soon("the end of the old daemon", stopping).await.unwrap();
        let text = scripted(self.dir.path(), FREE, "", routes);
        self.ferry = Some(Ferry::run(Run::InProcess, self.dir.path(), &text));
    }

    /// Stops the daemon inside the test; see [`Ferry::stop`].
    pub(crate) fn stop(&mut self, grace: Duration) -> JoinHandle<DrainOutcome> {
        self.ferry.as_mut().unwrap().stop(grace)
    }

    /// Asks the binary to stop and waits for its end.
    pub(crate) fn terminate_within(&mut self, limit: Duration) -> ExitStatus {
        let ferry = self.ferry.as_mut().unwrap();
        ferry.terminate();
        ferry.ended(limit)
    }

    /// The state directory of the daemon that was started with the world.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// An unused path.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Debian's git, without gitferry and without the test CA.
    pub(crate) fn git(&self) -> Git {
        Git::debian(&self.path("home"))
    }

    /// Debian's git as set up by a user of gitferry.
    pub(crate) fn git_through(&self, ferry: &Ferry) -> Git {
        self.git()
            .with("http.proxy", ferry.proxy())
            .with("http.sslCAInfo", ferry.bundle())
    }

    /// A config without routes, for the daemon of this world.
    pub(crate) fn settings(&self) -> Settings {
        Settings::new(&self.path("ferry"), self.ca.pem_file())
    }

    /// The same for a second daemon.
    pub(crate) fn settings_beside(&self) -> Settings {
        Settings::new(&self.path("beside"), self.ca.pem_file())
    }

    /// A config with both hosts terminated and dialled directly.
    pub(crate) fn plain_settings(&self) -> Settings {
        self.settings_to_storage(&["direct"], self.lfs.storage)
    }

    /// A config with the main site only, terminated and dialled directly at `main`.
    pub(crate) fn settings_to_main(&self, main: SocketAddr) -> Settings {
        self.settings().route(MAIN, "terminate", &["direct"], main)
    }

    /// The config with both hosts where the LFS storage is reached by `upstreams`, at `storage`.
    pub(crate) fn settings_to_storage(&self, upstreams: &[&str], storage: SocketAddr) -> Settings {
        self.settings()
            .route(MAIN, "terminate", &["direct"], self.host.https)
            .route(STORAGE, "terminate", upstreams, storage)
    }

    /// A config with both hosts in tunnels, dialled directly.
    pub(crate) fn tunnel_settings(&self) -> Settings {
        self.settings()
            .route(MAIN, "tunnel", &["direct"], self.host.https)
            .route(STORAGE, "tunnel", &["direct"], self.lfs.storage)
    }

    /// Debian's git through `ferry` with tunnelled connections: it sees the servers' own certificates.
    pub(crate) fn git_in_tunnels(&self, ferry: &Ferry) -> Git {
        self.git_through(ferry)
            .with("http.sslCAInfo", self.ca.pem_file())
    }

    /// Debian's git through `ferry`, whose routes have this `tls`.
    pub(crate) fn git_over(&self, ferry: &Ferry, tls: &str) -> Git {
        match tls {
            "tunnel" => self.git_in_tunnels(ferry),
            _ => self.git_through(ferry),
        }
    }

    /// A real hop, by the scheme of its URL.
    pub(crate) fn hop(&self, scheme: &str) -> Hop {
        let dir = self.path(scheme);
        match scheme {
            "http" => Hop::http(dir),
            "socks5h" => Hop::socks5h(dir),
            "https" => {
                let leaf = self.ca.leaf(&["localhost"], Flaw::None);
                Hop::https(dir, &self.ca.files("hop", &leaf))
            }
            other => panic!("no hop speaks {other}"),
        }
    }

    /// The directory of all this.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }
}

/// A `[[route]]` to `name` at `origin`, with these lines.
pub(crate) fn route(name: &str, origin: SocketAddr, tls: &str, more: &str) -> String {
    format!(
        "[[route]]\nname = \"{name}\"\nrole = \"other\"\nhosts = [\"{name}\"]\ntls = \"{tls}\"\n\
         upstreams = [{{ via = \"direct\" }}]\nresolve = {{ \"{name}\" = \"{origin}\" }}\n{more}\n"
    )
}

/// `[hops]` with these names and URLs, and a `[[route]]` to `host` through them in turn, in a tunnel, with these lines.
pub(crate) fn route_by(hops: &[(&str, &str)], host: &str, more: &str) -> String {
    let tables: Vec<_> = hops
        .iter()
        .map(|(name, url)| format!("{name} = {{ url = \"{url}\" }}\n"))
        .collect();
    let upstreams: Vec<_> = hops
        .iter()
        .map(|(name, _)| format!("{{ via = \"{name}\" }}"))
        .collect();
    format!(
        "[hops]\n{}[[route]]\nname = \"{host}\"\nrole = \"other\"\nhosts = [\"{host}\"]\ntls = \"tunnel\"\n\
         upstreams = [{}]\n{more}\n",
        tables.concat(),
        upstreams.join(", ")
    )
}

/// The config of a daemon in front of scripted origins: short waits, no built-in routes.
fn scripted(dir: &Path, address: &str, listen: &str, routes: &str) -> String {
    let unless_set = |line: &'static str| match line.split_once(" = ") {
        Some((key, _)) if listen.contains(key) => "",
        _ => line,
    };
    let limit = unless_set("max_connections = 64");
    let max_head = unless_set("max_head = \"16 KiB\"");
    format!(
        "[listen]\naddress = \"{address}\"\nhead_timeout = \"5s\"\nidle_timeout = \"5s\"\n{max_head}\n{limit}\n{listen}\n\
         [built_in]\nroutes = false\n[state]\ndirectory = \"{}\"\n[trust]\nplatform_roots = false\n\
         [log]\nformat = \"json\"\nlevel = \"debug\"\n\
         [dial]\nbackoff = \"5ms\"\nbackoff_limit = \"20ms\"\nattempts = 4\nhandshake_timeout = \"5s\"\n{routes}",
        dir.join("state").display()
    )
}
