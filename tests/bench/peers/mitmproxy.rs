//! mitmproxy, which many take to look into such traffic: CONNECT, its own CA, a line in its log for each request.
//!
//! From PyPI, pinned as for tests/hops, in a virtual environment below `target/`, made by the first run. It is slower by an order of
//! magnitude, so it gets a part of the work only.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Peer, Site, free_port, listens, spawn};
use crate::{Result, load::Way, pki, proc};

/// What of the others' work it gets: one so-manieth.
const PART: u64 = 16;

/// Where its program is, made first where it is not there yet. Fails where pip cannot install it.
pub(super) fn installed() -> Result<PathBuf> {
    let requirements = include_str!("../../hops/requirements.txt");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-mitmproxy");
    let (made, program) = (place.join("made-from"), place.join("bin/mitmdump"));
    if fs::read_to_string(&made).ok().as_deref() == Some(requirements) {
        return Ok(program);
    }
    fs::create_dir_all(&place)?;
    run(Command::new("/usr/bin/python3")
        .args(["-m", "venv", "--clear"])
        .arg(&place))?;
    let list = place.join("requirements.txt");
    fs::write(&list, requirements)?;
    run(Command::new(place.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary", ":all:", "--requirement"])
        .arg(&list))?;
    fs::write(&made, requirements)?;
    Ok(program)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(said.lines().last().unwrap_or("it failed").into())
}

/// Starts it: bodies are streamed and not collected, as its manual says for large ones; what is tunnelled is not looked at.
pub(super) fn start(site: &Site) -> Result<Peer> {
    let port = free_port()?;
    let root = site.directory.path().join(format!("mitmproxy-{port}"));
    fs::create_dir(&root)?;
    let addon = root.join("resolve.py");
    fs::write(&addon, addresses(site))?;
    let program = installed()?;
    let mut command = proc::mortal(&program.display().to_string());
    command
        .args(["--listen-host", "127.0.0.1", "--listen-port"])
        .arg(port.to_string())
        .args(["--ignore-hosts", pki::TUNNELLED_HOST])
        .arg("--scripts")
        .arg(&addon);
    let authority = pki::authority(site.directory.path());
    for option in [
        format!("confdir={}", root.display()),
        format!("ssl_verify_upstream_trusted_ca={}", authority.display()),
        "stream_large_bodies=64k".to_owned(),
        "flow_detail=1".to_owned(),
    ] {
        command.arg("--set").arg(option);
    }
    let child = spawn(command, &root.join("output.log"), || listens(port))?;
    let through = |host: &str, roots| Way {
        address: super::loopback(port),
        connect: Some(format!("{host}:443")),
        roots,
    };
    let own = root.join("mitmproxy-ca-cert.pem");
    Ok(Peer {
        name: "mitmproxy",
        child,
        terminated: Some(through(pki::HOST, Some(vec![own]))),
        tunnel: through(pki::TUNNELLED_HOST, None),
        spliced: None,
        part: PART,
    })
}

/// The two names lead to the origin, as `resolve` does it for gitferry.
fn addresses(site: &Site) -> String {
    let (host, tls, plain) = (pki::HOST, site.ports.tls, site.ports.plain);
    format!(
        "def server_connect(data):
    port = {tls} if data.server.address[0] == \"{host}\" else {plain}
    data.server.address = (\"127.0.0.1\", port)
"
    )
}
