//! All requests of a push stay on their routes: on a mirror, and on the reverse front without any CA.

use std::{collections::BTreeSet, fs, path::Path};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    background::Background,
    ca::Flaw,
    client::{Git, Work, write_noise},
    ferry::Ferry,
    lfs_storage::hex,
    mirror::{MIRROR, Mirror},
    settings::Settings,
    world::{MAIN, STORAGE, World},
};

pub(crate) fn mirror(world: &World, base: &str) -> Mirror {
    let leaf = world
        .ca
        .files("mirror", &world.ca.leaf(&[MIRROR], Flaw::None));
    Mirror::start(world.path("mirror"), &leaf, base, MAIN, world.host.https)
}

/// A mirror as an upstream, `more` beside its URL.
pub(crate) fn upstream(base: &str, more: &str) -> String {
    format!("{{ via = \"direct\", mirror = \"https://{MIRROR}{base}\"{more} }}")
}

/// The main site by `upstreams`, the storage directly.
pub(crate) fn mirrored(world: &World, mirror: &Mirror, upstreams: &str) -> Settings {
    let at = [(MIRROR, mirror.address), (MAIN, world.host.https)];
    world
        .settings()
        .route_as_written(MAIN, upstreams, &at)
        .route(STORAGE, "terminate", &["direct"], world.lfs.storage)
}

pub(crate) const PASS: &str = ", credentials = \"pass\"";

/// A work tree with three tracked objects, committed.
pub(crate) fn work_with_objects(world: &World, git: &Git, url: &str) -> Work {
    world.host.repository("lfs");
    let work = git.work(world.path("work"), url);
    work.track_lfs();
    for number in 0..3 {
        write_noise(&work.path().join(format!("{number}.bin")), 20_000 + number);
    }
    work.commit_all();
    work
}

pub(crate) fn hashes(tree: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(tree).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let objects = files.filter(|path| path.extension().is_some_and(|end| end == "bin"));
    let hash =
        |path| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &fs::read(path).unwrap());
    objects.map(|path| hex(hash(path).as_ref())).collect()
}

/// Push, clone, and the same objects at every place.
pub(crate) fn pushes_and_pulls(world: &World, git: &Git, url: &str) {
    let work = work_with_objects(world, git, url);
    work.git(&["push", "-q", "origin", "main"]).well();
    let here = hashes(work.path());
    assert_eq!(here.len(), 3);
    assert_eq!(world.lfs.seen("PUT"), 3, "an object was sent twice");
    assert_eq!(world.lfs.seen("verify"), 3);
    let copy = git.clone_to(world.path("copy"), url);
    assert_eq!(hashes(copy.path()), here);
    assert_eq!(world.lfs.seen("GET"), 3);
}

/// Requests of the mirror's log that have `part`.
pub(crate) fn count(requests: &str, part: &str) -> usize {
    requests.lines().filter(|line| line.contains(part)).count()
}

