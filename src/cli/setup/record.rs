//! What stood in a file before `setup` changed it, kept until all of it is taken back.
//!
//! It lies in the user's state directory whatever `state.directory` says: the settings are the user's, the daemon's directory
//! may be a system service's, and another config must not lose the way back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::{files, git, host_env::HostEnv};
use crate::cli::Failure;

/// A file's bytes, base64; `None` where there was no file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedFile {
    before: Option<String>,
    after: Option<String>,
}

impl SavedFile {
    /// Before any change.
    pub(super) fn new(bytes: Option<&[u8]>) -> Self {
        let text = bytes.map(|bytes| BASE64_STANDARD.encode(bytes));
        Self {
            before: text.clone(),
            after: text,
        }
    }

    /// Remembers the file after our changes.
    pub(super) fn changed(&mut self, bytes: Option<&[u8]>) {
        self.after = bytes.map(|bytes| BASE64_STANDARD.encode(bytes));
    }

    /// True where the file is as we left it.
    pub(super) fn is_as_left(&self, bytes: Option<&[u8]>) -> bool {
        self.after == bytes.map(|bytes| BASE64_STANDARD.encode(bytes))
    }

    /// The file before any change; an unreadable record says nothing.
    pub(super) fn before(&self) -> Option<Option<Vec<u8>>> {
        match &self.before {
            None => Some(None),
            Some(text) => BASE64_STANDARD.decode(text).ok().map(Some),
        }
    }
}

/// Where the record of a file lies: `setup-KIND-HASH.json`.
pub(super) fn path(host: &HostEnv, kind: &str, file: &Path) -> Result<PathBuf, Failure> {
    // By its real name where it has one, but a file that our own change makes must not change its record's name:
    // so the directory is made real, the file name is not.
    let directory = file
        .parent()
        .map(|directory| fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned()));
    let real = match (directory, file.file_name()) {
        (Some(directory), Some(name)) => directory.join(name),
        _ => file.to_owned(),
    };
    let hash = fnv(real.as_os_str().as_encoded_bytes());
    Ok(host
        .user_state()?
        .join(format!("setup-{kind}-{hash:016x}.json")))
}

/// The record at `path`; `None` where there is none. Fails on one that cannot be read: undoing by guess would be worse.
pub(super) fn load<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>, Failure> {
    let Some(bytes) = git::bytes(path)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| {
        Failure::during(format!("{} is damaged", path.display()), error)
            .hint("remove the settings by hand, then delete that file")
    })
}

/// Writes the record, for its owner alone: a git config may hold tokens.
pub(super) fn save<T: Serialize>(path: &Path, record: &T) -> Result<(), Failure> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(|error| {
            Failure::during(format!("cannot create {}", directory.display()), error)
        })?;
    }
    let text = serde_json::to_vec_pretty(record).map_err(Failure::new)?;
    files::replace(path, &text, 0o600)
}

/// Forgets it, and the directory where nothing else is in it.
pub(super) fn forget(path: &Path) -> Result<(), Failure> {
    files::remove(path)?;
    if let Some(directory) = path.parent() {
        // Fails where the daemon keeps its CA there.
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}

/// FNV-1a: std's hash may change with the toolchain, and a record must be found again after an update.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
