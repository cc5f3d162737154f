//! The real clients: Debian's git (GnuTLS) with git-lfs, and curl (OpenSSL).

use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::{
    ferry::Ferry,
    process::{Finished, Running, clean_command},
};

/// Longer than any command here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(150);

/// Debian's git with a home of its own and settings for one test.
#[derive(Clone)]
pub(crate) struct Git {
    home: PathBuf,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Git {
    /// Debian's git. Fails the test where it is not the GnuTLS build, which half of the promises are about.
    pub(crate) fn debian(home: &Path) -> Self {
        fs::create_dir_all(home).unwrap();
        fs::write(home.join(".gitconfig"), GITCONFIG).unwrap();
        let git = Self::debian_at(home);
        let mut ldd = clean_command("/usr/bin/ldd", home);
        let libraries = Running::start(ldd.arg("/usr/lib/git-core/git-remote-http"))
            .finish(PATIENCE)
            .well();
        assert!(
            libraries.stdout.contains("libcurl-gnutls"),
            "these tests need Debian's git, built with GnuTLS:\n{libraries}"
        );
        git
    }

    /// The same in an existing home.
    pub(crate) fn debian_at(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            settings: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Sets `key = value`, for git and for the git-lfs that it runs.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: impl AsRef<Path>) -> Self {
        self.settings
            .push(format!("{key}={}", value.as_ref().display()));
        self
    }

    /// With a variable.
    #[must_use]
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn command(&self, dir: &Path, arguments: &[&str]) -> Command {
        let mut command = clean_command("/usr/bin/git", &self.home);
        command
            .current_dir(dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        command.args(arguments);
        command
    }

    /// Starts git in `dir`.
    pub(crate) fn start(&self, dir: &Path, arguments: &[&str]) -> Running {
        Running::start(&mut self.command(dir, arguments))
    }

    /// Runs git in `dir` to its end.
    pub(crate) fn run(&self, dir: &Path, arguments: &[&str]) -> Finished {
        self.start(dir, arguments).finish(PATIENCE)
    }

    /// The commit that `main` of the bare `repository` is at.
    pub(crate) fn tip_of(&self, repository: &Path) -> String {
        let tip = self.run(repository, &["rev-parse", "main"]).well();
        tip.stdout.trim().to_owned()
    }

    /// Makes a work tree at `path` whose `origin` is `url`.
    pub(crate) fn work(&self, path: PathBuf, url: &str) -> Work {
        fs::create_dir_all(&path).unwrap();
        let work = Work {
            git: self.clone(),
            path,
        };
        work.git(&["init", "-q", "-b", "main"]).well();
        work.git(&["remote", "add", "origin", url]).well();
        work
    }

    /// Clones `url` into `path`.
    pub(crate) fn clone_to(&self, path: PathBuf, url: &str) -> Work {
        let name = path.to_str().unwrap();
        self.run(&self.home, &["clone", "-q", url, name]).well();
        Work {
            git: self.clone(),
            path,
        }
    }

    /// curl with the same home and environment.
    pub(crate) fn curl(&self, arguments: &[&str]) -> Finished {
        let mut command = clean_command("/usr/bin/curl", &self.home);
        command.args(["-sS", "--max-time", "60"]).args(arguments);
        Running::start(&mut command).finish(PATIENCE)
    }

    /// The same through a daemon, whose CA it trusts.
    pub(crate) fn curl_by(&self, ferry: &Ferry, arguments: &[&str]) -> Finished {
        let (proxy, bundle) = (ferry.proxy(), ferry.bundle());
        let by = ["--proxy", &proxy, "--cacert", bundle.to_str().unwrap()];
        self.curl(&[&by, arguments].concat())
    }
}

/// The user's config in the home; no background work that outlives a command.
const GITCONFIG: &str = r#"
[user]
    name = A Tester
    email = tester@example.test
[gc]
    auto = 0
[maintenance]
    auto = false
[core]
    compression = 0
[filter "lfs"]
    clean = git-lfs clean -- %f
    smudge = git-lfs smudge -- %f
    process = git-lfs filter-process
    required = true
"#;

/// A work tree.
pub(crate) struct Work {
    git: Git,
    path: PathBuf,
}

impl Work {
    /// Runs git here.
    pub(crate) fn git(&self, arguments: &[&str]) -> Finished {
        self.git.run(&self.path, arguments)
    }

    /// Starts git here.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        self.git.start(&self.path, arguments)
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The hash of `name`.
    pub(crate) fn hash(&self, name: &str) -> String {
        self.git(&["rev-parse", name])
            .well()
            .stdout
            .trim()
            .to_owned()
    }

    /// Commits one incompressible file of `size` bytes; returns the new hash.
    pub(crate) fn commit(&self, name: &str, size: u64) -> String {
        write_noise(&self.path.join(name), size);
        self.commit_all()
    }

    /// Commits all changes; returns the new hash.
    pub(crate) fn commit_all(&self) -> String {
        self.git(&["add", "-A"]).well();
        self.git(&["commit", "-q", "-m", "more"]).well();
        self.hash("HEAD")
    }

    /// Tracks `*.bin` with git-lfs, and installs the hook that uploads before a push.
    pub(crate) fn track_lfs(&self) {
        self.git(&["lfs", "install", "--local"]).well();
        fs::write(
            self.path.join(".gitattributes"),
            "*.bin filter=lfs diff=lfs merge=lfs -text\n",
        )
        .unwrap();
    }
}

/// Writes new random bytes each time, cheaply.
pub(crate) fn write_noise(path: &Path, size: u64) {
    static SEED: AtomicUsize = AtomicUsize::new(1);
    let seed = SEED.fetch_add(1, Ordering::Relaxed) as u64 ^ u64::from(std::process::id()) << 32;
    let mut noise = fastrand::Rng::with_seed(seed);
    let mut file = BufWriter::new(fs::File::create(path).unwrap());
    let mut piece = vec![0; 1024 * 1024];
    let mut left = size;
    while left > 0 {
        let length = left.min(piece.len() as u64);
        let part = &mut piece[..usize::try_from(length).unwrap()];
        noise.fill(part);
        file.write_all(part).unwrap();
        left -= length;
    }
    file.flush().unwrap();
}
