//! Programs from PyPI, pinned, in a virtual environment below `target/`.
//!
//! The first test that needs one makes it; the others wait for it at a lock, in this test binary and in any other.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::process::Running;

/// How long pip may take.
const INSTALLED: Duration = Duration::from_secs(600);

/// Where the commands of the environment `name` are, which has what `requirements` lists; made first where it is not there yet.
pub(crate) fn binaries(name: &str, requirements: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&place).unwrap();
    // The lock goes with the file, also where a test binary is killed.
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
    // Debian's, with the machine's own settings for pip: an index, a way out.
    let mut make = Command::new("/usr/bin/python3");
    make.args(["-m", "venv", "--clear"]).arg(&venv);
    Running::start(&mut make).finish(INSTALLED).well();
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary", ":all:", "--requirement"])
        .arg(&list);
    Running::start(&mut pip).finish(INSTALLED).well();
}
