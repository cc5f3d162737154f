//! Detects changes of a config's files, and lists the changed keys that need a restart.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    Config,
    files::{Files, stamp},
};

/// The time between two checks of the files. They are polled because notifications do not work on every file system, and because polling
/// also detects a switched symbolic link (Kubernetes).
const PERIOD: Duration = Duration::from_secs(2);

/// How long a changed file must stay unchanged before it is read: an editor may still be writing it.
const QUIET: Duration = Duration::from_millis(100);

/// Watches the files of a config.
#[derive(Debug)]
pub(crate) struct FileWatch {
    seen: Files,
    /// True where a change was detected and not yet reported.
    pending: bool,
}

impl FileWatch {
    /// Starts watching.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            seen: config.files.clone(),
            pending: false,
        }
    }

    /// Also watches `files`: a reload may add some, and a refused config may lack some.
    pub(crate) fn follow(&mut self, files: Files) {
        for (file, seen) in files {
            self.seen.entry(file).or_insert(seen);
        }
    }

    /// Also watches a file that may be replaced while the config stays the same: the CA's key.
    #[must_use]
    pub(crate) fn with_file(mut self, file: PathBuf) -> Self {
        let seen = stamp(&file);
        self.seen.insert(file, seen);
        self
    }

    /// Waits until a file has changed and is no longer being written. Never completes where there is no file. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        if self.seen.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(PERIOD).await;
            if self.has_changed() {
                self.pending = true;
            }
            while self.pending {
                tokio::time::sleep(QUIET).await;
                if !self.has_changed() {
                    self.pending = false;
                    return;
                }
            }
        }
    }

    /// Checks the files. Returns true where one changed since the last check.
    pub(crate) fn has_changed(&mut self) -> bool {
        let mut changed = false;
        for (file, seen) in &mut self.seen {
            let now = stamp(file);
            changed |= now != *seen;
            *seen = now;
        }
        changed
    }
}

/// True where `new` requires no credentials, although `old` requires them or other machines can reach one of `addresses`.
///
/// `addresses` are those of the open sockets: a reload does not change them, whatever `new` contains.
pub(crate) fn weakens_access(old: &Config, new: &Config, addresses: &[SocketAddr]) -> bool {
    let open = addresses.iter().any(|address| !address.ip().is_loopback());
    new.listen.credentials.is_none() && (open || old.listen.credentials.is_some())
}

/// The keys that `new` changes and that take effect only after a restart.
pub(crate) fn keys_for_restart(old: &Config, new: &Config) -> Vec<String> {
    let mut keys = Vec::new();
    let addresses = |config: &Config| config.listen.addresses.clone();
    // Port 0 got a number when it was bound.
    let same_ports = new
        .listen
        .addresses
        .iter()
        .all(|address| address.port() == 0);
    if addresses(old) != addresses(new) && !same_ports {
        keys.push("listen.address".into());
    }
    if old.listen.max_connections != new.listen.max_connections {
        keys.push("listen.max_connections".into());
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_changed_or_removed_file_is_detected_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gitferry.toml");
        fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
        let config = super::super::load(Some(&file), &|_| Some("/nowhere".into())).unwrap();
        let mut watch = FileWatch::new(&config);
        assert!(!watch.has_changed());
        fs::write(&file, "[log]\nlevel = \"debug\"\n").unwrap();
        assert!(watch.has_changed());
        assert!(!watch.has_changed());
        fs::remove_file(&file).unwrap();
        assert!(watch.has_changed());
    }

    #[test]
    fn a_file_that_a_reload_adds_is_watched() {
        let directory = tempfile::tempdir().unwrap();
        let (file, secret) = (
            directory.path().join("gitferry.toml"),
            directory.path().join("password"),
        );
        let load = || super::super::load(Some(&file), &|_| Some("/nowhere".into())).unwrap();
        fs::write(&file, "").unwrap();
        fs::write(&secret, "hunter2").unwrap();
        let mut watch = FileWatch::new(&load());
        fs::write(
            &file,
            "[listen]\nusername = \"me\"\npassword_file = \"password\"\n",
        )
        .unwrap();
        assert!(watch.has_changed());
        watch.follow(load().files);
        assert!(!watch.has_changed());
        fs::write(&secret, "hunter2, longer").unwrap();
        assert!(watch.has_changed());
    }
}
