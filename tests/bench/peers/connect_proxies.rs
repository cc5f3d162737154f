//! squid, tinyproxy and Privoxy from Debian: what users take who only need CONNECT. They take part in `new tunnels` alone.
//!
//! Each runs on its defaults, listens on loopback and logs each tunnel to a file, as gitferry does: squid and Privoxy with one line,
//! tinyproxy with three. The CONNECT names the origin by its address: gitferry reads the address of its target from its config, so nobody
//! looks up a name.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{User, chown, geteuid};

use super::{Peer, Site, free_port, listens, loopback, spawn};
use crate::{Result, load::Way, proc};

pub(super) const SQUID: &str = "squid";
pub(super) const TINYPROXY: &str = "tinyproxy";
pub(super) const PRIVOXY: &str = "Privoxy";

/// The program of one of them, and Debian's package.
pub(super) fn program_and_package(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        SQUID => Some(("/usr/sbin/squid", "squid-openssl")),
        TINYPROXY => Some(("/usr/bin/tinyproxy", "tinyproxy-bin")),
        PRIVOXY => Some(("/usr/sbin/privoxy", "privoxy")),
        _ => None,
    }
}

/// Starts squid: one process, and its helper that writes the log.
pub(super) fn squid(site: &Site) -> Result<Peer> {
    let port = free_port()?;
    let root = directory(site, SQUID, port)?;
    if geteuid().is_root() {
        // squid gives root up, and its helper opens the log afterwards.
        let user = User::from_name("proxy")?.ok_or("squid's user `proxy` does not exist")?;
        chown(&root, Some(user.uid), Some(user.gid))?;
        fs::set_permissions(site.directory.path(), fs::Permissions::from_mode(0o711))?;
    }
    let shown = root.display();
    let config = format!(
        "http_port 127.0.0.1:{port}
http_access allow all
access_log daemon:{shown}/access.log squid
cache_log {shown}/cache.log
coredump_dir {shown}
pid_filename none
pinger_enable off
shutdown_lifetime 0 seconds
visible_hostname squid.test
"
    );
    // A name of its own for its shared memory.
    let service = format!("gitferrybench{port}");
    start(
        site,
        (SQUID, port),
        &root,
        &config,
        &["-N", "-n", &service, "-f"],
    )
}

/// Starts tinyproxy: a thread for each connection.
pub(super) fn tinyproxy(site: &Site) -> Result<Peer> {
    let port = free_port()?;
    let root = directory(site, TINYPROXY, port)?;
    let config = format!(
        "Port {port}
Listen 127.0.0.1
MaxClients 4096
Timeout 3600
LogFile \"{}/access.log\"
LogLevel Connect
",
        root.display()
    );
    start(site, (TINYPROXY, port), &root, &config, &["-d", "-c"])
}

/// Starts Privoxy: a thread for each connection.
pub(super) fn privoxy(site: &Site) -> Result<Peer> {
    let port = free_port()?;
    let root = directory(site, PRIVOXY, port)?;
    let shown = root.display();
    // Its default actions let CONNECT through to port 443 only.
    let actions = root.join("tunnel.action");
    fs::write(&actions, "{+limit-connect{-}}\n/\n")?;
    let config = format!(
        "listen-address 127.0.0.1:{port}
actionsfile {}
confdir {shown}
templdir /etc/privoxy/templates
logdir {shown}
logfile access.log
debug 1
max-client-connections 4096
",
        actions.display()
    );
    start(site, (PRIVOXY, port), &root, &config, &["--no-daemon"])
}

fn directory(site: &Site, name: &str, port: u16) -> Result<PathBuf> {
    let root = site.directory.path().join(format!("{name}-{port}"));
    fs::create_dir(&root)?;
    Ok(root)
}

fn start(
    site: &Site,
    (name, port): (&'static str, u16),
    root: &Path,
    config: &str,
    arguments: &[&str],
) -> Result<Peer> {
    let file = root.join("config");
    fs::write(&file, config)?;
    let (program, _) = program_and_package(name).ok_or("no such proxy")?;
    let mut command = proc::mortal(program);
    command.args(arguments).arg(&file);
    let child = spawn(command, &root.join("output.log"), || listens(port))?;
    Ok(Peer {
        name,
        child,
        terminated: None,
        tunnel: Way {
            address: loopback(port),
            connect: Some(loopback(site.ports.plain).to_string()),
            roots: None,
        },
        spliced: None,
        part: 1,
    })
}
