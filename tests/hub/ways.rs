//! A Hub, the daemon before it, and the clients before the daemon, in each of the three ways: the CONNECT front, the reverse
//! front, and onto a mirror.
//!
//! The clients are set up by what `gitferry setup` writes. The names of the Hub do not resolve without the daemon, and the proxy
//! variables that it does not set name a trap.

use std::{collections::BTreeSet, fmt::Write as _, fs, net::SocketAddr, path::PathBuf};

use serde_json::Value;

use crate::{
    scenes::{self, Store},
    support::{
        ca::{Flaw, TestCa},
        client::Git,
        ferry::Ferry,
        git_host::{GitHost, Manners},
        hf::Hf,
        hop::Hop,
        hub::{
            BRIDGE, CAS, DOWNLOADS, GRANTS, Hub, SIGNATURE, SITE, TOKEN, UPLOADS, XET_TOKEN, XORBS,
        },
        mirror::{MIRROR, Mirror},
        process::{Running, clean_command},
        settings::Settings,
    },
};

/// Directly to the host.
pub(crate) const DIRECT: &str = "{ via = \"direct\" }";
/// Onto the mirror, which may act in the user's name.
pub(crate) const ON_THE_MIRROR: &str =
    "{ mirror = \"https://mirror.test/hub\", via = \"direct\", credentials = \"pass\" }";
/// Onto the mirror, with the defaults.
pub(crate) const ON_THE_MIRROR_UNKNOWN: &str =
    "{ mirror = \"https://mirror.test/hub\", via = \"direct\" }";

/// How long `gitferry setup` may take.
const SET_UP: std::time::Duration = std::time::Duration::from_secs(20);

/// Which way the clients go, and where.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// `setup hf --no-ca`: by the reverse front.
    pub(crate) reverse: bool,
    /// What the daemon does with Xet's hosts.
    pub(crate) xet: &'static str,
    /// What it does with the LFS storage.
    pub(crate) lfs: &'static str,
    /// What stands in the main site's `upstreams`.
    pub(crate) site: &'static [&'static str],
    /// And in those of Xet's hosts.
    pub(crate) to_xet: &'static [&'static str],
}

pub(crate) const CONNECT: Way = Way {
    reverse: false,
    xet: "terminate",
    lfs: "terminate",
    site: &[DIRECT],
    to_xet: &[DIRECT],
};

pub(crate) const REVERSE: Way = Way {
    reverse: true,
    ..CONNECT
};

pub(crate) const MIRRORED: Way = Way {
    site: &[ON_THE_MIRROR],
    ..CONNECT
};

/// A Hub, the daemon before it, and the clients before the daemon.
pub(crate) struct Through {
    way: Way,
    pub(crate) hub: Hub,
    pub(crate) hf: Hf,
    pub(crate) ferry: Ferry,
    pub(crate) mirror: Option<Mirror>,
    /// What is git's on the main site, where a test has it.
    pub(crate) git: Option<GitHost>,
    trap: Hop,
    pub(crate) dir: tempfile::TempDir,
}

impl Through {
    /// A Hub without git.
    pub(crate) fn new(way: Way, store: Store) -> Self {
        Self::with(way, store, false, |settings| settings)
    }

    /// A Hub without git, and a daemon with more settings.
    pub(crate) fn set(way: Way, store: Store, more: impl FnOnce(Settings) -> Settings) -> Self {
        Self::with(way, store, false, more)
    }

    /// A Hub behind a git host.
    pub(crate) fn with_git(way: Way, store: Store) -> Self {
        Self::with(way, store, true, |settings| settings)
    }

    fn with(
        way: Way,
        store: Store,
        with_git: bool,
        more: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = TestCa::new(dir.path().join("ca"));
        let hub = match store {
            Store::Lfs => Hub::start(&ca),
            Store::Xet => Hub::with_xet(&ca),
        };
        let git = with_git.then(|| {
            let leaf = ca.files("site", &ca.leaf(&[SITE], Flaw::None));
            let manners = Manners {
                account: None,
                lfs: Some(hub.behind_git),
            };
            GitHost::start(dir.path().join("git"), &leaf, manners)
        });
        let site = git.as_ref().map_or(hub.address, |git| git.https);
        let mirror = (way.site != [DIRECT]).then(|| {
            let leaf = ca.files("mirror", &ca.leaf(&[MIRROR], Flaw::None));
            let at = dir.path().join("mirror");
            Mirror::start(at, &leaf, "/hub", SITE, site)
        });
        let settings = Settings::new(&dir.path().join("ferry"), ca.pem_file());
        let settings = settings.section(&routes(way, site, hub.address, mirror.as_ref()));
        let settings = more(settings);
        let ferry = Ferry::start(&settings);
        ferry.reload(&settings);
        let trap = Hop::trap();
        let home = dir.path().join("home");
        if with_git {
            // It brings a ~/.gitconfig, which the set-up adds to.
            Git::debian(&home);
        }
        let file = set_up(&ferry, &home, way.reverse);
        let hf = Hf::new(&home)
            .with("ALL_PROXY", &trap.url)
            .with("HTTP_PROXY", &trap.url)
            .with("HTTPS_PROXY", &trap.url)
            .with_sourced(file);
        let hf = match store {
            Store::Lfs => hf.without_xet(),
            Store::Xet => hf,
        };
        Self {
            way,
            hub,
            hf,
            ferry,
            mirror,
            git,
            trap,
            dir,
        }
    }

