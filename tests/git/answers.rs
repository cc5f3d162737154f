//! Answers that are to be rewritten, and are compressed, damaged, far too large, or of another shape.

use std::{fs, io::Write as _, net::SocketAddr};

use flate2::{Compression, write::GzEncoder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    mirrors::{PASS, mirror, mirrored, pushes_and_pulls, upstream, work_with_objects},
    support::{
        background::Background,
        client::Git,
        ferry::Ferry,
        world::{MAIN, STORAGE, World},
    },
};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An origin whose answers are `bodies`, one a connection, with `fields` in their heads.
fn origin(bodies: Vec<(&'static str, Vec<u8>)>) -> (Background, SocketAddr) {
    let background = Background::new();
    let address = background.serve(move |mut stream, number| {
        let (fields, body) = bodies[(number - 1).min(bodies.len() - 1)].clone();
        async move {
            let mut head = vec![0; 4096];
            let _ = stream.read(&mut head).await;
            let length = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\n{fields}connection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
        }
    });
    (background, address)
}

/// The daemon before such an origin, and the URL of its batch API on the reverse front.
fn before(world: &World, origin: SocketAddr) -> (Ferry, String) {
    let settings = world
        .settings()
        .route("plain.test", "tunnel", &["direct"], origin);
    let ferry = Ferry::start(&settings);
    let url = format!("http://{}/plain.test:80/objects/batch", ferry.address);
    (ferry, url)
}

/// The body of the answer, as curl has it.
fn asked(world: &World, url: &str) -> Vec<u8> {
    let file = world.path("answer");
    let ask = ["-X", "POST", "-o", file.to_str().unwrap(), url];
    world.git().curl(&ask).well();
    fs::read(file).unwrap()
}

const JSON: &str = "content-type: application/vnd.git-lfs+json\r\n";
const GZIP: &str = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
const BROTLI: &str = "content-type: application/json\r\ncontent-encoding: br\r\n";
const LATIN: &str = "content-type: application/json; charset=iso-8859-1\r\n";

#[test]
fn what_cannot_be_rewritten_reaches_the_client_unchanged() {
    let whole = br#"{"objects":[{"actions":{"upload":{"href":"https://plain.test/x"}}}]}"#;
    let utf16 = String::from_utf8_lossy(whole)
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let packed = gzip(whole);
    let cases = [
        (JSON, whole[..30].to_vec(), "not JSON, or incomplete"),
        (
            JSON,
            b"<html>blocked</html>".to_vec(),
            "not JSON, or incomplete",
        ),
        (
            JSON,
            [b"[".repeat(10_000), b"]".repeat(10_000)].concat(),
            "nested too deeply",
        ),
        (LATIN, b"{\"message\":\"d\xe9j\xe0\"}".to_vec(), "not UTF-8"),
        (JSON, utf16, "not"),
        (GZIP, whole.to_vec(), "cannot be decompressed"),
        (
            GZIP,
            packed[..packed.len() - 9].to_vec(),
            "cannot be decompressed",
        ),
        (BROTLI, packed.clone(), "does not support"),
    ];
    let world = World::new();
    let bodies = cases
        .iter()
        .map(|(fields, body, _)| (*fields, body.clone()));
    let (_background, origin) = origin(bodies.collect());
    let (ferry, url) = before(&world, origin);
    for (number, (fields, body, cause)) in cases.iter().enumerate() {
        assert_eq!(&asked(&world, &url), body, "{fields}{cause}");
        let told = ferry.wait_for_events("response not rewritten", number + 1);
        assert_eq!(told.len(), number + 1, "{cause}");
        let said = told[number]["cause"].as_str().unwrap();
        assert!(said.contains(cause), "{said:?} for {cause:?}");
        assert_eq!(told[number]["rewrite"], "lfs-batch");
    }
}

#[test]
fn a_response_that_links_to_a_host_without_a_route_is_logged_with_the_host() {
    let body = br#"{"objects":[{"actions":{"upload":{"href":"https://evil.test/x"}}}]}"#;
    let world = World::new();
    let (_background, origin) = origin(vec![(JSON, body.to_vec())]);
    let (mut ferry, url) = before(&world, origin);
    assert_eq!(asked(&world, &url), body);
    let told = ferry.wait_for_event("response links to a host without a route");
    assert_eq!(told["to"], "evil.test:443");
    assert!(
        told["advice"]
            .as_str()
            .unwrap()
            .contains("`allow` of `[reverse]`")
    );
}

/// 1 GiB in 1 MB: of a batch answer, and of blanks alone.
#[test]
fn a_gzip_bomb_costs_no_more_than_the_limit() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"{\"objects\":[").unwrap();
    let blanks = vec![b' '; 1024 * 1024];
    for _ in 0..1024 {
        encoder.write_all(&blanks).unwrap();
    }
    encoder.write_all(b"]}").unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 8 * 1024 * 1024, "{}", bomb.len());
    let world = World::new();
    let (_background, origin) = origin(vec![(GZIP, bomb.clone())]);
    let (mut ferry, url) = before(&world, origin);
    let before = ferry.memory("VmRSS");
    ferry.forget_peak();
    assert!(asked(&world, &url) == bomb, "other bytes came");
    let told = ferry.wait_for_event("response not rewritten");
    let cause = told["cause"].as_str().unwrap();
    assert!(
        cause.starts_with("the decompressed body is larger"),
        "{cause}"
    );
    let grown = ferry.memory("VmHWM").saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB above {before} KiB");
}

