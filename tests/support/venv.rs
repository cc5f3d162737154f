//! Programs from PyPI, pinned, in a virtual environment below `target/`.
//!
//! The first test that needs an environment creates it; others wait at a lock, across test binaries.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::process::Running;

/// How long pip may take.
const INSTALLED: Duration = Duration::from_secs(600);

/// The directory of the commands of environment `name`, with the packages of `requirements`; created on first use.
pub(crate) fn binaries(name: &str, requirements: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&place).unwrap();
    // The lock ends with the open file, also where a test binary is killed.
    let lock = File::create(place.join("lock")).unwrap();
    lock.lock().unwrap();
    let made = place.join("made-from");
    if fs::read_to_string(&made).ok().as_deref() != Some(requirements) {
        install(&place, requirements);
        fs::write(&made, requirements).unwrap();
    }
    place.join("venv/bin")
}

fn install(place: &Path, requirements: &str) {
    let venv = place.join("venv");
    let list = place.join("requirements.txt");
    fs::write(&list, requirements).unwrap();
    // Debian's pip, with the machine's own settings: an index, a proxy.
    let mut make = Command::new("/usr/bin/python3");
    make.args(["-m", "venv", "--clear"]).arg(&venv);
    Running::start(&mut make).finish(INSTALLED).well();
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary", ":all:", "--requirement"])
        .arg(&list);
    Running::start(&mut pip).finish(INSTALLED).well();
}