    /// Debian's git in the shell that has read the file.
    pub(crate) fn git(&self) -> Git {
        let helper = format!("!f() {{ echo username=me; echo password={TOKEN}; }}; f");
        let git = Git::debian_at(&self.dir.path().join("home")).with("credential.helper", helper);
        let shell = self.hf.shell().into_iter();
        shell.fold(git, |git, (name, value)| git.with_variable(&name, &value))
    }

    /// By the library, up and down.
    pub(crate) fn library(&self) {
        scenes::a_folder_goes_up_and_down(&self.hub, &self.hf, self.dir.path());
    }

    /// By the command, up and down.
    pub(crate) fn command(&self) {
        scenes::the_command_takes_a_folder_up_and_down(&self.hub, &self.hf, self.dir.path());
    }

    /// Every request went through the daemon, over the chosen front, and to no other host.
    pub(crate) fn assert_nothing_went_past(&self) {
        self.trap.assert_unused();
        for host in self.hosts() {
            let front = match (self.way.reverse, &*host) {
                (true, _) => "reverse",
                (false, CAS | GRANTS | XORBS | BRIDGE) if self.way.xet == "tunnel" => "tunnel",
                (false, UPLOADS | DOWNLOADS) if self.way.lfs == "tunnel" => "tunnel",
                (false, _) => "intercept",
            };
            self.ferry.wait_for_transfer(&host, |_| true);
            let ended = self.ferry.events("transfer ended").into_iter();
            let elsewhere: Vec<_> = ended
                .filter(|event| event["host"] == *host && event["front"] != front)
                .collect();
            assert_eq!(elsewhere, Vec::<Value>::new());
        }
        if let Some(mirror) = &self.mirror {
            let at = self.hub.seen();
            let at = at.iter().filter(|seen| seen.host == SITE).count();
            let requests = mirror.requests();
            assert!(
                requests.lines().count() >= at,
                "{at} requests, past the mirror:\n{requests}"
            );
        }
        assert_eq!(self.ferry.fault_codes(), Vec::<String>::new());
        self.assert_secrets_are_kept();
    }

    /// The names that the Hub was asked by.
    fn hosts(&self) -> BTreeSet<String> {
        self.hub.seen().into_iter().map(|seen| seen.host).collect()
    }

    fn assert_secrets_are_kept(&self) {
        let log = self.ferry.log();
        for secret in [TOKEN, XET_TOKEN, SIGNATURE] {
            assert!(!log.contains(secret), "the log has {secret}");
        }
    }
}

/// The routes of the default config, where the names lead to the Hub of this world.
fn routes(way: Way, main: SocketAddr, hub: SocketAddr, mirror: Option<&Mirror>) -> String {
    let (site, xet) = (way.site.join(", "), way.to_xet.join(", "));
    let mut text = String::new();
    for (name, role, hosts, tls, upstream, names) in [
        (
            "hf-main",
            "main-site",
            "\"huggingface.co\", \"hf.co\"",
            "terminate",
            site.as_str(),
            &[SITE][..],
        ),
        (
            "hf-xet",
            "lfs-storage",
            "\"*.xethub.hf.co\"",
            way.xet,
            xet.as_str(),
            &[CAS, GRANTS, XORBS, BRIDGE],
        ),
        (
            "hf-lfs",
            "lfs-storage",
            "\"*.hf.co\", \"hf-hub-lfs-*.s3-accelerate.amazonaws.com\"",
            way.lfs,
            DIRECT,
            &[UPLOADS, DOWNLOADS],
        ),
    ] {
        let mut at: Vec<String> = names
            .iter()
            .map(|name| {
                let at = if *name == SITE { main } else { hub };
                format!("\"{name}\" = \"{at}\"")
            })
            .collect();
        if let Some(mirror) = mirror.filter(|_| role == "main-site") {
            at.push(format!("\"{MIRROR}\" = \"{}\"", mirror.address));
        }
        let _ = writeln!(
            text,
            "[[route]]\nname = \"{name}\"\nrole = \"{role}\"\nhosts = [{hosts}]\ntls = \"{tls}\"\n\
             upstreams = [{upstream}]\nresolve = {{ {} }}",
            at.join(", "),
        );
    }
    text
}

/// What the user does: `gitferry setup all`, and reading the file that it names.
fn set_up(ferry: &Ferry, home: &std::path::Path, reverse: bool) -> PathBuf {
    fs::create_dir_all(home).unwrap();
    let mut command = clean_command(env!("CARGO_BIN_EXE_gitferry"), home);
    command
        .args(["setup", "all", "--config"])
        .arg(ferry.config());
    if reverse {
        command.arg("--no-ca");
    }
    Running::start(&mut command).finish(SET_UP).well();
    home.join(".config/gitferry/hf.sh")
}
