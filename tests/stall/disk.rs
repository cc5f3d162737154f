//! A disk that is full: an upload goes on without what would let it be sent again, and the log says so.

use std::fs;

use crate::{
    acting::{settings, work},
    support::{
        ferry::Ferry, process::wait_until, relay::Relay, small_disk::SmallDisk, world::World,
    },
};

const IN_FILES: &str = "[replay]\nmemory = \"0 B\"\nspool = \"1 GiB\"";

#[test]
fn an_upload_goes_on_where_the_disk_is_full_and_the_log_says_so() {
    let world = World::new();
    let Some(_disk) = SmallDisk::at(&world.path("ferry/state/spool")) else {
        return;
    };
    let ferry = Ferry::start(&settings(&world, &["direct"], world.lfs.storage).section(IN_FILES));
    let work = work(&world, &world.git_through(&ferry), &[5_000_000]);
    work.git(&["push", "-q", "origin", "main"]).well();
    assert_eq!(world.lfs.seen("PUT"), 1);
    assert_eq!(world.lfs.objects().len(), 1);
    let told = ferry.wait_for_events("upload no longer kept for replay", 1);
    let reason = told[0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("the spool file: "), "{reason}");
    assert!(reason.contains("No space left"), "{reason}");
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

/// What breaks after the disk was full cannot be sent again: git-lfs gets an error, and tries again itself.
#[test]
fn an_upload_that_breaks_where_the_disk_is_full_is_git_lfs_to_send_again() {
    let world = World::new();
    let Some(_disk) = SmallDisk::at(&world.path("ferry/state/spool")) else {
        return;
    };
    let path = Relay::resets_uploads(1, 3_000_000, world.lfs.storage);
    let ferry = Ferry::start(&settings(&world, &["direct"], path.address).section(IN_FILES));
    let work = work(&world, &world.git_through(&ferry), &[5_000_000]);
    work.git(&["push", "-q", "origin", "main"]).well();
    assert_eq!(world.lfs.objects().len(), 1);
    assert_eq!(ferry.fault_codes(), ["origin/sending-body/reset"]);
    let spool = world.path("ferry/state/spool");
    assert!(wait_until(crate::support::ferry::SOON, || fs::read_dir(
        &spool
    )
    .unwrap()
    .count()
        == 0));
}
