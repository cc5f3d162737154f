//! Real proxies, each in a directory of its own, and what stands in `[hops]` for them.

pub(crate) mod http;
pub(crate) mod python;
pub(crate) mod socks;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::support::{
    ca::{Flaw, LeafFiles, TestCa},
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

    /// The git host's port, to which the route's name resolves.
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
