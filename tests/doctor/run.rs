//! Running doctor, and reading what it says.

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;

use crate::support::{
    hop::Hop,
    process::{Finished, Running, clean_command},
    settings::Settings,
    world::{MAIN, STORAGE, World},
};

/// Longer than doctor may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// What doctor said.
pub(crate) struct Said {
    pub(crate) json: Value,
    pub(crate) finished: Finished,
}

/// `gitferry doctor --json` with this config.
pub(crate) fn doctor(config: &Path, arguments: &[&str]) -> Said {
    doctor_by(&mut command(config, arguments))
}

/// What people see.
pub(crate) fn page(config: &Path, arguments: &[&str], directory: &Path) -> Finished {
    let home = config.parent().unwrap();
    let mut command = clean_command(env!("CARGO_BIN_EXE_gitferry"), home);
    command
        .args(["doctor", "--config"])
        .arg(config)
        .args(arguments)
        .current_dir(directory);
    Running::start(&mut command).finish(PATIENCE)
}

/// A config in which the LFS storage is reached by `upstreams`, and `office` is this hop.
pub(crate) fn storage_by(world: &World, office: &Hop, upstreams: &[&str]) -> Settings {
    world
        .settings()
        .hop("office", &office.url)
        .route(MAIN, "terminate", &["direct"], world.host.https)
        .route(STORAGE, "terminate", upstreams, world.lfs.storage)
}

/// The command, to be changed before it is run.
pub(crate) fn command(config: &Path, arguments: &[&str]) -> Command {
    let home = config.parent().unwrap();
    let mut command = clean_command(env!("CARGO_BIN_EXE_gitferry"), home);
    command
        .args(["doctor", "--config"])
        .arg(config)
        .arg("--json")
        .args(arguments)
        .current_dir(home);
    command
}

/// Runs it.
pub(crate) fn doctor_by(command: &mut Command) -> Said {
    let finished = Running::start(command).finish(PATIENCE);
    let json = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("no JSON: {error}\n{finished}"));
    Said { json, finished }
}

impl Said {
    /// The check of a host over an upstream.
    #[track_caller]
    pub(crate) fn check(&self, host: &str, upstream: &str, check: &str) -> &Value {
        let checks = self.json["checks"].as_array().unwrap();
        let mut found = checks.iter().filter(|found| {
            found["host"] == host && found["upstream"] == upstream && found["check"] == check
        });
        let found = found.next();
        found.unwrap_or_else(|| panic!("no {check} of {host} via {upstream}: {:#}", self.json))
    }

    /// The state of that check.
    #[track_caller]
    pub(crate) fn state(&self, host: &str, upstream: &str, check: &str) -> &str {
        self.check(host, upstream, check)["state"].as_str().unwrap()
    }

    /// One part of the verdict.
    pub(crate) fn verdict(&self, part: &str) -> String {
        let verdict = &self.json["verdict"];
        verdict[part].as_str().unwrap_or_default().to_owned()
    }

    /// One part of the change.
    pub(crate) fn change(&self, part: &str) -> String {
        let change = &self.json["verdict"]["change"];
        change[part].as_str().unwrap_or_default().to_owned()
    }

    /// That something is broken, and the exit code says so.
    #[track_caller]
    pub(crate) fn broken(&self) -> String {
        assert_eq!(self.finished.status.code(), Some(1), "{:#}", self.json);
        self.verdict("broken")
    }
}
