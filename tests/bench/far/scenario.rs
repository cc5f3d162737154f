//! What a user does over the path, timed from the command's start to its end.

use std::time::Duration;

use tokio::time::Instant;

use crate::support::{
    client::{Git, Work, write_noise},
    ferry::Ferry,
    hop::Hop,
    lfs::SIGNATURE,
    path::Path,
    process::{Running, clean_command},
    world::{MAIN, STORAGE, World},
};

/// Longer than the slowest of them takes alone.
const PATIENCE: Duration = Duration::from_secs(900);
const URL: &str = "https://main.test/far.git";

/// How the client reaches the far host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By the far hop, as `http.proxy`.
    Alone,
    /// By gitferry, which uses the same hop.
    Gitferry,
    /// The object alone, by aria2c over the same hop, with as many connections as gitferry's segments.
    Aria2c,
}

/// One thing to do.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Objects of git-lfs.
    objects: usize,
    /// Bytes of each; of the one file without git-lfs where there are no objects.
    size: u64,
    /// The push is timed, or a clone after it.
    push: bool,
    /// `git ls-remote` comes first, so that gitferry has a connection.
    warm: bool,
    /// It takes minutes, so that only `--only` runs it.
    pub(crate) on_demand: bool,
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    of("push, one LFS object of 6 MB", 1, 6_000_000, true),
    of("clone of it", 1, 6_000_000, false),
    of("push, 40 LFS objects of 20 KB", 40, 20_000, true),
    of("clone of them", 40, 20_000, false),
    of("push, small commit without LFS", 0, 10_000, true),
    of("clone, small repository", 0, 10_000, false),
    warm(of("push, small commit, after ls-remote", 0, 10_000, true)),
    warm(of(
        "clone, small repository, after ls-remote",
        0,
        10_000,
        false,
    )),
    on_demand(of("push, 5,000 LFS objects of 1 KB", 5000, 1000, true)),
    on_demand(of("push, 16 LFS objects of 3 MB", 16, 3_000_000, true)),
];

const fn warm(scenario: Scenario) -> Scenario {
    Scenario {
        warm: true,
        ..scenario
    }
}

const fn on_demand(scenario: Scenario) -> Scenario {
    Scenario {
        on_demand: true,
        ..scenario
    }
}

const fn of(name: &'static str, objects: usize, size: u64, push: bool) -> Scenario {
    Scenario {
        name,
        objects,
        size,
        push,
        warm: false,
        on_demand: false,
    }
}

impl Scenario {
    /// The ways that it is measured by.
    pub(crate) fn ways(&self) -> &'static [Way] {
        if self.objects == 1 && !self.push {
            return &[Way::Alone, Way::Gitferry, Way::Aria2c];
        }
        &[Way::Alone, Way::Gitferry]
    }

    /// How long it takes over `path`.
    pub(crate) fn run(&self, way: Way, path: &Path) -> Duration {
        let world = World::new();
        world.host.repository("far");
        let hop = Hop::beyond(
            path,
            &[
                (&format!("{MAIN}:443"), world.host.https),
                (&format!("{STORAGE}:443"), world.lfs.storage),
            ],
        );
        let ferry = (way == Way::Gitferry).then(|| {
            let settings = world
                .settings()
                .hop_without_credentials("far", &hop.url)
                .route_to(MAIN, "terminate", &["far"], None)
                .route_to(STORAGE, "terminate", &["far"], None);
            Ferry::start(&settings)
        });
        let git = match &ferry {
            Some(ferry) => world.git_through(ferry),
            None => world
                .git()
                .with("http.proxy", &hop.url)
                .with("http.sslCAInfo", world.ca.pem_file()),
        };
        if self.push {
            let work = self.work(&world, &git);
            self.warm_up(&world, &git);
            return timed(|| push(&work));
        }
        // By another way: what is measured comes from the server.
        let near = world
            .settings_beside()
            .route(MAIN, "terminate", &["direct"], world.host.https)
            .route(STORAGE, "terminate", &["direct"], world.lfs.storage);
        let near = Ferry::start(&near);
        push(&self.work(&world, &world.git_through(&near)));
        drop(near);
        if way == Way::Aria2c {
            return timed(|| download(&world, &hop.url));
        }
        self.warm_up(&world, &git);
        timed(|| clone(&world, &git))
    }

    fn warm_up(&self, world: &World, git: &Git) {
        if self.warm {
            let asked = git.start(world.root(), &["ls-remote", "-q", URL]);
            asked.finish(PATIENCE).well();
        }
    }

    fn work(&self, world: &World, git: &Git) -> Work {
        let work = git.work(world.path("work"), URL);
        if self.objects == 0 {
            work.commit("file", self.size);
            return work;
        }
        work.track_lfs();
        for number in 0..self.objects {
            write_noise(&work.path().join(format!("{number}.bin")), self.size);
        }
        work.commit_all();
        work
    }
}

fn push(work: &Work) {
    let push = work.start(&["push", "-q", "origin", "main"]);
    push.finish(PATIENCE).well();
}

fn clone(world: &World, git: &Git) {
    let copy = world.path("copy");
    let copy = copy.to_str().unwrap();
    let clone = git.start(world.root(), &["clone", "-q", URL, copy]);
    clone.finish(PATIENCE).well();
}

/// The one object that the storage has, by aria2c.
fn download(world: &World, hop: &str) {
    const CONNECTIONS: &str = "8";
    let object = world.lfs.objects().pop().unwrap();
    let mut aria2c = clean_command("/usr/bin/aria2c", world.root());
    aria2c
        .args(["-q", "-k", "1M", "-x", CONNECTIONS, "-s", CONNECTIONS])
        .arg(format!("--all-proxy={hop}"))
        .arg(format!(
            "--ca-certificate={}",
            world.ca.pem_file().display()
        ))
        .arg("-d")
        .arg(world.path("aria2c"))
        .args(["-o", "object"])
        .arg(format!(
            "https://{STORAGE}/lfs/{object}?X-Amz-Signature={SIGNATURE}&x=1"
        ));
    Running::start(&mut aria2c).finish(PATIENCE).well();
    let came = std::fs::metadata(world.path("aria2c").join("object")).unwrap();
    assert!(came.len() > 0);
}

fn timed(act: impl FnOnce()) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}
