//! The table: the program, the situation, and what the log must say of it first.

// A table may be long.
#![allow(clippy::too_many_lines)]

use crate::{
    programs::{Bench, http, python, socks},
    support::{
        hop::Hop,
        process::{ClosedPort, free_address},
    },
};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// A git host whose route has an address: the hop is asked for that.
    Host,
    /// A port at which nothing listens.
    Dead,
    /// The git host by the name `localhost` and its port.
    Named,
    /// A name that the hop looks up in vain.
    ByName,
    /// The git host without TLS: the request is in absolute form.
    Plain,
    /// A port without TLS at which nothing listens.
    PlainDead,
}

/// Whether `[hops]` has a user name and a password; the hop's are those of `support::hop`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    None,
    Right,
    Wrong,
}

/// What the log says of a fault.
#[derive(Clone, Copy)]
pub(crate) struct Says {
    /// It ends with a dash where the number that follows depends on time.
    pub(crate) code: &'static str,
    /// A fragment of the cause.
    pub(crate) cause: &'static str,
    /// A fragment of the advice.
    pub(crate) advice: &'static str,
}

pub(crate) struct Row {
    pub(crate) program: &'static str,
    pub(crate) situation: &'static str,
    pub(crate) start: fn(&Bench<'_>) -> Hop,
    pub(crate) login: Login,
    pub(crate) target: Target,
    /// Nothing where the request must succeed without a warning.
    pub(crate) says: Option<Says>,
}

impl Row {
    fn login(self, login: Login) -> Self {
        Self { login, ..self }
    }

    fn asks(self, target: Target) -> Self {
        Self { target, ..self }
    }

