//! A hop: one type, with a constructor for each thing that a hop does.
//!
//! | the hop | constructor |
//! |---|---|
//! | a real program that requires [`USER`] and [`PASSWORD`] | [`Hop::http`], [`Hop::https`], [`Hop::socks5h`], or `World::hop` with a scheme |
//! | tinyproxy without a password, which can restart on its port | [`Hop::open`] |
//! | another real program | `tests/hops/programs`, each of which makes a [`Hop::program`] |
//! | any of these behind TLS | [`Hop::behind_tls`] |
//! | connects every request to one origin, or each name to its own | [`Hop::leads_to`], [`Hop::reaches`], [`Hop::reaches_only`] |
//! | the same beyond a lossy path | [`Hop::beyond`] |
//! | answers, and reads on | [`Hop::answers`], `answers_407`, `answers_403`, `answers_502`, `garbage` |
//! | answers nothing | [`Hop::silent`], [`Hop::hangs_up`], [`Hop::resets`] |
//! | fails after its 200 | [`Hop::says_200_and_closes`] |
//! | nothing may reach it | [`Hop::trap`], and at the end [`Hop::assert_unused`] |
//! | anything else | [`Hop::playing`] with a script |
//!
//! Not hops: a [`super::relay::Relay`] is a fault on a path and reads no request; it can stand before a hop. The tests of `net::dial` play
//! a hop's bytes on one end of a pipe, without a port.

mod scripted;

use std::{
    any::Any,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use self::scripted::Seen;
use super::{
    ca::LeafFiles,
    process::{Door, Server, clean_command},
};

/// The user of the real hops.
pub(crate) const USER: &str = "ferryman";
/// The user's password.
pub(crate) const PASSWORD: &str = "PLANTEDhopPassword7d1e";

/// A hop that runs until it is dropped.
pub(crate) struct Hop {
    /// Its URL in `[hops]`, or in `http.proxy`.
    pub(crate) url: String,
    /// Its further keys in `[hops]`.
    pub(crate) keys: Vec<String>,
    /// A certificate that the daemon must trust because of it.
    pub(crate) root: Option<PathBuf>,
    log: Option<PathBuf>,
    seen: Arc<Seen>,
    kept: Vec<Box<dyn Any + Send>>,
}

impl Hop {
    /// tinyproxy: CONNECT and absolute form.
    pub(crate) fn http(dir: PathBuf) -> Self {
        Self::tinyproxy(&dir, "")
    }

    /// tinyproxy that permits CONNECT to one port and answers 403 for every other.
    pub(crate) fn http_to_the_port_of(dir: PathBuf, origin: SocketAddr) -> Self {
        Self::tinyproxy(&dir, &format!("ConnectPort {}\n", origin.port()))
    }

    fn tinyproxy(dir: &Path, rules: &str) -> Self {
        let rules = format!("BasicAuth {USER} {PASSWORD}\n{rules}");
        fs::create_dir_all(dir).unwrap();
        let (server, address) =
            Server::start_on_a_port("tinyproxy", dir, |address| tinyproxy(dir, address, &rules));
        let hop = Self::program(format!("http://{address}"), server);
        hop.logging_to(dir.join("tinyproxy.log"))
    }

    /// tinyproxy without a password at `address`, so that it can end and start again there.
    pub(crate) fn open(dir: &Path, address: SocketAddr) -> Self {
        fs::create_dir_all(dir).unwrap();
        let command = tinyproxy(dir, address, "");
        let server = Server::start("tinyproxy", dir, &command, &Door::Tcp(address));
        Self::program(format!("http://{address}"), server)
    }

    /// tinyproxy behind TLS.
    pub(crate) fn https(dir: PathBuf, leaf: &LeafFiles) -> Self {
        Self::tinyproxy(&dir, "").behind_tls(&dir, &leaf.both, None)
    }

    /// microsocks, which resolves names itself.
    pub(crate) fn socks5h(dir: PathBuf) -> Self {
        fs::create_dir_all(&dir).unwrap();
        let (server, address) = Server::start_on_a_port("microsocks", &dir, |address| {
            let mut command = clean_command("/usr/bin/microsocks", &dir);
            command
                .args(["-i", "127.0.0.1", "-p", &address.port().to_string()])
                .args(["-u", USER, "-P", PASSWORD]);
            command
        });
        let hop = Self::program(format!("socks5h://{address}"), server);
        hop.logging_to(dir.join("microsocks.log"))
    }

    /// A hop at `url`, and what must live as long.
    pub(crate) fn program(url: String, kept: impl Any + Send) -> Self {
        Self {
            url,
            keys: Vec::new(),
            root: None,
            log: None,
            seen: Arc::default(),
            kept: vec![Box::new(kept)],
        }
    }

    /// The same hop behind HAProxy, which terminates TLS at `localhost` with the certificate and key in `pem`, and with `client_ca` requires a
    /// client certificate that it signed.
    pub(crate) fn behind_tls(self, dir: &Path, pem: &Path, client_ca: Option<&Path>) -> Self {
        let verify = client_ca.map_or_else(String::new, |ca| {
            format!(" verify required ca-file {}", ca.display())
        });
        fs::create_dir_all(dir).unwrap();
        let (server, address) = Server::start_on_a_port("haproxy", dir, |address| {
            let config = dir.join("haproxy.conf");
            let text = format!(
                "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 300s\n  timeout server 300s\n\
                 frontend tls\n  bind {address} ssl crt {}{verify}\n  default_backend plain\n\
                 backend plain\n  server plain {}\n",
                pem.display(),
                self.authority()
            );
            fs::write(&config, text).unwrap();
            let mut command = clean_command("/usr/sbin/haproxy", dir);
            command.arg("-db").arg("-f").arg(config);
            command
        });
        let url = format!("https://localhost:{}", address.port());
        Self { url, ..self }.with(server)
    }

    /// The same server under another scheme.
    pub(crate) fn with_scheme(mut self, scheme: &str) -> Self {
        self.url = format!("{scheme}://{}", self.authority());
        self
    }

    /// With another key of the hop.
    pub(crate) fn key(mut self, key: String) -> Self {
        self.keys.push(key);
        self
    }

    /// With another root of `[trust]`.
    pub(crate) fn trusting(mut self, root: PathBuf) -> Self {
        self.root = Some(root);
        self
    }

    /// With something that must live as long.
    pub(crate) fn with(mut self, kept: impl Any + Send) -> Self {
        self.kept.push(Box::new(kept));
        self
    }

    fn logging_to(self, log: PathBuf) -> Self {
        let log = Some(log);
        Self { log, ..self }
    }

    /// Its host and port.
    pub(crate) fn authority(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// Where it listens, if its URL has an address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.authority().parse().unwrap()
    }

    /// The log of a real program.
    pub(crate) fn log(&self) -> String {
        let log = self.log.as_ref();
        log.map_or_else(String::new, |log| {
            fs::read_to_string(log).unwrap_or_default()
        })
    }
}

/// tinyproxy at `address` with `rules`.
fn tinyproxy(dir: &Path, address: SocketAddr, rules: &str) -> std::process::Command {
    let config = dir.join("tinyproxy.conf");
    let text = format!(
        "Port {}\nListen {}\nTimeout 300\nMaxClients 256\nLogLevel Connect\n{rules}",
        address.port(),
        address.ip()
    );
    fs::write(&config, text).unwrap();
    let mut command = clean_command("/usr/bin/tinyproxy", dir);
    command.arg("-d").arg("-c").arg(config);
    command
}
