//! The situations that brought the first users here, each by its name, scaled so that a test can wait for it: small limits in place of
//! git-lfs's 30 s. What git-lfs alone makes of them is measured in `table`.

use crate::{
    acting::{QUICK, ends_stalls, settings, work},
    support::{
        ca::Flaw,
        client::Git,
        ferry::Ferry,
        hop::Hop,
        mirror::{MIRROR, Mirror},
        relay::Relay,
        world::{MAIN, STORAGE, World},
    },
};

/// TLS is let through, the request is not.
const AT_ZERO: usize = 1_500;
/// In the middle of an upload.
const AT_B: usize = 1 << 20;
const FAILOVER: &str = "stall = { action = \"failover\" }";

/// The hop's path stands still after so many bytes; another way stands behind it.
fn frozen_hop(world: &World, after: usize) -> (Ferry, Relay, Hop) {
    let office = world.hop("http");
    let path = Relay::holds_after(after, office.address());
    let settings = settings(world, &["office", "direct"], world.lfs.storage)
        .section(QUICK)
        .hop("office", &format!("http://{}", path.address))
        .route_line(FAILOVER);
    (Ferry::start(&settings), path, office)
}

#[test]
fn upload_frozen_at_zero() {
    let world = World::new();
    let (ferry, _path, _hop) = frozen_hop(&world, AT_ZERO);
    let work = work(&world, &world.git_through(&ferry), &[60_000_000]);
    work.git(&["push", "-q", "origin", "main"]).well();
    assert_eq!(world.lfs.objects().len(), 1);
    let put = ferry.wait_for_transfer(STORAGE, |event| event["method"] == "PUT");
    assert_eq!(put["upstream"], "direct", "{put:#}");
    let told = &ferry.wait_for_events("stall", 1)[0];
    assert_eq!(
        (&told["leg"], &told["upstream"]),
        (&"hop".into(), &"office".into()),
        "{told:#}"
    );
}

/// The same without another way: an error within the limit, with leg and reason in the terminal.
#[test]
fn upload_frozen_at_zero_with_no_other_way() {
    let world = World::new();
    let path = Relay::holds_after(AT_ZERO, world.lfs.storage);
    let (_ferry, git) = ends_stalls(&world, path.address);
    let work = work(&world, &git, &[60_000_000]);
    let push = work.git(&["push", "origin", "main"]).badly();
    assert!(
        push.stderr.contains("origin/sending-body/stalled-"),
        "{push}"
    );
    assert!(push.stderr.contains("gitferry: "), "{push}");
}

/// The main site and the storage are mirrored; the mirror's storage stands still in the middle.
#[test]
fn upload_frozen_at_byte_b_through_a_mirror() {
    let world = World::new();
    let leaf = world
        .ca
        .files("mirror", &world.ca.leaf(&[MIRROR], Flaw::None));
    let site = Mirror::start(world.path("site-mirror"), &leaf, "", MAIN, world.host.https);
    let storage = Mirror::start(world.path("mirror"), &leaf, "", STORAGE, world.lfs.storage);
    let path = Relay::holds_after(AT_B, storage.address);
    let mirror =
        format!("{{ via = \"direct\", mirror = \"https://{MIRROR}\", credentials = \"pass\" }}");
    let settings = world
        .settings()
        .section(QUICK)
        .route_as_written(MAIN, &mirror, &[(MIRROR, site.address)])
        .route_as_written(
            STORAGE,
            &format!("{mirror}, {{ via = \"direct\" }}"),
            &[(MIRROR, path.address), (STORAGE, world.lfs.storage)],
        )
        .route_line("replay = true")
        .route_line(FAILOVER);
    let ferry = Ferry::start(&settings);
    let work = work(&world, &world.git_through(&ferry), &[60_000_000]);
    work.git(&["push", "-q", "origin", "main"]).well();
    assert_eq!(world.lfs.objects().len(), 1);
    assert_eq!(world.lfs.seen("batch"), 1, "git-lfs tried again by itself");
    assert_eq!(
        ferry.fault_codes(),
        ["origin/sending-body/stalled-peer-not-reading"]
    );
    let put = ferry.wait_for_transfer(STORAGE, |event| event["method"] == "PUT");
    assert_eq!(
        (&put["upstream"], &put["attempts"]),
        (&"direct".into(), &2.into()),
        "{put:#}"
    );
    assert!(
        site.requests().contains("POST /lfs.git/info/lfs/verify"),
        "{}",
        site.requests()
    );
}

/// In place of 5 GB: 8 objects, of which the origin reads two at a time for 3 s each, and a git-lfs that gives a silent one up after 5 s.
fn starved(git: &Git, world: &World) -> crate::support::process::Finished {
    world.lfs.starves_beyond(2, 1_000_000);
    let git = git
        .clone()
        .with("lfs.concurrenttransfers", "8")
        .with("lfs.activitytimeout", "5")
        .with("lfs.transfer.maxretries", "1");
    let work = work(world, &git, &[3_000_000; 8]);
    work.git(&["push", "-q", "origin", "main"])
}

#[test]
fn many_objects_through_an_origin_that_serves_two_at_a_time_and_starves_the_rest() {
    let world = World::new();
    let settings = settings(&world, &["direct"], world.lfs.storage)
        .section("[interim]\nevery = \"2s\"")
        .route_line("uploads = { at_once = 2 }");
    let ferry = Ferry::start(&settings);
    starved(&world.git_through(&ferry), &world).well();
    assert_eq!(world.lfs.objects().len(), 8);
    assert_eq!(world.lfs.seen("PUT"), 8, "an object was begun anew");
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

/// The control: git-lfs as it is, in tunnels.
#[test]
fn many_objects_starve_without_gitferrys_limit() {
    let world = World::new();
    let settings = world.tunnel_settings();
    let ferry = Ferry::start(&settings);
    let git = world.git_in_tunnels(&ferry);
    let push = starved(&git, &world).badly();
    assert!(push.stderr.contains("i/o timeout"), "{push}");
}

#[test]
fn a_hop_that_reaches_the_main_site_only() {
    let world = World::new();
    let hop = Hop::reaches_only(MAIN, world.host.https);
    let settings = world
        .settings()
        .section("[stall]\nconnect_after = \"1s\"")
        .dial("attempts = 1\ngreet_timeout = \"4s\"")
        .hop_without_credentials("office", &hop.url)
        .route(MAIN, "terminate", &["office"], world.host.https)
        .route(
            STORAGE,
            "terminate",
            &["office", "direct"],
            world.lfs.storage,
        );
    let mut ferry = Ferry::start(&settings);
    let work = work(&world, &world.git_through(&ferry), &[100_000]);
    work.git(&["push", "-q", "origin", "main"]).well();
    let told = ferry.wait_for_event("stall");
    assert_eq!(
        (&told["verdict"], &told["leg"], &told["host"]),
        (&"never-connected".into(), &"hop".into(), &STORAGE.into()),
        "{told:#}"
    );
    let sibling = told["sibling"].as_str().unwrap();
    assert!(
        sibling.starts_with("main works through office"),
        "{sibling}"
    );
    assert_eq!(ferry.fault_codes(), ["hop/greeting/timed-out"]);
    let put = ferry.wait_for_transfer(STORAGE, |event| event["method"] == "PUT");
    assert_eq!(put["upstream"], "direct", "{put:#}");
}
