//! nginx, set up to stream as its manual says: nothing is spooled, buffers of 64 KiB, connections to the origin are kept.
//!
//! A tunnel through it is plain TCP forwarding, without a CONNECT, as with HAProxy. It writes a line to its log for each connection.

use std::fs;

use super::{Peer, Site, free_port, listens, spawn, straight};
use crate::{Result, pki, proc, wire::SUITE};

/// Starts it: a master and two workers.
pub(super) fn start(site: &Site) -> Result<Peer> {
    let [terminated, tunnel] = [free_port()?, free_port()?];
    let root = site.directory.path().join(format!("nginx-{terminated}"));
    fs::create_dir(&root)?;
    let file = root.join("nginx.conf");
    fs::write(&file, config(site, terminated, tunnel))?;
    let mut command = proc::mortal("nginx");
    command.arg("-p").arg(&root).arg("-c").arg(&file);
    let log = root.join("output.log");
    let child = spawn(command, &log, || listens(terminated) && listens(tunnel))?;
    Ok(Peer {
        name: "nginx",
        child,
        terminated: Some(straight(
            terminated,
            Some(pki::authority(site.directory.path())),
        )),
        tunnel: straight(tunnel, None),
        spliced: None,
        part: 1,
    })
}

#[expect(clippy::too_many_lines, reason = "one file of nginx")]
fn config(site: &Site, terminated: u16, tunnel: u16) -> String {
    let ca = pki::authority(site.directory.path());
    let leaf = pki::leaf(site.directory.path());
    let (ca, leaf, host) = (ca.display(), leaf.display(), pki::HOST);
    let (tls, plain) = (site.ports.tls, site.ports.plain);
    format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
worker_processes 2;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 4096; }}

http {{
  access_log access.log;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_requests 10000000;

  upstream origin {{
    server 127.0.0.1:{tls};
    keepalive 256;
    keepalive_requests 10000000;
  }}

  server {{
    listen 127.0.0.1:{terminated} ssl;
    ssl_certificate {leaf};
    ssl_certificate_key {leaf};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites {SUITE};
    client_max_body_size 0;
    client_body_buffer_size 64k;

    location / {{
      proxy_pass https://origin;
      proxy_http_version 1.1;
      proxy_set_header Host {host};
      proxy_set_header Connection \"\";
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate {ca};
      proxy_ssl_server_name on;
      proxy_ssl_name {host};
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_conf_command Ciphersuites {SUITE};
    }}
  }}
}}

stream {{
  log_format line '$remote_addr [$time_local] $protocol $status $bytes_sent $bytes_received $session_time $upstream_addr';
  access_log stream.log line;

  server {{
    listen 127.0.0.1:{tunnel};
    proxy_pass 127.0.0.1:{plain};
    proxy_buffer_size 64k;
    proxy_timeout 1h;
  }}
}}
"
    )
}
