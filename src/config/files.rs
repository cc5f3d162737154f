//! The files that a config was made of, and how each was when it was read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Files, and how each was just before it was read; `None` where it was not there.
pub(crate) type Files = BTreeMap<PathBuf, Option<Stamp>>;

/// When a file was written, and its size.
pub(crate) type Stamp = (SystemTime, u64);

/// How a file is now.
pub(super) fn stamp(file: &Path) -> Option<Stamp> {
    let meta = fs::metadata(file).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}
