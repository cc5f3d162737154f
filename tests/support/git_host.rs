//! A real git host: `git http-backend` behind nginx and fcgiwrap, over TLS and over plain HTTP.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    access_log::AccessLog,
    ca::LeafFiles,
    process::{Door, Running, Server, clean_command},
};

/// How many requests git http-backend handles at once: one process each; further ones wait.
const BACKENDS: usize = 6;

/// nginx, fcgiwrap and the repositories.
pub(crate) struct GitHost {
    dir: PathBuf,
    /// The port that speaks TLS.
    pub(crate) https: SocketAddr,
    /// The port that speaks plain HTTP.
    pub(crate) http: SocketAddr,
    https_log: AccessLog,
    _servers: [Server; 3],
}

/// What a host requires of its clients, and what it forwards.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manners<'a> {
    /// Name and password that every request must carry.
    pub(crate) account: Option<(&'a str, &'a str)>,
    /// The LFS server behind `/REPO.git/info/lfs`, and behind `/api/` where a Hub serves what is not git's.
    pub(crate) lfs: Option<SocketAddr>,
}

impl GitHost {
    /// Starts one in `dir`.
    pub(crate) fn start(dir: PathBuf, leaf: &LeafFiles, manners: Manners<'_>) -> Self {
        fs::create_dir_all(dir.join("repos")).unwrap();
        if let Some((name, password)) = manners.account {
            fs::write(
                dir.join("accounts"),
                format!("{name}:{{PLAIN}}{password}\n"),
            )
            .unwrap();
        }
        let socket = dir.join("fcgi.sock");
        let mut wrap = clean_command("/usr/sbin/fcgiwrap", &dir);
        wrap.arg(format!("-c{BACKENDS}"))
            .arg(format!("-sunix:{}", socket.display()));
        let wrap = Server::start("fcgiwrap", &dir, &wrap, &Door::Unix(socket));
        let nginx = |name: &'static str, listen: &str, log: &AccessLog| {
            Server::start_on_a_port(name, &dir, |address| {
                let config = dir.join(format!("{name}.conf"));
                let listen = listen.replace("ADDRESS", &address.to_string());
                fs::write(&config, nginx_config(&dir, name, &listen, log, manners)).unwrap();
                let mut command = clean_command("/usr/sbin/nginx", &dir);
                command.arg("-c").arg(config).arg("-e").arg("stderr");
                command
            })
        };
        let tls = format!(
            "listen ADDRESS ssl; ssl_certificate {}; ssl_certificate_key {};",
            leaf.certificate.display(),
            leaf.key.display(),
        );
        let log_of = |name: &str| AccessLog::at(dir.join(format!("{name}.access")));
        let (https_log, http_log) = (log_of("nginx-https"), log_of("nginx-http"));
        let (tls_server, https) = nginx("nginx-https", &tls, &https_log);
        let (plain_server, http) = nginx("nginx-http", "listen ADDRESS;", &http_log);
        Self {
            dir,
            https,
            http,
            https_log,
            _servers: [tls_server, plain_server, wrap],
        }
    }

    /// An empty bare repository `NAME.git` that takes pushes.
    pub(crate) fn repository(&self, name: &str) -> PathBuf {
        let path = self.dir.join("repos").join(format!("{name}.git"));
        let config = "[core]\nbare = true\nrepositoryformatversion = 0\n\
                      [http]\nreceivepack = true\n[gc]\nauto = 0\n[receive]\nautogc = false\n";
        let mut init = clean_command("/usr/bin/git", &self.dir);
        init.args(["init", "-q", "--bare", "-b", "main"]).arg(&path);
        Running::start(&mut init)
            .finish(Duration::from_secs(30))
            .well();
        fs::write(path.join("config"), config).unwrap();
        path
    }

    /// Every request that nginx has answered over TLS, a line each.
    pub(crate) fn https_requests(&self) -> String {
        self.https_log.read()
    }
}

fn nginx_config(
    dir: &Path,
    name: &str,
    listen: &str,
    log: &AccessLog,
    manners: Manners<'_>,
) -> String {
    let at = dir.display();
    let (access, log_server) = (log.file().display(), log.server_block());
    let account = match manners.account {
        Some(_) => format!("auth_basic git; auth_basic_user_file {at}/accounts;"),
        None => String::new(),
    };
    let lfs = manners.lfs.map_or(String::new(), |lfs| {
        format!(
            "location ~ (\\.git/info/lfs/|^/api/) {{
                proxy_pass http://{lfs}; proxy_http_version 1.1; proxy_request_buffering off;
                proxy_buffering off; proxy_set_header Host $host; }}"
        )
    });
    format!(
        "daemon off; master_process off; pid {at}/{name}.pid; error_log stderr info;
        events {{ worker_connections 2048; }}
        http {{
          access_log {access}; client_max_body_size 0; keepalive_timeout 120s;
          client_body_temp_path {at}/{name}.body; proxy_temp_path {at}/{name}.proxy;
          fastcgi_temp_path {at}/{name}.fastcgi; uwsgi_temp_path {at}/{name}.uwsgi; scgi_temp_path {at}/{name}.scgi;
          {log_server}
          server {{
            {listen} {account}
            {lfs}
            location /moved.git/ {{ rewrite ^/moved.git/(.*)$ https://$host/lfs.git/$1 redirect; }}
            location / {{
              fastcgi_pass unix:{at}/fcgi.sock; fastcgi_request_buffering off; fastcgi_buffering off;
              fastcgi_read_timeout 300s;
              fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
              fastcgi_param GIT_PROJECT_ROOT {at}/repos; fastcgi_param GIT_HTTP_EXPORT_ALL 1;
              fastcgi_param PATH_INFO $uri; fastcgi_param QUERY_STRING $query_string;
              fastcgi_param REQUEST_METHOD $request_method; fastcgi_param CONTENT_TYPE $content_type;
              fastcgi_param CONTENT_LENGTH $content_length; fastcgi_param REMOTE_USER $remote_user;
              fastcgi_param REMOTE_ADDR $remote_addr; fastcgi_param GIT_PROTOCOL $http_git_protocol;
            }}
          }}
        }}
        "
    )
}
