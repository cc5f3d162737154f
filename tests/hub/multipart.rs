//! git-lfs with the Hub's own transfer agent, `hf lfs-multipart-upload`: an object above the limit goes up in parts.

use std::fs;

use crate::{
    scenes::{self, Store},
    support::{
        client::write_noise,
        hub::{DOWNLOADS, MULTIPART_ABOVE, PART, SITE, UPLOADS},
    },
    ways::{CONNECT, MIRRORED, REVERSE, Through, Way},
};

/// Takes four parts.
const LARGE: u64 = 3 * PART + 1;

fn goes_up_in_parts(way: Way) {
    let world = Through::with_git(way, Store::Lfs);
    world.git.as_ref().unwrap().repository("me/model");
    let (git, root) = (world.git(), world.dir.path());
    let url = format!("https://{SITE}/me/model");
    let work = git.work(root.join("work"), &url);
    work.track_lfs();
    let path = work.path().to_str().unwrap();
    world.hf.hf(root, &["lfs-enable-largefiles", path]).well();
    const { assert!(LARGE > MULTIPART_ABOVE) };
    write_noise(&work.path().join("large.bin"), LARGE);
    work.commit_all();
    work.git(&["push", "-q", "origin", "main"]).well();
    for (host, method, part, times) in [
        (SITE, "POST", "/objects/batch", 1),
        (UPLOADS, "PUT", "partNumber=", 4),
        (SITE, "POST", "/api/complete_multipart", 1),
        (SITE, "POST", "/objects/verify", 1),
    ] {
        let seen = world.hub.seen();
        let count = world.hub.count(host, method, part);
        assert_eq!(count, times, "{method} {host} {part}: {seen:#?}");
    }
    let copy = git.clone_to(root.join("copy"), &url);
    let [here, there] = [&work, &copy].map(|tree| fs::read(tree.path().join("large.bin")).unwrap());
    assert_eq!(here, there);
    assert_eq!(world.hub.count(DOWNLOADS, "GET", "/repos/"), 1);
    scenes::assert_the_token_stays(&world.hub);
    world.assert_nothing_went_past();
}

#[test]
fn the_agent_goes_through_the_connect_front() {
    goes_up_in_parts(CONNECT);
}

#[test]
fn the_agent_goes_through_the_reverse_front() {
    goes_up_in_parts(REVERSE);
}

#[test]
fn the_agent_goes_onto_a_mirror() {
    goes_up_in_parts(MIRRORED);
}
