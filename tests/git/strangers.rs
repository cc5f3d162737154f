//! A mirror without the user's credentials gets what is public, and nothing that matters.

use crate::{
    mirrors::{count, mirror, mirrored, pushes_and_pulls, upstream},
    support::{
        ferry::Ferry,
        world::{MAIN, World},
    },
};

/// The response to an upload batch names the host that git-lfs uploads to.
#[test]
fn a_private_object_is_not_uploaded_to_where_a_stranger_says() {
    let world = World::new();
    let mirror = mirror(&world, "/hub");
    let both = upstream("/hub", "") + ", { via = \"direct\" }";
    let ferry = Ferry::start(&mirrored(&world, &mirror, &both));
    pushes_and_pulls(
        &world,
        &world.git_through(&ferry),
        &format!("https://{MAIN}/lfs.git"),
    );
    // The clone's batch, and none of the push.
    let seen = mirror.requests();
    assert_eq!(count(&seen, "objects/batch"), 1, "{seen}");
    assert_eq!(
        count(&seen, "POST /hub/lfs.git/git-upload-pack"),
        3,
        "{seen}"
    );
    for part in ["git-receive-pack", "verify", "locks"] {
        assert_eq!(count(&seen, part), 0, "{seen}");
    }
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

/// git compresses a fetch request of more than 1 KiB: here it names what it has already.
#[test]
fn a_gzipped_fetch_goes_through_a_mirror_that_sees_no_password() {
    let world = World::new();
    world.host.repository("big");
    let mirror = mirror(&world, "");
    let both = upstream("", "") + ", { via = \"direct\" }";
    let ferry = Ferry::start(&mirrored(&world, &mirror, &both));
    let git = world.git_through(&ferry).with("protocol.version", "2");
    let url = format!("https://me:planted-password@{MAIN}/big.git");
    let work = git.work(world.path("work"), &url);
    work.commit("first", 1_000);
    work.git(&["push", "-q", "origin", "main"]).well();
    let copy = git.clone_to(world.path("copy"), &url);
    let news = work.commit("second", 1_000);
    work.git(&["push", "-q", "origin", "main"]).well();
    for number in 0..60 {
        copy.commit(&format!("own {number}"), 100);
    }
    let traced = git.clone().with_variable("GIT_TRACE_CURL", "1");
    let fetched = traced.run(copy.path(), &["fetch", "-q"]).well();
    assert!(
        fetched
            .stderr
            .to_lowercase()
            .contains("content-encoding: gzip"),
        "{fetched}"
    );
    assert_eq!(copy.hash("origin/main"), news);
    let seen = mirror.requests();
    assert!(count(&seen, "POST /big.git/git-upload-pack") >= 4, "{seen}");
    assert!(seen.lines().all(|line| line.ends_with("| -")), "{seen}");
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}
