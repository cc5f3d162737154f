//! What a file contained before `setup` changed it, kept until the undo.
//!
//! A record is in the user's state directory whatever `state.directory` says: the settings are the user's, the daemon's directory
//! may be a system service's, and with another config the undo must still find it.

use std::{
    fs,
    marker::PhantomData,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::host_env::HostEnv;
use crate::cli::{Failure, files};

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

    /// Saves the file as our change left it.
    pub(super) fn set_after(&mut self, bytes: &[u8]) {
        self.after = Some(BASE64_STANDARD.encode(bytes));
    }

    /// True where nobody changed the file since.
    pub(super) fn is_unchanged(&self, bytes: Option<&[u8]>) -> bool {
        self.after == bytes.map(|bytes| BASE64_STANDARD.encode(bytes))
    }

    /// The file before any change; `None` where the record is unreadable.
    pub(super) fn before(&self) -> Option<Option<Vec<u8>>> {
        match &self.before {
            None => Some(None),
            Some(text) => BASE64_STANDARD.decode(text).ok().map(Some),
        }
    }
}

/// The record of a changed file: `setup-KIND-HASH.json`, with a `T` in it.
pub(super) struct SetupRecord<T> {
    path: PathBuf,
    content: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> SetupRecord<T> {
    /// The record of `file`.
    pub(super) fn of(kind: &str, file: &Path, host: &HostEnv) -> Result<Self, Failure> {
        // The record's name depends on the file's real directory, but not on where the file itself links to: our own change may create it.
        let directory = file
            .parent()
            .map(|directory| fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned()));
        let real = match (directory, file.file_name()) {
            (Some(directory), Some(name)) => directory.join(name),
            _ => file.to_owned(),
        };
        let hash = fnv(real.as_os_str().as_encoded_bytes());
        let name = format!("setup-{kind}-{hash:016x}.json");
        Ok(Self {
            path: host.user_state()?.join(name),
            content: PhantomData,
        })
    }

    /// Its content; `None` where there is no record. Fails where it is unreadable: an undo by guess would be worse.
    pub(super) fn load(&self) -> Result<Option<T>, Failure> {
        let Some(bytes) = files::read(&self.path)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Failure::during(format!("{} is damaged", self.path.display()), error)
                .hint("remove the settings by hand, then delete that file")
        })
    }

    /// Writes it, for its owner alone: a git config may contain tokens.
    pub(super) fn save(&self, content: &T) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(content).map_err(Failure::new)?;
        files::write(&self.path, &text, 0o600)
    }

    /// Removes it. The directory stays where the daemon keeps its CA there.
    pub(super) fn forget(&self) -> Result<(), Failure> {
        files::remove(&self.path)?;
        files::remove_empty_directory_of(&self.path);
        Ok(())
    }
}

/// FNV-1a: std's hash may change with the toolchain, and an update must find the record again.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
