//! A small disk that fills up quickly.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use super::skip::{Need, skipped};

/// A file system of a megabyte, unmounted when dropped.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounted at `place`; `None`, with a message, where this machine does not permit it.
    pub(crate) fn at(place: &Path) -> Option<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(place)
            .unwrap();
        let mut mount = Command::new("/usr/bin/mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"])
            .arg(place);
        let mounted = mount.output();
        if mounted
            .as_ref()
            .is_ok_and(|mounted| mounted.status.success())
        {
            return Some(Self(place.to_owned()));
        }
        skipped(
            Need::Namespaces,
            &format!("a tmpfs that root may mount: {mounted:?}"),
        );
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("/usr/bin/umount")
            .args(["-l"])
            .arg(&self.0)
            .status();
    }
}
