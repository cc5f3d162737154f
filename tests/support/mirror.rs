//! A mirror of the main site as current accelerators work: a real nginx that forwards everything and rewrites only `Location`.
//!
//! hf-mirror.com is known to do only that (its LFS answers contain the Hub's own hosts).

use std::{fs, net::SocketAddr, path::PathBuf};

use super::{
    access_log::AccessLog,
    ca::LeafFiles,
    process::{Server, clean_command},
};

/// The mirror's name.
pub(crate) const MIRROR: &str = "mirror.test";

/// nginx in front of the main site.
pub(crate) struct Mirror {
    /// The port that speaks TLS.
    pub(crate) address: SocketAddr,
    log: AccessLog,
    _server: Server,
}

impl Mirror {
    /// Serves `base` in front of `site`, whose name is `name`.
    pub(crate) fn start(
        dir: PathBuf,
        leaf: &LeafFiles,
        base: &str,
        name: &str,
        site: SocketAddr,
    ) -> Self {
        fs::create_dir_all(&dir).unwrap();
        let log = AccessLog::at(dir.join("access"));
        let (server, address) = Server::start_on_a_port("nginx-mirror", &dir, |address| {
            let at = dir.display();
            let (access, log_server) = (log.file().display(), log.server_block());
            let config = dir.join("nginx.conf");
            let text = format!(
                "daemon off; master_process off; pid {at}/pid; error_log stderr info;
                events {{ }}
                http {{
                  log_format heads '$request | $http_authorization';
                  access_log {access} heads; client_max_body_size 0;
                  client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
                  fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
                  {log_server}
                  server {{
                    listen {address} ssl http2; server_name {MIRROR};
                    ssl_certificate {}; ssl_certificate_key {};
                    if ($host != {MIRROR}) {{ return 421; }}
                    location {base}/ {{
                      proxy_pass https://{site}/; proxy_http_version 1.1; proxy_set_header Host {name};
                      proxy_ssl_server_name on; proxy_ssl_name {name};
                      proxy_request_buffering off; proxy_buffering off;
                      proxy_redirect https://{name}/ https://{MIRROR}{base}/;
                    }}
                  }}
                }}",
                leaf.certificate.display(),
                leaf.key.display(),
            );
            fs::write(&config, text).unwrap();
            let mut command = clean_command("/usr/sbin/nginx", &dir);
            command.arg("-c").arg(config).arg("-e").arg("stderr");
            command
        });
        Self {
            address,
            log,
            _server: server,
        }
    }

    /// Every request that it has answered, with its `Authorization`, one line each.
    pub(crate) fn requests(&self) -> String {
        self.log.read()
    }
}
