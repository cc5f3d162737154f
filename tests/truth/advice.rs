//! The advice of the log works: a cause is injected, the advice is followed literally, and the same command succeeds.
//!
//! The cases are in `advice_cases`. Every kind of fault with advice has a case there, or a reason in [`WITHOUT_CASE`].

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
    thread,
};

use serde_json::Value;

use crate::{
    advice_cases::ADVICE_CASES,
    scene::{SEEDED, Scene},
    support::{
        ferry::{Ferry, SOON},
        process::{Finished, wait_until},
        settings::Settings,
    },
};

/// A fault, and its advice.
pub(crate) struct AdviceCase {
    /// The kind of fault, as its code begins, or the verdict of a stall.
    pub(crate) kind: &'static str,
    /// Its name; rows of one kind differ in it.
    pub(crate) name: &'static str,
    /// A part of the advice in the log.
    pub(crate) advice: &'static str,
    /// The daemon before and after.
    pub(crate) make: fn(&Scene, &str) -> Change,
    /// The command of the user; true once the advice was followed.
    pub(crate) act: fn(&Scene, &str, &Ferry, bool) -> Finished,
}

/// The settings before and after the advice is followed.
pub(crate) struct Change {
    pub(crate) before: Settings,
    pub(crate) after: Settings,
    /// Variables of the daemon afterwards.
    pub(crate) variables: Vec<(&'static str, &'static str)>,
    /// Servers that must live as long.
    pub(crate) keep: Box<dyn Any>,
}

/// Kinds without a case, and why.
const WITHOUT_CASE: &[(&str, &str)] = &[
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

/// Verdicts of stalls without a case, and why.
const VERDICTS_WITHOUT_CASE: &[(&str, &str)] = &[
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
fn a_user_who_follows_the_advice_of_the_log_succeeds() {
    let scene = Scene::new();
    let (todo, failed) = (Mutex::new(ADVICE_CASES.iter()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some(case) = todo.lock().unwrap().next() else {
                        return;
                    };
                    let follow = AssertUnwindSafe(|| follow(&scene, case));
                    // A server that does not start fails only its case.
                    let ended = catch_unwind(follow).unwrap_or_else(|_| Err("it panicked".into()));
                    if let Err(why) = ended {
                        let why = format!("{} ({}): {why}", case.kind, case.name);
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
        ADVICE_CASES.len(),
        failed.join("\n")
    );
}

fn follow(scene: &Scene, case: &AdviceCase) -> Result<(), String> {
    let letters = |text: &str| text.replace(|letter: char| !letter.is_alphanumeric(), "-");
    let cell = letters(&format!("advice-{}-{}", case.kind, case.name));
    let change = (case.make)(scene, &cell);
    let ferry = Ferry::start(&change.before);
    let ended = (case.act)(scene, &cell, &ferry, false);
    if ended.status.success() {
        return Err(format!("it succeeds before:\n{ended}\n{}", ferry.log()));
    }
    let mut found = None;
    wait_until(SOON, || {
        found = advice(&ferry, case.kind);
        found.is_some()
    });
    let found = found.ok_or_else(|| format!("no advice in:\n{ended}\n{}", ferry.log()))?;
    if !found.contains(case.advice) {
        return Err(format!("the advice is: {found}"));
    }
    drop(ferry);
    let ferry = Ferry::start_with(&change.after, &change.variables);
    let ended = (case.act)(scene, &cell, &ferry, true);
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
fn every_kind_and_verdict_with_advice_has_a_case_or_a_reason() {
    let kinds = gitferry::testing::kinds_with_advice();
    assert!(kinds.len() > 20, "{kinds:?}");
    let covered = |code: &str, not: &[(&str, &str)]| {
        ADVICE_CASES.iter().any(|case| case.kind == code)
            || not.iter().any(|(known, _)| *known == code)
    };
    // The verdicts below are the stalls.
    for code in kinds.into_iter().filter(|code| *code != "stalled") {
        assert!(
            covered(code, WITHOUT_CASE),
            "the advice of {code} has neither a case nor a reason"
        );
    }
    for verdict in gitferry::testing::verdicts() {
        assert!(
            covered(verdict, VERDICTS_WITHOUT_CASE),
            "{verdict} has neither a case nor a reason"
        );
    }
}
