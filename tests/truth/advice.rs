//! Advice is tested by taking it: a cause is injected, the log's advice is applied as it stands, and the same command succeeds.
//!
//! The rows are in `taken`. Every kind of fault that gives advice has a row there, or stands in [`NOT_TAKEN`] with the reason.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
};

use serde_json::Value;

use crate::{
    scene::{SEEDED, Scene},
    support::{
        ferry::{Ferry, SOON},
        process::{Finished, wait_until},
        settings::Settings,
    },
    taken::TAKEN,
};

/// One advice.
pub(crate) struct Taken {
    /// The kind of fault, as its code begins, or the verdict of a stall.
    pub(crate) kind: &'static str,
    /// Its name; rows of one kind differ in it.
    pub(crate) name: &'static str,
    /// What the advice says, as it stands in the log.
    pub(crate) says: &'static str,
    /// The daemon before and after.
    pub(crate) make: fn(&Scene, &str) -> Change,
    /// What the user does; the second time the advice was taken.
    pub(crate) act: fn(&Scene, &str, &Ferry, bool) -> Finished,
}

/// What taking an advice changes.
pub(crate) struct Change {
    pub(crate) before: Settings,
    pub(crate) after: Settings,
    /// For the daemon after it.
    pub(crate) variables: Vec<(&'static str, &'static str)>,
    /// What must live as long.
    pub(crate) keep: Box<dyn Any>,
}

/// Kinds whose advice is not taken here, and why.
const NOT_TAKEN: &[(&str, &str)] = &[
    (
        "answered",
        "there is nothing to do on this machine: the advice says so",
    ),
    ("too-many-clients", "tests/it/api.rs sets `max_connections`"),
    (
        "shutdown",
        "the advice is to repeat the command: tests/git/lifecycle.rs does",
    ),
    (
        "local",
        "what this machine lacks cannot be given to it by a test",
    ),
    ("stale-connection", "the advice is to repeat the command"),
    (
        "too-many-wrong-passwords",
        "the advice is to wait: tests/it/access.rs guesses until it is slow",
    ),
];

/// The same of the verdicts of stalls.
const VERDICTS_NOT_TAKEN: &[(&str, &str)] = &[
    (
        "throttled",
        "nothing fails for it; tests/stall/verdicts.rs lowers `floor`, and no warning comes",
    ),
    (
        "never-connected",
        "the advice is the usual other upstream: tests/stall/seeds.rs has it",
    ),
    (
        "path-mtu",
        "tests/stall/acting.rs gets through with small segments",
    ),
    ("path-drops", "the advice is the usual other upstream"),
    ("client-idle", "the advice is to look at the client"),
];

#[test]
fn every_advice_that_is_taken_as_it_stands_helps() {
    let scene = Scene::new();
    let (todo, failed) = (Mutex::new(TAKEN.iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some(taken) = todo.lock().unwrap().next() else {
                        return;
                    };
                    let taking = AssertUnwindSafe(|| take(&scene, taken));
                    // A server that does not start fails its row alone.
                    let ended = catch_unwind(taking).unwrap_or_else(|_| Err("it panicked".into()));
                    if let Err(why) = ended {
                        let why = format!("{} ({}): {why}", taken.kind, taken.name);
                        failed.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {} fail:\n{}",
        failed.len(),
        TAKEN.len(),
        failed.join("\n")
    );
}

fn take(scene: &Scene, taken: &Taken) -> Result<(), String> {
    let letters = |text: &str| text.replace(|letter: char| !letter.is_alphanumeric(), "-");
    let cell = letters(&format!("advice-{}-{}", taken.kind, taken.name));
    let change = (taken.make)(scene, &cell);
    let ferry = Ferry::start(&change.before);
    let ended = (taken.act)(scene, &cell, &ferry, false);
    if ended.status.success() {
        return Err(format!("it succeeds before:\n{ended}\n{}", ferry.log()));
    }
    let mut found = None;
    wait_until(SOON, || {
        found = advice(&ferry, taken.kind);
        found.is_some()
    });
    let found = found.ok_or_else(|| format!("no advice in:\n{ended}\n{}", ferry.log()))?;
    if !found.contains(taken.says) {
        return Err(format!("the advice is: {found}"));
    }
    drop(ferry);
    let ferry = Ferry::start_with(&change.after, &change.variables);
    let ended = (taken.act)(scene, &cell, &ferry, true);
    drop(change.keep);
    match ended.status.success() {
        true => Ok(()),
        false => Err(format!("it does not help:\n{ended}\n{}", ferry.log())),
    }
}

/// The first advice of a fault, or a stall, of this kind.
fn advice(ferry: &Ferry, kind: &str) -> Option<String> {
    let stalls = ferry.events("stall").into_iter();
    let mut events = ferry.events("fault").into_iter().chain(stalls);
    let is_one = |event: &Value| {
        let starts = |name: &str| {
            event[name]
                .as_str()
                .is_some_and(|code| code.starts_with(kind))
        };
        (starts("kind") || starts("verdict")) && event["advice"].is_string()
    };
    let event = events.find(is_one)?;
    event["advice"].as_str().map(str::to_owned)
}

/// git asks the main site for its branches.
pub(crate) fn git(scene: &Scene, cell: &str, ferry: &Ferry, _: bool) -> Finished {
    scene
        .git(cell, ferry)
        .run(scene.world.root(), &["ls-remote", SEEDED])
}

/// The kinds of fault, and whether they give advice; the verdicts.
#[test]
fn every_advice_of_the_table_is_taken_or_says_why_not() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/model/fault/table.rs");
    let table = std::fs::read_to_string(path).unwrap();
    let rows = table.split("code: \"").skip(1);
    let kinds: Vec<&str> = rows
        .filter_map(|row| {
            let (code, rest) = row.split_once('"')?;
            let (_, function) = rest.split_once("advice: advice::")?;
            (!function.starts_with("none") && code != "stalled").then_some(code)
        })
        .collect();
    assert!(kinds.len() > 20, "{kinds:?}");
    let covered = |code: &str, not: &[(&str, &str)]| {
        TAKEN.iter().any(|taken| taken.kind == code) || not.iter().any(|(known, _)| *known == code)
    };
    for code in kinds {
        assert!(
            covered(code, NOT_TAKEN),
            "the advice of {code} is neither taken nor excused"
        );
    }
    for verdict in gitferry::testing::verdicts() {
        assert!(
            covered(verdict, VERDICTS_NOT_TAKEN),
            "{verdict} is neither taken nor excused"
        );
    }
}
