//! Clients with TLS libraries of their own, each asked: do you trust this host?

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
};

use crate::support::{
    client::PATIENCE,
    ferry::Ferry,
    process::{Finished, Running, clean_command},
};

/// Where a client is sent, and whom it may believe.
pub(crate) struct Visit<'a> {
    pub(crate) ferry: &'a Ferry,
    /// The target of CONNECT, port 443.
    pub(crate) host: &'a str,
    pub(crate) roots: &'a Path,
    pub(crate) home: &'a Path,
}

/// A client, and the words with which it takes or refuses a certificate.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    run: fn(&Visit<'_>) -> Command,
    trusts: fn(&Finished) -> bool,
    refuses: &'static [&'static str],
}

impl Client {
    /// True where it trusts the host, false where it refuses the certificate; anything else fails the test.
    #[track_caller]
    pub(crate) fn trusts(&self, visit: &Visit<'_>) -> bool {
        let finished = Running::start(&mut (self.run)(visit)).finish(PATIENCE);
        let said = format!("{}{}", finished.stdout, finished.stderr);
        let refused = self.refuses.iter().any(|words| said.contains(words));
        let trusted = !refused && (self.trusts)(&finished);
        assert!(
            trusted || refused,
            "{} at {}: {finished}",
            self.name,
            visit.host
        );
        trusted
    }
}

/// Debian's git is built with GnuTLS, its curl with OpenSSL, and git-lfs is written in Go.
pub(crate) const CLIENTS: [Client; 6] = [
    Client {
        name: "git",
        run: |visit| {
            let mut command = git(visit);
            command.args(["ls-remote", &format!("https://{}/none.git", visit.host)]);
            command
        },
        trusts: |finished| answered(finished, &["not found", "returned error: 403"]),
        refuses: &["certificate verification failed"],
    },
    Client {
        name: "git-lfs",
        run: |visit| {
            let mut init = clean_command("/usr/bin/git", visit.home);
            init.args(["init", "-q"]).current_dir(visit.home);
            Running::start(&mut init).finish(PATIENCE).well();
            let mut command = git(visit);
            let url = format!("lfs.url=https://{}/none.git/info/lfs", visit.host);
            command
                .args(["-c", &url, "lfs", "locks"])
                .current_dir(visit.home);
            command
        },
        trusts: |finished| {
            answered(
                finished,
                &[
                    "no locks are kept here",
                    "SignatureDoesNotMatch",
                    "404",
                    "not found",
                ],
            )
        },
        refuses: &["x509: "],
    },
    Client {
        name: "curl",
        run: |visit| {
            let mut command = clean_command("/usr/bin/curl", visit.home);
            command.args(["-sS", "-o", "/dev/null", "--proxy", &visit.ferry.proxy()]);
            command.arg("--cacert").arg(visit.roots);
            command.arg(format!("https://{}/none", visit.host));
            command
        },
        trusts: |finished| finished.status.success(),
        refuses: &["curl: (60)"],
    },
    Client {
        name: "openssl s_client",
        run: |visit| {
            let mut command = clean_command("/usr/bin/openssl", visit.home);
            command.args(["s_client", "-brief", "-verify_return_error", "-x509_strict"]);
            command.args(["-proxy", &visit.ferry.address.to_string()]);
            command.args(["-connect", &format!("{}:443", visit.host)]);
            match is_address(visit.host) {
                true => command.args(["-verify_ip", visit.host]),
                false => command.args(["-verify_hostname", visit.host]),
            };
            command.arg("-CAfile").arg(visit.roots);
            command
        },
        trusts: |finished| finished.stderr.contains("Verification: OK"),
        refuses: &["verify error", "certificate verify failed"],
    },
    Client {
        name: "gnutls-cli",
        run: |visit| {
            let door = straight(visit.ferry.address, visit.host.to_owned());
            let mut command = clean_command("/usr/bin/gnutls-cli", visit.home);
            command.args([
                "--verify-hostname",
                visit.host,
                "-p",
                &door.port().to_string(),
            ]);
            if !is_address(visit.host) {
                command.args(["--sni-hostname", visit.host]);
            }
            command
                .arg("--x509cafile")
                .arg(visit.roots)
                .arg("127.0.0.1");
            command
        },
        trusts: |finished| finished.stdout.contains("The certificate is trusted"),
        refuses: &["The certificate is NOT trusted"],
    },
    Client {
        name: "python",
        run: |visit| {
            let mut command = clean_command("/usr/bin/python3", visit.home);
            command.args(["-c", PYTHON]).arg(visit.roots);
            command.args([&visit.ferry.address.port().to_string(), visit.host]);
            command
        },
        trusts: |finished| finished.status.success(),
        refuses: &["CERTIFICATE_VERIFY_FAILED"],
    },
];

/// As strict as Python is by default from 3.13 on.
const PYTHON: &str = r#"
import http.client, ssl, sys
roots, port, host = sys.argv[1:]
context = ssl.create_default_context(cafile=roots)
context.verify_flags |= ssl.VERIFY_X509_STRICT
client = http.client.HTTPSConnection("127.0.0.1", int(port), context=context, timeout=60)
client.set_tunnel(host, 443)
client.request("GET", "/none")
print(client.getresponse().status)
"#;

/// git and git-lfs fail at a host that has nothing for them; only what the host itself says counts as trust.
fn answered(finished: &Finished, words: &[&str]) -> bool {
    words.iter().any(|words| finished.stderr.contains(words))
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

fn git(visit: &Visit<'_>) -> Command {
    let mut command = clean_command("/usr/bin/git", visit.home);
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .arg("-c")
        .arg(format!("http.proxy={}", visit.ferry.proxy()))
        .arg("-c")
        .arg(format!("http.sslCAInfo={}", visit.roots.display()));
    command
}

/// A door for a client that knows no proxies: its one connection goes through CONNECT.
fn straight(ferry: SocketAddr, host: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let door = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut client, _) = listener.accept()?;
        let mut upstream = TcpStream::connect(ferry)?;
        write!(
            upstream,
            "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n"
        )?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            upstream.read_exact(&mut byte)?;
            head.extend(byte);
        }
        let (mut from, mut to) = (upstream.try_clone()?, client.try_clone()?);
        thread::spawn(move || io::copy(&mut from, &mut to));
        io::copy(&mut client, &mut upstream)
    });
    door
}
