//! What gitferry says of real hops: each row starts a proxy from Debian in one situation, and real git asks through it.
//!
//! The table is printed (`--nocapture`). A new row is a line of `rows`: the program, the situation, its config, and the code and a fragment of
//! the cause that the log must have; no code where the request must succeed.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod programs;

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    net::SocketAddr,
};

use support::{
    events::wait,
    ferry::Ferry,
    hops::Hop,
    process::free_address,
    settings::Settings,
    world::{MAIN, World},
};

use programs::{Started, dante, nginx, privoxy, squid, ssh};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// A git host that works.
    Host,
    /// A port at which nothing listens.
    Dead,
}

/// Whether `[hops]` has a user name and a password; the hop's are those of [`support::hops`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Login {
    None,
    Right,
}

struct Row {
    program: &'static str,
    situation: &'static str,
    hop: Started,
    login: Login,
    target: Target,
    code: &'static str,
    cause: &'static str,
}

impl Row {
    fn new(program: &'static str, situation: &'static str, hop: Started) -> Self {
        Self {
            program,
            situation,
            hop,
            login: Login::None,
            target: Target::Host,
            code: "",
            cause: "",
        }
    }

    fn with_login(self) -> Self {
        let login = Login::Right;
        Self { login, ..self }
    }

    fn of_dead_target(self) -> Self {
        let target = Target::Dead;
        Self { target, ..self }
    }

    fn says(self, code: &'static str, cause: &'static str) -> Self {
        Self {
            code,
            cause,
            ..self
        }
    }
}

fn of(hop: Hop) -> Started {
    let url = hop.url.clone();
    Started::new(url, hop)
}

#[expect(clippy::too_many_lines, reason = "one table")]
fn rows(world: &World, at: SocketAddr) -> Vec<Row> {
    let dir = |name: &str| world.path(&format!("hop-{name}"));
    let swapped = |hop: Hop, scheme: &str| {
        let (_, rest) = hop.url.split_once("://").unwrap();
        Started::new(format!("{scheme}://{rest}"), hop)
    };
    let port = at.port();
    let all = format!("acl ports port {port}\nhttp_access deny !ports\nhttp_access allow all");
    vec![
        Row::new(
            "squid",
            "it works",
            squid(&dir("squid-1"), "http_access allow all"),
        ),
        Row::new(
            "squid",
            "the target is denied",
            squid(&dir("squid-2"), "http_access deny all"),
        )
        .says("hop/greeting/hop-refused-403", "ERR_ACCESS_DENIED"),
        Row::new(
            "squid",
            "nothing listens at the target",
            squid(&dir("squid-3"), "http_access allow all"),
        )
        .of_dead_target()
        .says("hop/greeting/hop-refused-503", "ERR_CONNECT_FAIL"),
        Row::new("squid", "the port is denied", squid(&dir("squid-4"), &all))
            .of_dead_target()
            .says("hop/greeting/hop-refused-403", "ERR_ACCESS_DENIED"),
        Row::new(
            "squid",
            "it hangs up on the target",
            squid(
                &dir("squid-5"),
                "deny_info TCP_RESET all\nhttp_access deny all",
            ),
        )
        .says("hop/greeting/target-refused", ""),
        Row::new("tinyproxy", "it works", of(Hop::http(dir("tiny-1")))).with_login(),
        Row::new(
            "tinyproxy",
            "no password is set",
            of(Hop::http(dir("tiny-2"))),
        )
        .says("hop/greeting/hop-authentication", "requires credentials"),
        Row::new(
            "tinyproxy",
            "the port is denied",
            of(Hop::http_to_the_port_of(dir("tiny-3"), at)),
        )
        .with_login()
        .of_dead_target()
        .says("hop/greeting/hop-refused-403", ""),
        Row::new(
            "tinyproxy",
            "the scheme is socks5h",
            swapped(Hop::http(dir("tiny-4")), "socks5h"),
        )
        .says("hop/greeting/bad-answer", "speaks HTTP"),
        Row::new("microsocks", "it works", of(Hop::socks5h(dir("micro-1")))).with_login(),
        Row::new(
            "microsocks",
            "no password is set",
            of(Hop::socks5h(dir("micro-2"))),
        )
        .says("hop/greeting/hop-authentication", "requires credentials"),
        Row::new(
            "microsocks",
            "nothing listens at the target",
            of(Hop::socks5h(dir("micro-3"))),
        )
        .with_login()
        .of_dead_target()
        .says("hop/greeting/socks-refused-5", ""),
        Row::new(
            "microsocks",
            "the scheme is http",
            swapped(Hop::socks5h(dir("micro-4")), "http"),
        )
        .says("hop/greeting/bad-answer", "speaks SOCKS5"),
        Row::new(
            "privoxy",
            "it works",
            privoxy(&dir("privoxy-1"), &format!("{port}")),
        ),
        Row::new(
            "privoxy",
            "the port is denied",
            privoxy(&dir("privoxy-2"), "443"),
        )
        .says("hop/greeting/hop-refused-403", ""),
        Row::new("dante", "it works", dante(&dir("dante-1"), "pass")),
        Row::new(
            "dante",
            "the target is denied",
            dante(&dir("dante-2"), "block"),
        )
        .says("hop/greeting/socks-refused-2", ""),
        Row::new(
            "dante",
            "nothing listens at the target",
            dante(&dir("dante-3"), "pass"),
        )
        .of_dead_target()
        .says("hop/greeting/socks-refused-5", ""),
        Row::new("ssh -D", "it works", ssh(&dir("ssh-1"), "")),
        Row::new(
            "ssh -D",
            "the target is denied",
            ssh(&dir("ssh-2"), "PermitOpen none\n"),
        )
        .says("hop/greeting/target-refused", ""),
        Row::new("nginx", "it is a web server", nginx(&dir("nginx-1")))
            .says("hop/greeting/hop-refused-400", "not a CONNECT proxy?"),
    ]
}

/// The code and the cause of the first fault; nothing where git succeeded.
fn said(world: &World, row: &Row, at: SocketAddr) -> (String, String) {
    let to = match row.target {
        Target::Host => at,
        Target::Dead => free_address(),
    };
    let settings: Settings = match row.login {
        Login::None => world
            .settings()
            .hop_without_credentials("far", &row.hop.url),
        Login::Right => world.settings().hop("far", &row.hop.url),
    };
    let ferry = Ferry::start(&settings.route(MAIN, "terminate", &["far"], to));
    let git = world.git_through(&ferry);
    let asked = git.run(world.root(), &["ls-remote", "https://main.test/hops.git"]);
    if asked.status.success() {
        return (String::new(), String::new());
    }
    let fault = wait(ferry.next_fault());
    (fault.code, fault.cause)
}

#[test]
fn the_log_says_what_a_real_hop_means() {
    let world = World::new();
    world.host.repository("hops");
    let at = world.host.https;
    let (mut table, mut wrong) = (String::new(), 0);
    for row in rows(&world, at) {
        let (code, cause) = said(&world, &row, at);
        let right = code == row.code && cause.contains(row.cause);
        wrong += usize::from(!right);
        let mark = if right { "" } else { "  WRONG" };
        let shown = if code.is_empty() { "works" } else { &code };
        let _ = writeln!(
            table,
            "{:<11} {:<30} {shown}{mark}",
            row.program, row.situation
        );
        if !right {
            let _ = writeln!(
                table,
                "            expected {:?} with {:?}: {cause}",
                row.code, row.cause
            );
        }
    }
    let _ = writeln!(io::stdout(), "\n{table}");
    assert_eq!(wrong, 0, "\n{table}");
}
