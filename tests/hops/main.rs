//! What gitferry says of real hops: each row starts a proxy from Debian or PyPI in one situation, and real git asks through it.
//!
//! The rows are in [`rows`]; they run beside each other, and the table is printed (`--nocapture`). `GITFERRY_HOPS=squid` runs only the rows
//! whose program and situation contain `squid`.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod programs;
mod proxychains;
mod restart;
mod rows;

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use programs::{Bench, python};
use rows::{Login, Row, Target, rows};
use support::{
    client::Git,
    events::wait,
    ferry::Ferry,
    hop::{Hop, PASSWORD, USER},
    process::ClosedPort,
    settings::Settings,
    world::{MAIN, World},
};

/// Rows at once; each is a few processes that start and wait for each other.
const AT_ONCE: usize = 6;

/// What the log said of the first fault, and what else was wrong.
struct Outcome {
    code: String,
    cause: String,
    advice: String,
    warnings: Vec<String>,
}

#[test]
fn the_log_says_what_a_real_hop_means() {
    let world = World::new();
    world.host.repository("hops");
    // squid and Apache read their files as users of their own.
    fs::set_permissions(world.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let wanted = env::var("GITFERRY_HOPS").unwrap_or_default();
    let rows: Vec<(usize, Row)> = rows()
        .into_iter()
        .enumerate()
        .filter(|(_, row)| format!("{} {}", row.program, row.situation).contains(&wanted))
        .collect();
    let done = run_all(&world, &rows);
    let (mut table, mut wrong) = (String::new(), 0);
    for ((_, row), (_, outcome, took)) in rows.iter().zip(&done) {
        let problem = problem(row, outcome.as_ref());
        let shown = outcome.as_ref().map_or("", |outcome| match &*outcome.code {
            "" => "works",
            code => code,
        });
        let _ = write!(
            table,
            "{:<11} {:<32} {:>4.1} s  {shown}",
            row.program,
            row.situation,
            took.as_secs_f64()
        );
        if let Some(outcome) = outcome.as_ref().filter(|outcome| !outcome.code.is_empty()) {
            let _ = write!(
                table,
                "\n            {}\n            {}",
                outcome.cause, outcome.advice
            );
        }
        if let Some(problem) = problem {
            wrong += 1;
            let _ = write!(table, "  WRONG\n            {problem}");
        }
        table.push('\n');
    }
    let _ = writeln!(io::stdout(), "\n{table}");
    assert_eq!(wrong, 0, "\n{table}");
    assert!(!rows.is_empty(), "no row is called {wanted:?}");
}

/// The number of a row, its outcome unless it panicked, and how long it took.
type Done = (usize, Option<Outcome>, Duration);

/// Runs the rows side by side.
fn run_all(world: &World, rows: &[(usize, Row)]) -> Vec<Done> {
    let todo = Mutex::new(rows.iter());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        scope.spawn(python::installed);
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((number, row)) = todo.lock().unwrap().next() else {
                        return;
                    };
                    let begun = Instant::now();
                    let running = AssertUnwindSafe(|| run(world, *number, row));
                    // A hop that does not start fails its row alone.
                    let outcome = catch_unwind(running).ok();
                    done.lock()
                        .unwrap()
                        .push((*number, outcome, begun.elapsed()));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(number, ..)| *number);
    done
}

/// What is wrong with this row.
fn problem(row: &Row, outcome: Option<&Outcome>) -> Option<String> {
    let Some(Outcome {
        code,
        cause,
        advice,
        warnings,
    }) = outcome
    else {
        return Some("it panicked".into());
    };
    let right = match row.says {
        None => code.is_empty() && warnings.is_empty(),
        Some(says) => {
            let is_code = match says.code.ends_with('-') {
                true => code.starts_with(says.code),
                false => code == says.code,
            };
            is_code && cause.contains(says.cause) && advice.contains(says.advice)
        }
    };
    (!right).then(|| {
        let expected = row.says.map_or_else(
            || "that it works without a warning".to_owned(),
            |says| format!("{:?} with {:?} and {:?}", says.code, says.cause, says.advice),
        );
        format!("expected {expected}\n            cause: {cause}\n            advice: {advice}\n            {warnings:?}")
    })
}

fn run(world: &World, number: usize, row: &Row) -> Outcome {
    let bench = Bench {
        world,
        dir: world.path(&format!("row-{number}")),
    };
    let hop = (row.start)(&bench);
    let dead = ClosedPort::new();
    let (url, settings) = asked(&bench, row, &hop, dead.address);
    let ferry = Ferry::start(&settings);
    let git = Git::debian(&bench.at("home"))
        .with("http.proxy", ferry.proxy())
        .with("http.sslCAInfo", ferry.bundle());
    let ended = git.run(world.root(), &["ls-remote", &url]);
    if ended.status.success() {
        let warnings = ferry.warnings();
        let warnings = warnings.iter().map(Value::to_string).collect();
        return Outcome {
            code: String::new(),
            cause: String::new(),
            advice: String::new(),
            warnings,
        };
    }
    let fault = wait(ferry.next_fault());
    assert!(!ferry.log().contains(PASSWORD), "the log has the password");
    Outcome {
        code: fault.code,
        cause: fault.cause,
        advice: fault.advice.unwrap_or_default(),
        warnings: Vec::new(),
    }
}

/// What git asks for, and the daemon's settings.
fn asked(bench: &Bench<'_>, row: &Row, hop: &Hop, dead: SocketAddr) -> (String, Settings) {
    let ca = bench.world.ca.pem_file();
    let mut settings = Settings::new(&bench.dir.join("ferry"), ca);
    let mut keys = vec![format!("url = \"{}\"", hop.url)];
    keys.extend(hop.keys.iter().cloned());
    let password = match row.login {
        Login::None => None,
        Login::Right => Some(PASSWORD),
        Login::Wrong => Some("PLANTED-wrong-password"),
    };
    if let Some(password) = password {
        let file = settings.private_file("hop-password", password);
        keys.push(format!("username = \"{USER}\""));
        keys.push(format!("password_file = \"{}\"", file.display()));
    }
    settings = settings.hop_as_written("far", &keys.join(", "));
    if let Some(root) = &hop.root {
        settings = settings.extra_root(root);
    }
    let host = &bench.world.host;
    let (scheme, name, to) = match row.target {
        Target::Host => ("https", MAIN.to_owned(), Some(host.https)),
        Target::Dead => ("https", MAIN.to_owned(), Some(dead)),
        Target::Named => ("https", format!("localhost:{}", host.https.port()), None),
        Target::ByName => ("https", MAIN.to_owned(), None),
        Target::Plain => ("http", format!("localhost:{}", host.http.port()), None),
        Target::PlainDead => ("http", format!("localhost:{}", dead.port()), None),
    };
    let host = name.split(':').next().unwrap();
    let settings = settings.route_to(host, "terminate", &["far"], to);
    (format!("{scheme}://{name}/hops.git"), settings)
}
