//! Uploads over a long and lossy path.

use std::{fs, time::Duration};

use tokio::time::Instant;

use crate::support::{
    client::write_noise,
    ferry::Ferry,
    hop::Hop,
    path::{Path, Quality},
    process::wait_until,
    skip::{Need, skipped},
    world::{MAIN, STORAGE, World},
};

/// 6 MB over 200 ms and 1 % loss: cubic takes a minute and more.
const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn an_upload_over_a_long_and_lossy_path_goes_by_bbr_and_does_not_crawl() {
    let offered = "/proc/sys/net/ipv4/tcp_available_congestion_control";
    let offered = fs::read_to_string(offered).unwrap_or_default();
    if !offered.split_whitespace().any(|name| name == "bbr") {
        skipped(Need::Kernel, "BBR is not offered");
        return;
    }
    let Some(path) = Path::new(Quality::new(Duration::from_millis(200), 10, 1)) else {
        return;
    };
    let world = World::new();
    world.host.repository("far");
    let names = [
        (&*format!("{MAIN}:443"), world.host.https),
        (&*format!("{STORAGE}:443"), world.lfs.storage),
    ];
    let hop = Hop::beyond(&path, &names);
    let settings = world
        .settings()
        .hop_without_credentials("far", &hop.url)
        .route_to(MAIN, "terminate", &["far"], None)
        .route_to(STORAGE, "terminate", &["far"], None);
    let ferry = Ferry::start(&settings);
    let work = world
        .git_through(&ferry)
        .work(world.path("work"), "https://main.test/far.git");
    work.track_lfs();
    write_noise(&work.path().join("0.bin"), 6_000_000);
    work.commit_all();
    let start = Instant::now();
    let push = work.start(&["push", "-q", "origin", "main"]);
    let mut used = None;
    let seen = wait_until(LIMIT, || {
        let transfers = ferry.transfers();
        let upload = transfers.iter().find(|one| one["host"] == STORAGE);
        used = upload.and_then(|one| one["congestion"].as_str().map(str::to_owned));
        used.is_some()
    });
    assert!(seen, "no upload in the status");
    assert_eq!(used.as_deref(), Some("bbr"));
    push.finish(LIMIT * 3).well();
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}
