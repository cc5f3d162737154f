//! Everything at once: a CA, a git host with LFS, a home for the clients, a place for the daemon.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{
    ca::{Flaw, TestCa},
    client::Git,
    ferry::Ferry,
    git_host::{GitHost, Manners},
    hops::Hop,
    lfs::LfsServer,
    settings::Settings,
};

/// The main site.
pub(crate) const MAIN: &str = "main.test";
/// The LFS storage.
pub(crate) const STORAGE: &str = "storage.test";

/// A world of its own for each test, so that tests run beside each other.
pub(crate) struct World {
    /// The git host; it answers to any name that its certificate has.
    pub(crate) host: GitHost,
    /// The LFS server.
    pub(crate) lfs: LfsServer,
    /// Who signs the certificates.
    pub(crate) ca: TestCa,
    // Last: it is removed when the servers are gone.
    dir: TempDir,
}

impl World {
    /// Builds one.
    pub(crate) fn new() -> Self {
        Self::with_account(None)
    }

    /// Builds one whose git host asks for a name and a password.
    pub(crate) fn with_account(account: Option<(&str, &str)>) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("gitferry-git-")
            .tempdir()
            .unwrap();
        let at = |name: &str| dir.path().join(name);
        let ca = TestCa::new(at("ca"));
        // Some hosts keep their objects on another port of their own.
        let storage = ca.leaf(&[STORAGE, MAIN], Flaw::None);
        let lfs = LfsServer::start(at("lfs"), MAIN, STORAGE, &storage);
        let main = ca.files("main", &ca.leaf(&[MAIN, "localhost"], Flaw::None));
        let manners = Manners {
            account,
            lfs: Some(lfs.api),
        };
        let host = GitHost::start(at("host"), &main, manners);
        Self { host, lfs, ca, dir }
    }

    /// A path that nothing else uses.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Debian's git, which knows neither gitferry nor the test CA yet.
    pub(crate) fn git(&self) -> Git {
        Git::debian(&self.path("home"))
    }

    /// Debian's git on the way that a user of gitferry has set up.
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
        self.settings()
            .route(MAIN, "terminate", &["direct"], self.host.https)
            .route(STORAGE, "terminate", &["direct"], self.lfs.storage)
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

    /// Where all of this lies.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }
}