#[test]
fn a_compressed_batch_answer_stays_on_the_reverse_front() {
    let world = World::new();
    world.lfs.compresses();
    let ferry = Ferry::start(&world.plain_settings());
    let url = format!("http://{}/{MAIN}/lfs.git", ferry.address);
    pushes_and_pulls(&world, &world.git(), &url);
    ferry.wait_for_transfer(STORAGE, |event| event["front"] == "reverse");
    assert_eq!(
        ferry.events("response not rewritten"),
        Vec::<serde_json::Value>::new()
    );
}

/// What a storage sends with `Content-Encoding` is the object as it is kept: not a byte of it is touched.
#[test]
fn an_object_that_is_kept_compressed_passes_untouched() {
    let object = gzip(&b"https://plain.test/x ".repeat(1000));
    let world = World::new();
    let (_background, origin) = origin(vec![(GZIP, object.clone())]);
    let (ferry, _) = before(&world, origin);
    let url = format!("http://{}/plain.test:80/repos/aa/bb/object", ferry.address);
    let (file, heads) = (world.path("object"), world.path("heads"));
    let [to, head] = [&file, &heads].map(|path| path.to_str().unwrap());
    world.git().curl(&["-o", to, "-D", head, &url]).well();
    assert_eq!(fs::read(file).unwrap(), object);
    let heads = fs::read_to_string(heads).unwrap().to_lowercase();
    assert!(heads.contains("content-encoding: gzip"), "{heads}");
}

fn locks_work(world: &World, git: &Git, url: &str) {
    world.lfs.keeps_locks();
    let work = work_with_objects(world, git, url);
    work.git(&["push", "-q", "origin", "main"]).well();
    work.git(&["lfs", "lock", "1.bin"]).well();
    assert_eq!(world.lfs.locked(), ["1.bin"]);
    let told = work.git(&["lfs", "locks"]).well();
    assert!(told.stdout.starts_with("1.bin"), "{told}");
    work.commit("1.bin", 30_000);
    // Asks locks/verify first.
    work.git(&["push", "-q", "origin", "main"]).well();
    work.git(&["lfs", "unlock", "1.bin"]).well();
    assert_eq!(world.lfs.locked(), Vec::<String>::new());
    // Push, lock, list, push, find by path, unlock.
    assert!(world.lfs.seen("locks") >= 6, "{}", world.lfs.seen("locks"));
}

#[test]
fn locks_work_on_the_reverse_front() {
    let world = World::new();
    let ferry = Ferry::start(&world.plain_settings());
    let url = format!("http://{}/{MAIN}/lfs.git", ferry.address);
    locks_work(&world, &world.git(), &url);
}

#[test]
fn locks_work_on_a_mirror() {
    let world = World::new();
    let mirror = mirror(&world, "/hub");
    let settings = mirrored(&world, &mirror, &upstream("/hub", PASS));
    let ferry = Ferry::start(&settings);
    let git = world.git_through(&ferry);
    locks_work(&world, &git, &format!("https://{MAIN}/lfs.git"));
    let seen = mirror.requests();
    let on = seen.lines().filter(|line| line.contains("/info/lfs/locks"));
    assert_eq!(
        on.count(),
        world.lfs.seen("locks"),
        "past the mirror:\n{seen}"
    );
}

/// GitLab keeps objects below the project, on its own name (app/controllers/repositories/lfs_api_controller.rb; here on another
/// port, as behind many a company's balancer); GitHub on another host, below a path (github-cloud.githubusercontent.com/alambic/…).
#[test]
fn objects_on_another_port_or_below_a_path_stay_on_the_reverse_front() {
    for base in [
        format!("https://{MAIN}:8443/group/sub/project.git/gitlab-lfs/objects"),
        format!("https://{STORAGE}/alambic/media/1234"),
    ] {
        let world = World::new();
        world.lfs.storage_is_at(&base);
        let objects = format!(
            "[[route]]\nname = \"objects\"\nrole = \"lfs-storage\"\nhosts = [\"{MAIN}\"]\nports = [8443]\n\
             tls = \"terminate\"\nupstreams = [{{ via = \"direct\" }}]\nresolve = {{ \"{MAIN}\" = \"{}\" }}",
            world.lfs.storage
        );
        let ferry = Ferry::start(&world.plain_settings().section(&objects));
        let url = format!("http://{}/{MAIN}/lfs.git", ferry.address);
        pushes_and_pulls(&world, &world.git(), &url);
        let host = if base.contains(":8443") {
            MAIN
        } else {
            STORAGE
        };
        ferry.wait_for_transfer(host, |event| {
            event["method"] == "PUT" && event["front"] == "reverse"
        });
    }
}

/// 100 MB where a few KB were due, with a length and without one.
#[test]
fn an_answer_that_is_far_too_large_costs_no_more_than_its_limit() {
    let world = World::new();
    let background = Background::new();
    let origin = background.serve(|mut stream, number| async move {
        let mut head = vec![0; 4096];
        let _ = stream.read(&mut head).await;
        let framing = if number == 1 {
            "content-length: 104857600"
        } else {
            "connection: close"
        };
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{framing}\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let piece = vec![b'['; 1024 * 1024];
        for _ in 0..100 {
            if stream.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let settings = world
        .settings()
        .route("plain.test", "tunnel", &["direct"], origin);
    let ferry = Ferry::start(&settings);
    let url = format!("http://{}/plain.test:80/objects/batch", ferry.address);
    let before = ferry.memory("VmRSS");
    ferry.forget_peak();
    for times in 1..=2 {
        let ask = [
            "-X",
            "POST",
            "-w",
            "%{size_download}",
            "-o",
            "/dev/null",
            &url,
        ];
        assert_eq!(world.git().curl(&ask).well().stdout, "104857600");
        let told = ferry.wait_for_events("response not rewritten", times);
        assert_eq!(told.len(), times);
    }
    let grown = ferry.memory("VmHWM") - before;
    assert!(grown < 48 * 1024, "{grown} KiB above {before} KiB");
}
