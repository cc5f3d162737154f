//! Requirements that a machine may not meet. A skipped test prints the reason, is listed at the end of `tests/all`, and fails where the
//! machine meets the requirement.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    process::Command,
};

/// What a test requires of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// A program from `.ci/install-test-deps`.
    Program,
    /// To be root.
    Root,
    /// Namespaces of its own: network, mounts, users.
    Namespaces,
    /// A feature that this kernel may lack.
    Kernel,
}

impl Need {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Root => "root",
            Self::Namespaces => "namespaces",
            Self::Kernel => "kernel",
        }
    }
}

/// Call it in a test that then returns at once.
///
/// Panics where `GITFERRY_TESTS_HAVE` lists the need: `tests/all` puts there what the machine has.
#[track_caller]
pub(crate) fn skipped(need: Need, reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    let have = std::env::var("GITFERRY_TESTS_HAVE").unwrap_or_default();
    let name = need.as_str();
    assert!(
        !have.split_whitespace().any(|word| word == name),
        "{test} must not be skipped on a machine that has {name}: {reason}"
    );
    let line = format!("SKIPPED: {test} needs {name}: {reason}\n");
    // Not with a macro, whose output the harness captures.
    let _ = write!(io::stderr(), "\n*** {line}\n");
    if let Some(list) = std::env::var_os("GITFERRY_TESTS_SKIPPED") {
        let mut list = OpenOptions::new()
            .create(true)
            .append(true)
            .open(list)
            .unwrap();
        list.write_all(line.as_bytes()).unwrap();
    }
}

/// False, and the test is skipped, where these programs cannot be started.
#[track_caller]
pub(crate) fn has_programs(programs: &[&str]) -> bool {
    for program in programs {
        if Command::new(program).arg("--version").output().is_err() {
            skipped(Need::Program, &format!("{program} is not installed"));
            return false;
        }
    }
    true
}

/// False, and the test is skipped, where the user is not root.
#[track_caller]
pub(crate) fn is_root(what_for: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skipped(Need::Root, what_for);
    }
    root
}