fn stays_on_the_mirror(base: &str, http: &str) {
    let world = World::new();
    let mirror = mirror(&world, base);
    let at = [(MIRROR, mirror.address), (MAIN, world.host.https)];
    let settings = world
        .settings()
        .route(STORAGE, "terminate", &["direct"], world.lfs.storage)
        .route_as_written(MAIN, &upstream(base, PASS), &at)
        .route_line(&format!("http = \"{http}\""));
    let ferry = Ferry::start(&settings);
    let git = world.git_through(&ferry);
    pushes_and_pulls(&world, &git, &format!("https://{MAIN}/lfs.git"));
    let seen = mirror.requests();
    for (part, times) in [
        ("git-receive-pack HTTP", 2),
        ("objects/batch", 2),
        ("info/lfs/verify", 3),
    ] {
        assert!(count(&seen, part) >= times, "{part}:\n{seen}");
    }
    let spoken = if http == "2" {
        "HTTP/2.0 |"
    } else {
        "HTTP/1.1 |"
    };
    assert_eq!(count(&seen, spoken), seen.lines().count(), "{seen}");
    // Every request to the site went through its mirror.
    assert_eq!(
        world.host.https_requests().lines().count(),
        seen.lines().count(),
        "{seen}"
    );
    for event in ferry.events("transfer ended") {
        let mirrored = event["upstream"] == format!("direct to {MIRROR}{base}");
        assert_eq!(mirrored, event["host"] == MAIN, "{event}");
        assert_ne!(event["host"], MIRROR, "the client learned of it: {event}");
    }
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

#[test]
fn a_push_with_objects_stays_on_the_mirror_to_the_end() {
    stays_on_the_mirror("", "1.1");
}

#[test]
fn a_push_with_objects_stays_on_a_mirror_with_a_base_path() {
    stays_on_the_mirror("/hub", "1.1");
}

#[test]
fn a_push_with_objects_stays_on_a_mirror_that_speaks_http_2() {
    stays_on_the_mirror("/hub", "2");
}

/// The control: the same mirror, spoken to by git itself; gitferry only sees whom git asks for.
#[test]
fn without_gitferry_a_push_onto_the_mirror_leaves_it() {
    let world = World::new();
    let mirror = mirror(&world, "");
    let settings = world
        .settings()
        .route(MIRROR, "tunnel", &["direct"], mirror.address)
        .route(MAIN, "tunnel", &["direct"], world.host.https)
        .route(STORAGE, "tunnel", &["direct"], world.lfs.storage);
    let ferry = Ferry::start(&settings);
    let git = world.git_in_tunnels(&ferry);
    let work = work_with_objects(&world, &git, &format!("https://{MIRROR}/lfs.git"));
    work.git(&["push", "-q", "origin", "main"]).well();
    assert_eq!(count(&mirror.requests(), "info/lfs/verify"), 0);
    ferry.wait_for_transfer(MAIN, |_| true);
}

#[test]
fn a_redirect_of_the_mirror_is_mapped_to_the_site() {
    let world = World::new();
    let mirror = mirror(&world, "/hub");
    let ferry = Ferry::start(&mirrored(&world, &mirror, &upstream("/hub", "")));
    let url = format!("https://{MAIN}/moved.git/info/refs?service=git-upload-pack");
    let ask = ["-D", "-", "-o", "/dev/null", &url];
    let head = world.git().curl_by(&ferry, &ask).well();
    let head = head.stdout.to_lowercase();
    let there = format!("location: https://{MAIN}/lfs.git/info/refs?service=git-upload-pack\r\n");
    assert!(head.contains(&there), "{head}");
}

#[test]
fn a_mirror_gets_no_password_and_git_shows_why_it_cannot_push() {
    let world = World::with_account(Some(("me", "planted-password")));
    let mirror = mirror(&world, "");
    let ferry = Ferry::start(&mirrored(&world, &mirror, &upstream("", "")));
    let git = world.git_through(&ferry);
    let url = format!("https://me:planted-password@{MAIN}/lfs.git");
    let work = work_with_objects(&world, &git, &url);
    let failed = work.git(&["push", "-q", "origin", "main"]).badly();
    assert!(failed.stderr.contains("credentials = \"pass\""), "{failed}");
    let failed = work.git(&["fetch", "-q"]).badly();
    assert!(failed.stderr.contains("credentials = \"pass\""), "{failed}");
    let seen = mirror.requests();
    assert!(
        !seen.is_empty() && seen.lines().all(|line| line.ends_with("| -")),
        "{seen}"
    );
    let faults = ferry.fault_codes();
    let withheld = |fault: &String| fault.ends_with("/credentials-withheld");
    assert!(
        !faults.is_empty() && faults.iter().all(withheld),
        "{faults:?}"
    );
}

#[test]
fn the_site_stands_in_for_a_mirror_that_wants_a_password() {
    let world = World::with_account(Some(("me", "planted-password")));
    let mirror = mirror(&world, "");
    let both = upstream("", "") + ", { via = \"direct\" }";
    let settings = mirrored(&world, &mirror, &both);
    let ferry = Ferry::start(&settings);
    let url = format!("https://me:planted-password@{MAIN}/lfs.git");
    pushes_and_pulls(&world, &world.git_through(&ferry), &url);
    assert!(
        !mirror.requests().contains("Basic"),
        "{}",
        mirror.requests()
    );
}

#[test]
fn without_any_ca_every_leg_takes_the_reverse_front() {
    let world = World::new();
    let ferry = Ferry::start(&world.plain_settings());
    let url = format!("http://{}/{MAIN}/lfs.git", ferry.address);
    pushes_and_pulls(&world, &world.git(), &url);
    for event in ferry.events("transfer ended") {
        assert_eq!(event["front"], "reverse", "{event}");
    }
    for host in [MAIN, STORAGE] {
        ferry.wait_for_transfer(host, |_| true);
    }
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

/// As `gitferry setup git lfs --no-ca` writes it: the remote keeps its own URL.
#[test]
fn with_rewritten_remotes_every_leg_takes_the_reverse_front_too() {
    let world = World::new();
    let ferry = Ferry::start(&world.plain_settings());
    let front = |host: &str| format!("url.http://{}/{host}/.insteadOf", ferry.address);
    let git = world
        .git()
        .with("lfs.transfer.enablehrefrewrite", "true")
        .with(&front(MAIN), format!("https://{MAIN}/"))
        .with(&front(STORAGE), format!("https://{STORAGE}/"));
    pushes_and_pulls(&world, &git, &format!("https://{MAIN}/lfs.git"));
    for event in ferry.events("transfer ended") {
        assert_eq!(event["front"], "reverse", "{event}");
    }
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

/// The lines of `gitferry help reverse` let the helper of the real host answer on the reverse front.
#[test]
fn on_the_reverse_front_the_credentials_of_the_real_host_serve() {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/manual/reverse.md");
    let manual = fs::read_to_string(manual).unwrap();
    let at = manual.find("    [credential ").expect("the lines");
    let world = World::with_account(Some(("me", "planted-password")));
    let ferry = Ferry::start(&world.plain_settings());
    let directory = tempfile::tempdir().unwrap();
    let lines = directory.path().join("credential");
    fs::write(
        &lines,
        manual[at..].replace("127.0.0.1:4483", &ferry.address.to_string()),
    )
    .unwrap();
    let front = format!("http://{}", ferry.address);
    let git = world
        .git()
        .with("include.path", lines.to_str().unwrap())
        .with(
            &format!("credential.https://{MAIN}.helper"),
            "!f() { echo username=me; echo password=planted-password; }; f",
        );
    pushes_and_pulls(&world, &git, &format!("{front}/{MAIN}/lfs.git"));
    assert!(!ferry.log().contains("planted-password"));
}

#[test]
fn the_reverse_front_and_a_mirror_go_together() {
    let world = World::new();
    let mirror = mirror(&world, "/hub");
    let settings = mirrored(&world, &mirror, &upstream("/hub", PASS));
    let ferry = Ferry::start(&settings);
    let url = format!("http://{}/{MAIN}/lfs.git", ferry.address);
    pushes_and_pulls(&world, &world.git(), &url);
    assert_eq!(count(&mirror.requests(), "info/lfs/verify"), 3);
    let seen = mirror.requests().lines().count();
    assert_eq!(world.host.https_requests().lines().count(), seen);
}

#[test]
fn a_plain_host_on_any_port_is_cloned_through_the_reverse_front() {
    let world = World::new();
    world.host.repository("plain");
    let at = world.host.http;
    let settings = world
        .settings()
        .route("plain.test", "tunnel", &["direct"], at);
    let ferry = Ferry::start(&settings);
    let url = format!("http://{}/http:plain.test:8080/plain.git", ferry.address);
    let work = world.git().work(world.path("work"), &url);
    let pushed = work.commit("first", 10_000);
    work.git(&["push", "-q", "origin", "main"]).well();
    let copy = world.git().clone_to(world.path("copy"), &url);
    assert_eq!(copy.hash("HEAD"), pushed);
}

/// Clients tell by the name whether a redirect leaves the site; every host of the reverse front has the daemon's name.
#[test]
fn a_redirect_to_the_storage_leaves_the_password_behind() {
    let world = World::new();
    let background = Background::new();
    let (seen, heads) = std::sync::mpsc::channel();
    let origin = background.serve(move |mut stream, _| {
        let seen = seen.clone();
        async move {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
            let answer = if head.contains("host: main.test") {
                "HTTP/1.1 302 Found\r\nlocation: http://storage.test:8080/x?s=1\r\n"
            } else {
                "HTTP/1.1 200 OK\r\n"
            };
            let _ = seen.send(head);
            let answer = format!("{answer}connection: close\r\ncontent-length: 0\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let settings = world
        .settings()
        .route(MAIN, "tunnel", &["direct"], origin)
        .route(STORAGE, "tunnel", &["direct"], origin);
    let ferry = Ferry::start(&settings);
    let url = format!("http://{}/{MAIN}:80/x", ferry.address);
    let ask = [
        "-L",
        "-u",
        "me:planted-password",
        "-w",
        "%{http_code}",
        &url,
    ];
    assert_eq!(world.git().curl(&ask).well().stdout, "200");
    let heads: Vec<String> = heads.try_iter().collect();
    assert_eq!(heads.len(), 2, "{heads:?}");
    assert!(heads[0].contains("authorization: basic"), "{}", heads[0]);
    assert!(
        heads[1].starts_with("get /x?s=1 http/1.1\r\n"),
        "{}",
        heads[1]
    );
    assert!(
        heads[1].contains("host: storage.test:8080\r\n"),
        "{}",
        heads[1]
    );
    assert!(!heads[1].contains("authorization"), "{}", heads[1]);
}
