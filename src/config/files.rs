//! The files of a config, and their state before they were read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Files, with their state before they were read; `None` for a missing file.
pub(crate) type Files = BTreeMap<PathBuf, Option<FileStamp>>;

/// A file's modification time and size.
pub(crate) type FileStamp = (SystemTime, u64);

/// The current state of a file.
pub(super) fn stamp(file: &Path) -> Option<FileStamp> {
    let meta = fs::metadata(file).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}
