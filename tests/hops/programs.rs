//! Proxies from Debian, each in a directory of its own.

use std::{any::Any, fs, net::SocketAddr, path::Path};

use crate::support::{
    process::{Server, clean_command},
    sshd::Sshd,
};

/// A hop that runs until it is dropped.
pub(crate) struct Started {
    /// What stands in `[hops]`.
    pub(crate) url: String,
    _kept: Box<dyn Any>,
}

impl Started {
    pub(crate) fn new(url: String, kept: impl Any) -> Self {
        let _kept = Box::new(kept);
        Self { url, _kept }
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

/// squid with `rules`.
pub(crate) fn squid(dir: &Path, rules: &str) -> Started {
    fs::create_dir_all(dir).unwrap();
    // Its shared memory has the name of the service, and stays where it is killed.
    let service = format!("gitferry{}", fastrand::u64(..));
    let (server, address) = Server::start_on_a_port("squid", dir, |address| {
        let config = dir.join("squid.conf");
        let text = format!(
            "http_port {address}\n{rules}\naccess_log none\ncache_log /dev/null\npid_filename none\ncoredump_dir /\n\
             pinger_enable off\ncache_mem 8 MB\nshutdown_lifetime 0 seconds\nvisible_hostname squid.test\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = clean_command("/usr/sbin/squid", dir);
        command.args(["-N", "-n", &service, "-f"]).arg(config);
        command
    });
    let memory = SharedMemory(service);
    Started::new(format!("http://{address}"), (server, memory))
}

/// What a squid leaves in `/dev/shm`.
struct SharedMemory(String);

impl Drop for SharedMemory {
    fn drop(&mut self) {
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.0) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// privoxy that lets CONNECT through to `ports`.
pub(crate) fn privoxy(dir: &Path, ports: &str) -> Started {
    fs::create_dir_all(dir).unwrap();
    let actions = dir.join("limit.action");
    fs::write(&actions, format!("{{+limit-connect{{{ports}}}}}\n/\n")).unwrap();
    let (server, address) = start(
        ("privoxy", "/usr/sbin/privoxy"),
        dir,
        &["--no-daemon"],
        |address| {
            format!(
                "listen-address {address}\nactionsfile {}\nconfdir {}\ntempldir /etc/privoxy/templates\nlogdir {}\n",
                actions.display(),
                dir.display(),
                dir.display()
            )
        },
    );
    Started::new(format!("http://{address}"), server)
}

/// dante, whose rule for CONNECT is `pass` or `block`.
pub(crate) fn dante(dir: &Path, rule: &str) -> Started {
    let (server, address) = start(
        ("danted", "/usr/sbin/danted"),
        dir,
        &["-p", "/dev/null", "-f"],
        |address| {
            format!(
                "logoutput: stderr\ninternal: {} port = {}\nexternal: lo\nclientmethod: none\nsocksmethod: none\n\
             user.privileged: root\nuser.unprivileged: nobody\n\
             client pass {{\n from: 0.0.0.0/0 to: 0.0.0.0/0\n}}\nsocks {rule} {{\n from: 0.0.0.0/0 to: 0.0.0.0/0\n}}\n",
                address.ip(),
                address.port()
            )
        },
    );
    Started::new(format!("socks5h://{address}"), server)
}

/// `ssh -D` to an sshd with `rules`.
pub(crate) fn ssh(dir: &Path, rules: &str) -> Started {
    let sshd = Sshd::start_with(dir, rules);
    let (server, address) = Server::start_on_a_port("ssh", dir, |address| {
        let line = sshd.client(
            "gate.test",
            &format!("-N -D {address} -p {}", sshd.address.port()),
        );
        let mut words = line.split_whitespace();
        let mut command = clean_command("/usr/bin/ssh", dir);
        words.next();
        command
            .args(words)
            .arg(format!("{}@{}", sshd.user, sshd.address.ip()));
        command
    });
    Started::new(format!("socks5h://{address}"), (server, sshd))
}

/// A web server that is no proxy.
pub(crate) fn nginx(dir: &Path) -> Started {
    let (server, address) = start(
        ("nginx", "/usr/sbin/nginx"),
        dir,
        &["-p", ".", "-e", "stderr", "-c"],
        |address| {
            let shown = dir.display();
            format!(
                "daemon off;\npid {shown}/pid;\nevents {{}}\nhttp {{\n access_log off;\n client_body_temp_path {shown}/a;\n \
             proxy_temp_path {shown}/b;\n fastcgi_temp_path {shown}/c;\n uwsgi_temp_path {shown}/d;\n scgi_temp_path {shown}/e;\n \
             server {{ listen {address}; }}\n}}\n"
            )
        },
    );
    Started::new(format!("http://{address}"), server)
}
