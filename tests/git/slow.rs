//! What takes long: a gigabyte, and sixty-four clients at once.

use std::{fs, io::Read, path::Path, time::Duration};

use aws_lc_rs::digest;

use crate::support::{
    client::{PATIENCE, write_noise},
    ferry::{Ferry, SOON},
    lfs_storage::hex,
    process::{Running, wait_until},
    world::{MAIN, STORAGE, World},
};

/// How much more than idle the daemon may hold, in KiB.
const HEADROOM: u64 = 32 * 1024;

fn hash(path: &Path) -> String {
    let mut file = fs::File::open(path).unwrap();
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; 1024 * 1024];
    loop {
        match file.read(&mut piece).unwrap() {
            0 => return hex(hash.finish().as_ref()),
            read => hash.update(&piece[..read]),
        }
    }
}

/// Pushes and pulls one large object; the daemon's memory stays where it was.
fn carries_a_large_object(tls: &str) {
    let world = World::new();
    world.host.repository("large");
    let settings = world
        .settings()
        .route(MAIN, tls, &["direct"], world.host.https)
        .route(STORAGE, tls, &["direct"], world.lfs.storage);
    let ferry = Ferry::start(&settings);
    let git = world.git_over(&ferry, tls);
    let url = format!("https://{MAIN}/large.git");
    let work = git.work(world.path("work"), &url);
    work.track_lfs();
    let large = work.path().join("large.bin");
    write_noise(&large, 1 << 30);
    let expected = hash(&large);
    work.commit_all();

    let idle = ferry.memory("VmRSS");
    ferry.forget_peak();
    work.git(&["push", "-q", "origin", "main"]).well();
    let pushing = ferry.memory("VmHWM");
    assert_eq!(world.lfs.objects(), [expected.as_str()]);
    assert_eq!(
        world.lfs.seen("PUT"),
        1,
        "the object was sent more than once"
    );
    drop(fs::remove_dir_all(work.path()));

    ferry.forget_peak();
    let copy = git.clone_to(world.path("copy"), &url);
    let pulling = ferry.memory("VmHWM");
    assert_eq!(hash(&copy.path().join("large.bin")), expected);
    println!("resident: idle {idle} KiB, pushing {pushing} KiB, pulling {pulling} KiB");
    assert!(
        pushing < idle + HEADROOM,
        "idle {idle} KiB, pushing {pushing} KiB"
    );
    assert!(
        pulling < idle + HEADROOM,
        "idle {idle} KiB, pulling {pulling} KiB"
    );
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

#[test]
fn one_gibibyte_is_pushed_and_pulled_in_bounded_memory() {
    carries_a_large_object("terminate");
}

#[test]
fn one_gibibyte_travels_through_tunnels_in_bounded_memory() {
    carries_a_large_object("tunnel");
}

#[test]
fn sixty_four_pushes_at_once_all_arrive_and_leave_nothing() {
    const PUSHES: usize = 64;
    let world = World::new();
    let ferry = Ferry::start(&world.plain_settings());
    let idle = ferry.descriptors();
    let git = world.git_through(&ferry);
    let work = git.work(world.path("work"), "none");
    let pushed = work.commit("file", 1_000_000);
    let repositories: Vec<_> = (0..PUSHES)
        .map(|n| world.host.repository(&format!("r{n}")))
        .collect();
    let pushes: Vec<Running> = (0..PUSHES)
        .map(|n| work.start(&["push", "-q", &format!("https://{MAIN}/r{n}.git"), "main"]))
        .collect();
    for push in pushes {
        push.finish(PATIENCE).well();
    }
    for repository in &repositories {
        let tip = git.run(repository, &["rev-parse", "main"]).well();
        assert_eq!(tip.stdout.trim(), pushed);
        git.run(repository, &["fsck", "--no-progress"]).well();
    }
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
    let settled = wait_until(SOON + Duration::from_secs(10), || {
        ferry.transfers().is_empty() && ferry.descriptors() <= idle
    });
    assert!(
        settled,
        "{} descriptors, {idle} before; {:?}",
        ferry.descriptors(),
        ferry.transfers()
    );
}
