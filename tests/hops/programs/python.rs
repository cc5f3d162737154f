//! Proxies from PyPI, pinned in `requirements.txt`.

use std::{
    panic::catch_unwind,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::Bench;
use crate::support::{
    hop::{Hop, PASSWORD, USER},
    process::{Server, clean_command},
    venv,
};

/// Where the programs are, made first where they are not there yet, which takes a minute; `None` where that failed.
pub(crate) fn installed() -> Option<&'static Path> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let make = || venv::binaries("hops", include_str!("../requirements.txt"));
    let made = MADE.get_or_init(|| catch_unwind(make).ok());
    made.as_deref()
}

fn command(bench: &Bench<'_>, name: &str) -> Command {
    let bin = installed().expect("pip did not install tests/hops/requirements.txt");
    let mut command = clean_command(bin.join(name), &bench.dir);
    command.current_dir(&bench.dir);
    command
}

/// pproxy, which takes HTTP and SOCKS5 on one port; `account` follows its address.
pub(crate) fn pproxy(bench: &Bench<'_>, account: &str) -> Hop {
    let dir = bench.at("pproxy");
    let (server, address) = Server::start_on_a_port("pproxy", &dir, |address| {
        let mut pproxy = command(bench, "pproxy");
        pproxy.args(["-l", &format!("http+socks5://{address}/{account}")]);
        pproxy
    });
    Hop::program(format!("http://{address}"), server)
}

/// The account of [`pproxy`] that the right login has.
pub(crate) fn pproxy_account() -> String {
    format!("#{USER}:{PASSWORD}")
}

/// proxy.py.
pub(crate) fn proxy_py(bench: &Bench<'_>, arguments: &[&str]) -> Hop {
    let dir = bench.at("proxy.py");
    let (server, address) = Server::start_on_a_port("proxy.py", &dir, |address| {
        let mut proxy = command(bench, "proxy");
        proxy
            .args([
                "--hostname",
                "127.0.0.1",
                "--port",
                &address.port().to_string(),
            ])
            .args(["--num-workers", "1", "--num-acceptors", "1"])
            .args(arguments);
        proxy
    });
    Hop::program(format!("http://{address}"), server)
}

/// proxy.py that asks for the right login.
pub(crate) fn proxy_py_with_password(bench: &Bench<'_>) -> Hop {
    proxy_py(bench, &["--basic-auth", &format!("{USER}:{PASSWORD}")])
}

/// mitmproxy, which reads the TLS of everybody with certificates of its own CA.
pub(crate) fn mitmproxy(bench: &Bench<'_>, arguments: &[&str]) -> Hop {
    let dir = bench.at("mitmproxy");
    let trusted = format!(
        "ssl_verify_upstream_trusted_ca={}",
        bench.world.ca.pem_file().display()
    );
    let (server, address) = Server::start_on_a_port("mitmproxy", &dir, |address| {
        let mut mitm = command(bench, "mitmdump");
        mitm.args([
            "-q",
            "--listen-host",
            "127.0.0.1",
            "--listen-port",
            &address.port().to_string(),
        ])
        .args(["--set", &format!("confdir={}", dir.display())])
        .args(["--set", &trusted])
        .args(arguments);
        mitm
    });
    Hop::program(format!("http://{address}"), server)
}

/// The CA of [`mitmproxy`] in `[trust]`.
pub(crate) fn trusted_mitmproxy(bench: &Bench<'_>, arguments: &[&str]) -> Hop {
    let hop = mitmproxy(bench, arguments);
    hop.trusting(bench.at("mitmproxy").join("mitmproxy-ca-cert.pem"))
}

/// px, which logs in to a proxy that accepts NTLM only.
pub(crate) fn px_before(bench: &Bench<'_>, next: Hop) -> Hop {
    let dir = bench.at("px");
    let to = next.authority().to_owned();
    let (server, address) = Server::start_on_a_port("px", &dir, |address| {
        let mut px = command(bench, "px");
        px.env("PX_PASSWORD", PASSWORD)
            .args([
                "--listen=127.0.0.1",
                "--foreground",
                "--auth=NTLM",
                "--workers=1",
            ])
            .arg(format!("--port={}", address.port()))
            .arg(format!("--proxy={to}"))
            .arg(format!("--username=OFFICE\\{USER}"));
        px
    });
    Hop::program(format!("http://{address}"), server).with(next)
}
