//! HAProxy on its defaults, with the run's suite.
//!
//! A tunnel through it is plain TCP forwarding: it has no CONNECT proxy. It reads no request, writes no 200 and asks for no owner of the
//! client's socket, and the client saves a round trip. It writes a line to its log for each connection, as gitferry does.

use std::fs;

use super::{Peer, Site, free_port, listens, spawn, straight};
use crate::{Result, pki, proc, wire::SUITE};

/// Starts it: one process with two threads.
pub(super) fn start(site: &Site) -> Result<Peer> {
    let directory = site.directory.path();
    let [terminated, tunnel, spliced] = [free_port()?, free_port()?, free_port()?];
    let file = directory.join(format!("haproxy-{terminated}.cfg"));
    fs::write(&file, config(site, terminated, tunnel, spliced))?;
    let mut command = proc::mortal("haproxy");
    command.args(["-db", "-f"]).arg(&file);
    let log = file.with_extension("log");
    let child = spawn(command, &log, || listens(terminated) && listens(tunnel))?;
    Ok(Peer {
        name: "HAProxy",
        child,
        terminated: Some(straight(terminated, Some(pki::authority(directory)))),
        tunnel: straight(tunnel, None),
        spliced: Some(straight(spliced, None)),
        part: 1,
    })
}

fn config(site: &Site, terminated: u16, tunnel: u16, spliced: u16) -> String {
    let ca = pki::authority(site.directory.path());
    let leaf = pki::leaf(site.directory.path());
    let (ca, leaf, host) = (ca.display(), leaf.display(), pki::HOST);
    let (tls, plain) = (site.ports.tls, site.ports.plain);
    format!(
        "global
  nbthread 2
  maxconn 4096
  tune.ssl.default-dh-param 2048
  log stdout format raw local0 info

defaults
  log global
  timeout connect 10s
  timeout client 1h
  timeout server 1h

frontend terminated
  mode http
  option httplog
  bind 127.0.0.1:{terminated} ssl crt {leaf} ssl-min-ver TLSv1.3 ciphersuites {SUITE}
  default_backend origin

backend origin
  mode http
  server origin 127.0.0.1:{tls} ssl verify required ca-file {ca} sni str({host}) verifyhost {host} ssl-min-ver TLSv1.3 ciphersuites {SUITE}

listen tunnel
  mode tcp
  option tcplog
  bind 127.0.0.1:{tunnel}
  server origin 127.0.0.1:{plain}

listen spliced
  mode tcp
  option tcplog
  option splice-auto
  bind 127.0.0.1:{spliced}
  server origin 127.0.0.1:{plain}
"
    )
}
