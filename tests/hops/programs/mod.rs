//! Real proxies, each in a directory of its own, and what stands in `[hops]` for them.

pub(crate) mod http;
pub(crate) mod python;
pub(crate) mod socks;

use std::{
    any::Any,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::support::{
    ca::{Flaw, LeafFiles, TestCa},
    hops::Hop,
    process::{Server, clean_command},
    world::World,
};

/// Where a row starts its hop.
pub(crate) struct Bench<'w> {
    pub(crate) world: &'w World,
    /// Of this row alone.
    pub(crate) dir: PathBuf,
}

impl Bench<'_> {
    /// A directory of this row.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// The git host's port, which the route's name leads to.
    pub(crate) fn port(&self) -> u16 {
        self.world.host.https.port()
    }

    /// A certificate for a hop at localhost, by a CA that nobody trusts.
    pub(crate) fn leaf(&self, flaw: Flaw) -> (TestCa, LeafFiles) {
        let ca = TestCa::named(self.at("hop-ca"), "Office Hop CA");
        let files = ca.files("hop", &ca.leaf(&["localhost"], flaw));
        (ca, files)
    }
}

/// A hop that runs until it is dropped.
pub(crate) struct Started {
    /// What stands in `[hops]`.
    pub(crate) url: String,
    /// Further keys of the hop.
    pub(crate) keys: Vec<String>,
    /// What the daemon must trust besides.
    pub(crate) root: Option<PathBuf>,
    kept: Vec<Box<dyn Any>>,
}

impl Started {
    pub(crate) fn new(url: String, kept: impl Any) -> Self {
        Self {
            url,
            keys: Vec::new(),
            root: None,
            kept: vec![Box::new(kept)],
        }
    }

    /// The same server under another scheme.
    pub(crate) fn with_scheme(mut self, scheme: &str) -> Self {
        let (_, rest) = self.url.split_once("://").unwrap();
        self.url = format!("{scheme}://{rest}");
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

    /// With what must live as long.
    pub(crate) fn with(mut self, kept: impl Any) -> Self {
        self.kept.push(Box::new(kept));
        self
    }

    /// Its host and port.
    pub(crate) fn authority(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }
}

pub(crate) fn of(hop: Hop) -> Started {
    let url = hop.url.clone();
    Started::new(url, hop)
}

/// Starts `program` with `arguments` on the file that `config` writes, and what follows it.
fn start(
    (name, program): (&'static str, &str),
    dir: &Path,
    arguments: &[&str],
    config: impl Fn(SocketAddr) -> String,
) -> (Server, SocketAddr) {
    fs::create_dir_all(dir).unwrap();
    Server::start_on_a_port(name, dir, |address| {
        let file = dir.join(format!("{name}.conf"));
        fs::write(&file, config(address)).unwrap();
        let mut command = clean_command(program, dir);
        command.args(arguments).arg(file);
        command
    })
}
