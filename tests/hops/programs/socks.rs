//! Proxies that speak SOCKS5, from Debian.

use std::net::SocketAddr;

use super::{Bench, start};
use crate::support::{
    hop::Hop,
    process::{ClosedPort, Server, clean_command},
    sshd::Sshd,
};

/// dante, whose rule for CONNECT is `pass` or `block`.
pub(crate) fn dante(bench: &Bench<'_>, rule: &str) -> Hop {
    let (server, address) = start(
        ("danted", "/usr/sbin/danted"),
        &bench.at("dante"),
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
    Hop::program(format!("socks5h://{address}"), server)
}

/// microsocks without a password.
pub(crate) fn microsocks(bench: &Bench<'_>) -> Hop {
    let dir = bench.at("microsocks");
    let (server, address) = Server::start_on_a_port("microsocks", &dir, |address| {
        let mut command = clean_command("/usr/bin/microsocks", &dir);
        let port = address.port().to_string();
        command.args(["-i", &address.ip().to_string(), "-p", &port]);
        command
    });
    Hop::program(format!("socks5h://{address}"), server)
}

/// `ssh -D` to an sshd with `rules`.
pub(crate) fn ssh(bench: &Bench<'_>, rules: &str) -> Hop {
    let dir = bench.at("ssh");
    let sshd = Sshd::start_with(&dir, rules);
    let (server, address) = Server::start_on_a_port("ssh", &dir, |address| {
        let line = sshd.client(
            "gate.test",
            &format!("-N -D {address} -p {}", sshd.address.port()),
        );
        let mut words = line.split_whitespace();
        let mut command = clean_command("/usr/bin/ssh", &dir);
        words.next();
        command
            .args(words)
            .arg(format!("{}@{}", sshd.user, sshd.address.ip()));
        command
    });
    Hop::program(format!("socks5h://{address}"), (server, sshd))
}

/// ss-local before an ss-server; it grants each request before it connects.
pub(crate) fn shadowsocks(bench: &Bench<'_>) -> Hop {
    let dir = bench.at("shadowsocks");
    let (server, to) = Server::start_on_a_port("ss-server", &dir, |address| {
        let mut command = clean_command("/usr/bin/ss-server", &dir);
        command
            .args(["-s", "127.0.0.1", "-p", &address.port().to_string()])
            .args(KEY);
        command
    });
    ss_local(bench, to).with(server)
}

/// ss-local whose server does not run.
pub(crate) fn shadowsocks_without_server(bench: &Bench<'_>) -> Hop {
    let port = ClosedPort::new();
    ss_local(bench, port.address).with(port)
}

const KEY: [&str; 4] = ["-k", "planted-key", "-m", "aes-256-gcm"];

fn ss_local(bench: &Bench<'_>, to: SocketAddr) -> Hop {
    let dir = bench.at("shadowsocks");
    let (server, address) = Server::start_on_a_port("ss-local", &dir, |address| {
        let mut command = clean_command("/usr/bin/ss-local", &dir);
        command
            .args(["-s", "127.0.0.1", "-p", &to.port().to_string()])
            .args(["-b", "127.0.0.1", "-l", &address.port().to_string()])
            .args(KEY);
        command
    });
    Hop::program(format!("socks5h://{address}"), server)
}

/// v2ray with a SOCKS listener that goes out directly; it grants each request before it connects.
pub(crate) fn v2ray(bench: &Bench<'_>) -> Hop {
    let (server, address) = start(
        ("v2ray", "/usr/bin/v2ray"),
        &bench.at("v2ray"),
        &["-config"],
        |address| {
            format!(
                "{{\"log\":{{\"loglevel\":\"none\"}},\"inbounds\":[{{\"listen\":\"{}\",\"port\":{},\"protocol\":\"socks\",\
                 \"settings\":{{\"auth\":\"noauth\"}}}}],\"outbounds\":[{{\"protocol\":\"freedom\"}}]}}",
                address.ip(),
                address.port()
            )
        },
    );
    Hop::program(format!("socks5h://{address}"), server)
}

/// tor without a network: the only authority it knows is a port of loopback at which nothing listens.
pub(crate) fn tor(bench: &Bench<'_>) -> Hop {
    let dir = bench.at("tor");
    let port = ClosedPort::new();
    let dead = port.address;
    let nobody = "A".repeat(40);
    let (server, address) = start(("tor", "/usr/sbin/tor"), &dir, &["-f"], |address| {
        format!(
            "SocksPort {address}\nDataDirectory {}/data\nDirAuthority dead orport={} v3ident={nobody} {dead} {nobody}\n\
             UseDefaultFallbackDirs 0\nSocksTimeout 2\n",
            dir.display(),
            dead.port()
        )
    });
    Hop::program(format!("socks5h://{address}"), server).with(port)
}
