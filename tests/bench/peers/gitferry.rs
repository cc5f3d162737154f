//! gitferry on its defaults: a terminated host and a tunnelled one, both reached with CONNECT.

use std::{env, fs, net::SocketAddr, path::Path};

use serde_json::Value;

use super::{BEFORE, Peer, Site, free_port, spawn};
use crate::{Result, load::Way, pki, proc};

/// The build that cargo made for this bench.
const NOW: &str = env!("CARGO_BIN_EXE_gitferry");

/// Starts it.
pub(super) fn start(site: &Site) -> Result<Peer> {
    start_with(site, NOW, false)
}

/// Starts another build of it, `--before PATH`, to compare a change in one run.
pub(super) fn start_before(site: &Site) -> Result<Peer> {
    start_other(site, false)
}

/// The program of `--before`.
pub(super) fn before() -> Option<String> {
    let mut arguments = env::args().skip_while(|argument| argument != "--before");
    arguments.nth(1)
}

/// Starts one that keeps its uploads for a second attempt, as it does for LFS storage.
pub(super) fn start_replaying(site: &Site) -> Result<Peer> {
    start_with(site, NOW, true)
}

/// The same of the other build.
pub(super) fn start_before_replaying(site: &Site) -> Result<Peer> {
    start_other(site, true)
}

fn start_other(site: &Site, replay: bool) -> Result<Peer> {
    let program = before().ok_or("no build before")?;
    let mut peer = start_with(site, &program, replay)?;
    peer.name = BEFORE;
    Ok(peer)
}

fn start_with(site: &Site, program: &str, replay: bool) -> Result<Peer> {
    let root = site
        .directory
        .path()
        .join(format!("gitferry-{}", free_port()?));
    fs::create_dir(&root)?;
    let file = root.join("gitferry.toml");
    fs::write(&file, config(site, &root, replay))?;
    let log = root.join("gitferry.log");
    let mut command = proc::mortal(program);
    command.arg("--config").arg(&file).arg("run");
    let mut address = None;
    let child = spawn(command, &log, || {
        address = listening(&log);
        address.is_some()
    })?;
    let address = address.ok_or("gitferry did not say where it listens")?;
    let through = |host: &str, roots| Way {
        address,
        connect: Some(format!("{host}:443")),
        roots,
    };
    Ok(Peer {
        name: "gitferry",
        child,
        terminated: Some(through(pki::HOST, Some(vec![root.join("state/ca.pem")]))),
        tunnel: through(pki::TUNNELLED_HOST, None),
        spliced: None,
        part: 1,
    })
}

/// The address in the log's first words.
fn listening(log: &Path) -> Option<SocketAddr> {
    fs::read_to_string(log).ok()?.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let field = |name: &str| line.get(name)?.as_str();
        (field("message")? == "listening").then(|| field("address")?.parse().ok())?
    })
}

fn config(site: &Site, root: &Path, replay: bool) -> String {
    let state = root.join("state");
    let ca = pki::authority(site.directory.path());
    let (host, tunnelled) = (pki::HOST, pki::TUNNELLED_HOST);
    let (tls, plain) = (site.ports.tls, site.ports.plain);
    format!(
        r#"[listen]
address = "127.0.0.1:0"
max_connections = 4096

[state]
directory = {state:?}

[trust]
extra_roots = [{ca:?}]

[log]
format = "json"

[shutdown]
grace = "1s"

[built_in]
routes = false

[[route]]
name = "terminated"
hosts = ["{host}"]
tls = "terminate"
replay = {replay}
upstreams = [{{ via = "direct" }}]
resolve = {{ "{host}" = "127.0.0.1:{tls}" }}

[[route]]
name = "tunnelled"
hosts = ["{tunnelled}"]
tls = "tunnel"
upstreams = [{{ via = "direct" }}]
resolve = {{ "{tunnelled}" = "127.0.0.1:{plain}" }}
"#
    )
}