    fn says(self, code: &'static str, cause: &'static str, advice: &'static str) -> Self {
        assert!(!cause.is_empty(), "{} {}", self.program, self.situation);
        let says = Some(Says {
            code,
            cause,
            advice,
        });
        Self { says, ..self }
    }
}

fn row(program: &'static str, situation: &'static str, start: fn(&Bench<'_>) -> Hop) -> Row {
    Row {
        program,
        situation,
        start,
        login: Login::None,
        target: Target::Host,
        says: None,
    }
}

const ALL: &str = "http_access allow all";
const REACH: &str = "hop/greeting/hop-refused-503";
const FORBIDS: &str = "hop/greeting/hop-refused-403";
const LOGIN: &str = "hop/greeting/hop-authentication";
const PROTOCOL: &str = "hop/greeting/bad-answer";
const HANGS_UP: &str = "hop/greeting/target-refused";
const NOT_ALLOWED: &str = "far does not allow main.test: ask its owner, or add another upstream";
const NOT_REACHED: &str = "far cannot reach main.test: add another upstream";
const SET: &str = "set `username` and `password_file` of `far` in `[hops]`";
const CHECK: &str = "check `username` and `password_file` of `far` in `[hops]`";
const SCHEME: &str = "does not speak the protocol of `url` of `far` in `[hops]`";
const EITHER: &str =
    "far does not allow main.test or cannot reach it: ask its owner, or add another upstream";
const GRANTS_FIRST: &str =
    "the hop granted the connection and then closed it before the first byte";
const NO_RESPONSE: &str = "the hop closed the connection without a response";
const RUNS: &str = "check `url` of `far` in `[hops]`, and that the proxy runs";

/// A hop that does not run.
fn dead() -> Hop {
    let port = ClosedPort::new();
    Hop::program(format!("http://{}", port.address), port)
}

fn tinyproxy(bench: &Bench<'_>) -> Hop {
    Hop::http(bench.at("tinyproxy"))
}

fn microsocks(bench: &Bench<'_>) -> Hop {
    Hop::socks5h(bench.at("microsocks"))
}

fn open_squid(bench: &Bench<'_>) -> Hop {
    http::squid(bench, ALL)
}

fn only_443(bench: &Bench<'_>) -> Hop {
    http::squid(
        bench,
        "acl tls port 443\nhttp_access deny !tls\nhttp_access allow all",
    )
}

fn no_via(bench: &Bench<'_>) -> Hop {
    http::squid(
        bench,
        "acl via req_header Via .\nhttp_access deny via\nhttp_access allow all",
    )
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = squid();
    rows.extend(small());
    rows.extend(servers());
    rows.extend(socks());
    // Last: their environment is made while the others run.
    rows.extend(python());
    rows
}

fn squid() -> Vec<Row> {
    vec![
        row("squid", "it works", open_squid),
        row("squid", "the target is denied", |b| {
            http::squid(b, "http_access deny all")
        })
        .says(FORBIDS, "ERR_ACCESS_DENIED", NOT_ALLOWED),
        row("squid", "nothing listens at the target", open_squid)
            .asks(Target::Dead)
            .says(REACH, "(111) Connection refused", NOT_REACHED),
        row("squid", "the port is denied", only_443)
            .asks(Target::Named)
            .says(
                FORBIDS,
                "ERR_ACCESS_DENIED",
                "far does not allow localhost or its port ",
            ),
        row("squid", "it hangs up on the target", |b| {
            http::squid(b, "deny_info TCP_RESET all\nhttp_access deny all")
        })
        .says(HANGS_UP, "Connection reset by peer", EITHER),
        row("squid", "it denies `Via`", no_via).says(FORBIDS, "ERR_ACCESS_DENIED", NOT_ALLOWED),
        row("squid", "it denies `Via`, via = false", |b| {
            no_via(b).key("via = false".into())
        }),
        row("squid", "it has a password", http::squid_with_password).login(Login::Right),
        row("squid", "no password is set", http::squid_with_password).says(
            LOGIN,
            "requires credentials and none are configured; it offers Basic",
            SET,
        ),
        row("squid", "the password is wrong", http::squid_with_password)
            .login(Login::Wrong)
            .says(
                LOGIN,
                "refused the configured credentials; it offers Basic",
                CHECK,
            ),
        row("squid", "it accepts NTLM only", http::squid_with_ntlm)
            .login(Login::Right)
            .says(LOGIN, "it offers only NTLM", "run cntlm or px"),
        row("squid", "https_port", http::squid_in_tls),
        row(
            "squid",
            "https_port, self-signed",
            http::self_signed_squid_in_tls,
        ),
        row("squid", "http:// to its https_port", |b| {
            http::squid_in_tls(b).with_scheme("http")
        })
        .says(
            PROTOCOL,
            "speaks TLS: the URL of this hop needs https://",
            SCHEME,
        ),
        row(
            "squid",
            "ssl-bump, its CA is trusted",
            http::trusted_squid_that_intercepts,
        )
        .asks(Target::Named),
        row("squid", "ssl-bump", http::squid_that_intercepts)
            .asks(Target::Named)
            .says(
                "origin/handshaking/unknown-issuer",
                "signed by \"Office Inspection CA\"",
                "add its CA to `extra_roots` of `[trust]`",
            ),
        row(
            "squid",
            "ssl-bump, nothing listens",
            http::trusted_squid_that_intercepts,
        )
        .asks(Target::Dead)
        .says(
            "hop/awaiting-head/hop-refused-503",
            "the hop's own answer",
            NOT_REACHED,
        ),
        // It looks the name of the request up again, and not the address that CONNECT had.
        row(
            "squid",
            "ssl-bump, `resolve` to an address",
            http::trusted_squid_that_intercepts,
        )
        .says(
            "hop/awaiting-head/hop-refused-503",
            "the hop's own answer: Service Unavailable; X-Squid-Error: ERR_",
            NOT_REACHED,
        ),
        row("squid", "absolute form", open_squid).asks(Target::Plain),
        row("squid", "absolute form, denied", |b| {
            http::squid(b, "http_access deny all")
        })
        .asks(Target::Plain)
        .says(
            "hop/awaiting-head/hop-refused-403",
            "ERR_ACCESS_DENIED",
            "far does not allow localhost",
        ),
        row("squid", "absolute form, nothing listens", open_squid)
            .asks(Target::PlainDead)
            .says(
                "hop/awaiting-head/hop-refused-503",
                "ERR_CONNECT_FAIL",
                "far cannot reach localhost",
            ),
    ]
}

fn small() -> Vec<Row> {
    vec![
        row("tinyproxy", "it works", tinyproxy).login(Login::Right),
        row("tinyproxy", "no password is set", tinyproxy).says(LOGIN, "requires credentials", SET),
        row("tinyproxy", "the password is wrong", tinyproxy)
            .login(Login::Wrong)
            .says(LOGIN, "refused the configured credentials", CHECK),
        row("tinyproxy", "the port is denied", |b| {
            Hop::http_to_the_port_of(b.at("tinyproxy"), free_address())
        })
        .login(Login::Right)
        .asks(Target::Named)
        .says(
            FORBIDS,
            "The CONNECT method not allowed with the port",
            "far does not allow localhost or its port ",
        ),
        row("tinyproxy", "nothing listens at the target", tinyproxy)
            .login(Login::Right)
            .asks(Target::Dead)
            .says(
                "hop/greeting/hop-refused-500",
                "Unable to connect",
                NOT_REACHED,
            ),
        row("tinyproxy", "it does not run", |_| dead()).says(
            "hop/connecting/refused",
            "Connection refused",
            RUNS,
        ),
        row("tinyproxy", "the scheme is socks5h", |b| {
            tinyproxy(b).with_scheme("socks5h")
        })
        .says(
            PROTOCOL,
            "speaks HTTP: the URL of this hop needs http://",
            SCHEME,
        ),
        row("tinyproxy", "the scheme is https", |b| {
            tinyproxy(b).with_scheme("https")
        })
        .says(
            PROTOCOL,
            "speaks HTTP: the URL of this hop needs http://",
            SCHEME,
        ),
        row("tinyproxy", "absolute form", tinyproxy)
            .login(Login::Right)
            .asks(Target::Plain),
        row("tinyproxy", "absolute form, wrong password", tinyproxy)
            .login(Login::Wrong)
            .asks(Target::Plain)
            .says(
                "hop/awaiting-head/hop-authentication",
                "refused the configured credentials",
                CHECK,
            ),
        row("tinyproxy", "absolute form, nothing listens", tinyproxy)
            .login(Login::Right)
            .asks(Target::PlainDead)
            .says(
                "hop/awaiting-head/hop-refused-500",
                "the hop's own answer",
                "far cannot reach localhost",
            ),
        row("privoxy", "it works", |b| {
            http::privoxy(b, &b.port().to_string())
        }),
        row("privoxy", "the port is denied", |b| http::privoxy(b, "443"))
            .asks(Target::Named)
            .says(
                FORBIDS,
                "Forbidden CONNECT port",
                "far does not allow localhost or its port ",
            ),
        row("privoxy", "nothing listens at the target", |b| {
            http::privoxy(b, "1-65535")
        })
        .asks(Target::Dead)
        .says(REACH, "could not be established", NOT_REACHED),
        row("privoxy", "absolute form, nothing listens", |b| {
            http::privoxy(b, "443")
        })
        .asks(Target::PlainDead)
        .says(
            "hop/awaiting-head/hop-refused-503",
            "the hop's own answer",
            "far cannot reach localhost",
        ),
    ]
}

fn servers() -> Vec<Row> {
    vec![
        row("Apache", "it works", |b| {
            http::apache(b, "granted", "1-65535")
        }),
        row("Apache", "the target is denied", |b| {
            http::apache(b, "denied", "1-65535")
        })
        .says(FORBIDS, "Forbidden", NOT_ALLOWED),
        row("Apache", "the port is denied", |b| {
            http::apache(b, "granted", "443")
        })
        .asks(Target::Named)
        .says(
            FORBIDS,
            "Connect to remote machine blocked",
            "far does not allow localhost or its port ",
        ),
        row("Apache", "nothing listens at the target", |b| {
            http::apache(b, "granted", "1-65535")
        })
        .asks(Target::Dead)
        .says(REACH, "Service Unavailable", NOT_REACHED),
        row("HAProxy", "before tinyproxy", |b| {
            http::haproxy_before(b, tinyproxy(b))
        })
        .login(Login::Right),
        row("HAProxy", "its proxy does not run", |b| {
            http::haproxy_before(b, dead())
        })
        .says(REACH, "No server is available", NOT_REACHED),
        row("stunnel", "before tinyproxy", |b| {
            http::stunnel_before(b, tinyproxy(b))
        })
        .login(Login::Right),
        row("stunnel", "its CA is unknown", |b| {
            let mut hop = http::stunnel_before(b, tinyproxy(b));
            hop.root = None;
            hop
        })
        .login(Login::Right)
        .says(
            "hop/handshaking/unknown-issuer",
            "signed by \"Office Hop CA\"",
            "to `extra_roots` of `[trust]`",
        ),
        row("stunnel", "the scheme is http", |b| {
            let mut hop = http::stunnel_before(b, tinyproxy(b)).with_scheme("http");
            hop.root = None;
            hop
        })
        .says(
            PROTOCOL,
            "speaks TLS: the URL of this hop needs https://",
            SCHEME,
        ),
        row("stunnel", "the scheme is socks5h", |b| {
            let mut hop = http::stunnel_before(b, tinyproxy(b)).with_scheme("socks5h");
            hop.root = None;
            hop
        })
        .says(PROTOCOL, "speaks TLS", SCHEME),
        row("cntlm", "before a squid with NTLM", |b| {
            http::cntlm_before(b, "NTLM2SR", http::squid_with_ntlm(b))
        }),
        // The helper's challenge lacks what an answer of version 2 needs.
        row("cntlm", "its own log-in fails", |b| {
            http::cntlm_before(b, "NTLMv2", http::squid_with_ntlm(b))
        })
        .says(
            LOGIN,
            "requires credentials and none are configured",
            "if it is cntlm or px, check the password in its own config",
        ),
        row("cntlm", "its proxy does not run", |b| {
            http::cntlm_before(b, "NTLM2SR", dead())
        })
        .says(
            "hop/greeting/hop-refused-502",
            "Parent proxy unreacheable",
            NOT_REACHED,
        ),
        row("nginx", "it is a web server", http::nginx).says(
            "hop/greeting/hop-refused-400",
            "not a CONNECT proxy?",
            "may be a web server and not a CONNECT proxy: check `url` of `far`",
        ),
    ]
}

/// A hop that is sent its request with the greeting.
fn at_once(hop: Hop) -> Hop {
    hop.key("pipeline = true".into())
}

fn socks() -> Vec<Row> {
    vec![
        row("microsocks", "it works", microsocks).login(Login::Right),
        row("microsocks", "no password is set", microsocks).says(
            LOGIN,
            "requires credentials",
            SET,
        ),
        row("microsocks", "the password is wrong", microsocks)
            .login(Login::Wrong)
            .says(LOGIN, "refused the configured credentials", CHECK),
        row("microsocks", "nothing listens at the target", microsocks)
            .login(Login::Right)
            .asks(Target::Dead)
            .says(
                "hop/greeting/socks-refused-5",
                "the target refused the hop's connection",
                NOT_REACHED,
            ),
        row("microsocks", "the scheme is http", |b| {
            microsocks(b).with_scheme("http")
        })
        .says(
            PROTOCOL,
            "speaks SOCKS5: the URL of this hop may need socks5h://",
            SCHEME,
        ),
        row("microsocks", "greeting and request at once", |b| {
            at_once(socks::microsocks(b))
        })
        .says(
            "hop/greeting/timed-out",
            "a request that came with the greeting: remove `pipeline`",
            "far",
        ),
        row("dante", "it works", |b| socks::dante(b, "pass")),
        row("dante", "greeting and request at once", |b| {
            at_once(socks::dante(b, "pass"))
        }),
        row("dante", "the target is denied", |b| {
            socks::dante(b, "block")
        })
        .says("hop/greeting/socks-refused-2", "not allowed", NOT_ALLOWED),
        row("dante", "nothing listens at the target", |b| {
            socks::dante(b, "pass")
        })
        .asks(Target::Dead)
        .says(
            "hop/greeting/socks-refused-5",
            "the target refused the hop's connection",
            NOT_REACHED,
        ),
        row("ssh -D", "it works", |b| socks::ssh(b, "")),
        row("ssh -D", "greeting and request at once", |b| {
            at_once(socks::ssh(b, ""))
        }),
        row("ssh -D", "the target is denied", |b| {
            socks::ssh(b, "PermitOpen none\n")
        })
        .says(HANGS_UP, NO_RESPONSE, EITHER),
        row("ssh -D", "nothing listens at the target", |b| {
            socks::ssh(b, "")
        })
        .asks(Target::Dead)
        .says(HANGS_UP, NO_RESPONSE, EITHER),
        row("ss-local", "it works", socks::shadowsocks),
        row(
            "ss-local",
            "nothing listens at the target",
            socks::shadowsocks,
        )
        .asks(Target::Dead)
        .says(
            "hop/handshaking/closed-early",
            GRANTS_FIRST,
            "far does not reach main.test",
        ),
        row(
            "ss-local",
            "its server does not run",
            socks::shadowsocks_without_server,
        )
        .says(
            "hop/handshaking/closed-early",
            GRANTS_FIRST,
            "far does not reach main.test",
        ),
        row("v2ray", "it works", socks::v2ray),
        row("v2ray", "nothing listens at the target", socks::v2ray)
            .asks(Target::Dead)
            .says(
                "hop/handshaking/closed-early",
                GRANTS_FIRST,
                "far does not reach main.test",
            ),
        row("tor", "it has no network", socks::tor)
            .asks(Target::ByName)
            .says("hop/greeting/socks-refused-", "the hop", NOT_REACHED),
        row("tor", "it is asked for an address", socks::tor).says(
            "hop/greeting/socks-refused-1",
            "general failure of the hop",
            NOT_REACHED,
        ),
    ]
}

fn python() -> Vec<Row> {
    vec![
        row("pproxy", "it works", |b| python::pproxy(b, "")),
        row("pproxy", "socks5h", |b| {
            python::pproxy(b, "").with_scheme("socks5h")
        }),
        row("pproxy", "nothing listens at the target", |b| {
            python::pproxy(b, "")
        })
        .asks(Target::Dead)
        .says(HANGS_UP, NO_RESPONSE, EITHER),
        row("pproxy", "it has a password", |b| {
            python::pproxy(b, &python::pproxy_account())
        })
        .login(Login::Right),
        row("proxy.py", "it works", |b| python::proxy_py(b, &[])),
        row(
            "proxy.py",
            "no password is set",
            python::proxy_py_with_password,
        )
        .says(LOGIN, "requires credentials", SET),
        row(
            "proxy.py",
            "the password is wrong",
            python::proxy_py_with_password,
        )
        .login(Login::Wrong)
        .says(LOGIN, "refused the configured credentials", CHECK),
        row("proxy.py", "nothing listens at the target", |b| {
            python::proxy_py(b, &[])
        })
        .asks(Target::Dead)
        .says("hop/greeting/hop-refused-502", "Bad Gateway", NOT_REACHED),
        row("mitmproxy", "its CA is trusted", |b| {
            python::trusted_mitmproxy(b, &[])
        }),
        row("mitmproxy", "its CA is unknown", |b| {
            python::mitmproxy(b, &[])
        })
        .says(
            "origin/handshaking/unknown-issuer",
            "signed by \"mitmproxy\"",
            "add its CA to `extra_roots` of `[trust]`",
        ),
        row("mitmproxy", "nothing listens at the target", |b| {
            python::trusted_mitmproxy(b, &[])
        })
        .asks(Target::Dead)
        .says("hop/greeting/hop-refused-502", "Bad Gateway", NOT_REACHED),
        row("px", "before a squid with NTLM", |b| {
            python::px_before(b, http::squid_with_ntlm(b))
        }),
    ]
}
