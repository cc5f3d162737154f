//! HTTP/2 on both sides: curl to gitferry, gitferry to nginx. What arrives is what was sent.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fs,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    Response,
    body::{Body, Frame},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio_util::bytes::Bytes;

use crate::{
    over_http2,
    support::{
        access_log::AccessLog,
        background::Background,
        ca::Flaw,
        client::write_noise,
        ferry::{Ferry, SOON},
        process::{Server, clean_command, wait_until},
        relay::Relay,
        world::{MAIN, World},
    },
};

pub(crate) const SIZE: u64 = 24 * 1024 * 1024;
const DOWN: &str = "https://main.test/down";
const PUT: &str = "https://main.test/put";

/// nginx that speaks HTTP/2, files below `dir/files`, with the log of its requests.
pub(crate) fn nginx(world: &World, dir: &Path) -> (Server, SocketAddr, AccessLog) {
    let log = AccessLog::at(dir.join("access"));
    fs::create_dir_all(dir.join("files")).unwrap();
    let leaf = world.ca.files("h2", &world.ca.leaf(&[MAIN], Flaw::None));
    let (server, address) = Server::start_on_a_port("nginx-h2", dir, |address| {
        let at = dir.display();
        let (access, log_server) = (log.file().display(), log.server_block());
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log stderr info; events {{}}
            http {{
              log_format h2 '$request_method $server_protocol $status $connection'; access_log {access} h2;
              client_max_body_size 0; client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
              fastcgi_temp_path {at}/fastcgi; uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
              {log_server}
              server {{
                listen {address} ssl http2; ssl_certificate {}; ssl_certificate_key {};
                root {at}/files; dav_methods PUT;
              }}
            }}",
            leaf.certificate.display(),
            leaf.key.display()
        );
        let file = dir.join("nginx.conf");
        fs::write(&file, config).unwrap();
        let mut command = clean_command("/usr/sbin/nginx", dir);
        command.arg("-c").arg(file).arg("-e").arg("stderr");
        command
    });
    (server, address, log)
}

/// curl with HTTP/2; says which version it got, and the status.
pub(crate) fn curl(world: &World, ferry: &Ferry, arguments: &[&str]) -> String {
    let shown = ["--http2", "-w", "%{http_version} %{http_code}"];
    let all = [&shown[..], arguments].concat();
    world.git().curl_by(ferry, &all).well().stdout
}

#[test]
fn http2_carries_a_download_and_an_upload_byte_by_byte() {
    let world = World::new();
    let dir = world.path("h2");
    fs::create_dir_all(dir.join("files")).unwrap();
    write_noise(&dir.join("files/down"), SIZE);
    write_noise(&dir.join("up"), SIZE);
    let (_nginx, address, log) = nginx(&world, &dir);
    let ferry = over_http2(&world, address);
    let (got, up) = (dir.join("got"), dir.join("up"));
    let down = curl(&world, &ferry, &["-o", got.to_str().unwrap(), DOWN]);
    assert_eq!(down, "2 200");
    assert!(fs::read(&got).unwrap() == fs::read(dir.join("files/down")).unwrap());
    let put = curl(&world, &ferry, &["-T", up.to_str().unwrap(), PUT]);
    assert_eq!(put, "2 201");
    assert!(fs::read(&up).unwrap() == fs::read(dir.join("files/put")).unwrap());
    let seen = log.read();
    let seen: Vec<&str> = seen
        .lines()
        .filter_map(|line| Some(line.rsplit_once(' ')?.0))
        .collect();
    assert_eq!(seen, ["GET HTTP/2.0 200", "PUT HTTP/2.0 201"]);
}

#[test]
fn a_request_takes_seconds_after_the_network_below_an_http2_connection_changed() {
    let world = World::new();
    let dir = world.path("h2");
    fs::create_dir_all(dir.join("files")).unwrap();
    fs::write(dir.join("files/down"), "small").unwrap();
    let (_nginx, address, _) = nginx(&world, &dir);
    let path = Relay::forgets(address);
    let ferry = over_http2(&world, path.address);
    let got = dir.join("got");
    let down = || curl(&world, &ferry, &["-o", got.to_str().unwrap(), DOWN]);
    assert_eq!(down(), "2 200");
    path.changes_network();
    assert!(wait_until(SOON, || path.held() == 1), "{}", ferry.log());
    let began = tokio::time::Instant::now();
    assert_eq!(down(), "2 200");
    assert!(began.elapsed() < Duration::from_secs(60), "{}", ferry.log());
    assert_eq!(path.connections(), 2);
    assert_eq!(ferry.fault_codes(), [""; 0]);
}

/// `pool.idle_timeout` is 2 s here.
#[test]
fn a_connection_in_steady_use_outlives_its_idle_time() {
    let world = World::new();
    let dir = world.path("h2");
    let (_nginx, address, log) = nginx(&world, &dir);
    fs::write(dir.join("files/x"), "x").unwrap();
    let ferry = over_http2(&world, address);
    let url = format!("https://{MAIN}/x");
    let begun = tokio::time::Instant::now();
    let (mut asked, mut pauses, mut last) = (0, 0, begun);
    while begun.elapsed() < Duration::from_secs(5) {
        let got = world.git().curl_by(&ferry, &[&url]).well();
        assert_eq!(got.stdout, "x");
        asked += 1;
        // On a busy machine, curl may start so late that the use was not steady.
        pauses += usize::from(last.elapsed() > Duration::from_millis(1500));
        last = tokio::time::Instant::now();
    }
    let seen = log.read();
    let connections: BTreeSet<_> = seen
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .collect();
    assert_eq!(seen.lines().count(), asked, "{seen}");
    assert!(
        (1..=1 + pauses).contains(&connections.len()),
        "{pauses} pauses\n{seen}"
    );
}

/// A stream of HTTP/2 is watched as a connection is, and it alone is ended.
#[test]
fn an_upload_that_freezes_over_http2_goes_on_over_the_next_upstream() {
    let world = World::new();
    let dir = world.path("h2");
    let (_nginx, address, _) = nginx(&world, &dir);
    let up = dir.join("up");
    write_noise(&up, SIZE);
    let office = world.hop("http");
    let path = Relay::holds_after(1 << 20, office.address());
    let settings = world
        .settings()
        .section("[stall]\nafter = \"2s\"\nfloor = \"0 B\"")
        .hop("office", &format!("http://{}", path.address))
        .route(MAIN, "terminate", &["office", "direct"], address)
        .route_line("http = \"2\"")
        .route_line("replay = true")
        .route_line("stall = { action = \"failover\" }");
    let ferry = Ferry::start(&settings);
    let put = curl(&world, &ferry, &["-T", up.to_str().unwrap(), PUT]);
    assert_eq!(put, "2 201");
    assert!(fs::read(&up).unwrap() == fs::read(dir.join("files/put")).unwrap());
    let told = &ferry.wait_for_events("stall", 1)[0];
    assert_eq!(
        (&told["verdict"], &told["leg"], &told["upstream"]),
        (&"peer-not-reading".into(), &"hop".into(), &"office".into()),
        "{told:#}"
    );
    let put = ferry.wait_for_transfer(MAIN, |event| event["method"] == "PUT");
    assert_eq!(
        (&put["attempts"], &put["upstream"], &put["result"]),
        (&2.into(), &"direct".into(), &"answered".into()),
        "{put:#}"
    );
}

/// Two frames; that they were all is said apart, as many servers do.
struct InTwoFrames(u8);

impl Body for InTwoFrames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0 += 1;
        Poll::Ready((self.0 <= 2).then(|| Ok(Frame::data(Bytes::from_static(b"half")))))
    }
}

/// An origin that answers in two frames, below so many fields of so many bytes.
fn in_two_frames(
    world: &World,
    background: &Background,
    (fields, bytes): (usize, usize),
) -> SocketAddr {
    let acceptor = world.ca.leaf(&[MAIN], Flaw::None).acceptor(&["h2"]);
    background.serve(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(|_| async move {
                let mut answer = Response::builder().header("content-length", 8);
                for number in 0..fields {
                    answer = answer.header(format!("x-{number}"), "a".repeat(bytes));
                }
                Ok::<_, Infallible>(answer.body(InTwoFrames(0)).unwrap())
            });
            let _ = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
}

/// What curl gets over either version of an answer with so many fields of so many bytes, and the faults.
fn with_fields(fields: (usize, usize)) -> ([String; 2], Vec<String>) {
    let world = World::new();
    let background = Background::new();
    let address = in_two_frames(&world, &background, fields);
    let ferry = over_http2(&world, address);
    let got = [&[DOWN][..], &["--http1.1", DOWN]].map(|ask| curl(&world, &ferry, ask));
    (got, ferry.fault_codes())
}

/// `max_head` is 64 KiB by default; hyper's own limit is 16 KiB, and HTTP/2 counts 32 bytes more for each field (RFC 9113, section 6.5.2).
#[test]
fn an_answer_over_http2_has_as_large_a_head_as_over_http_1() {
    for fields in [(1, 40_000), (990, 45)] {
        let (got, faults) = with_fields(fields);
        assert_eq!(
            got,
            ["halfhalf2 200", "halfhalf1.1 200"],
            "{fields:?}: {faults:?}"
        );
    }
    let (got, faults) = with_fields((1, 120_000));
    assert!(got.iter().all(|got| got.ends_with("502")), "{got:?}");
    // h2 says of a head that is too large what it says of any broken one.
    assert_eq!(faults, ["origin/awaiting-head/bad-answer"; 2]);
}

/// A client on HTTP/1.1 is through with the last byte that was promised, and so is its transfer.
#[test]
fn an_answer_whose_end_comes_apart_is_whole() {
    let world = World::new();
    let background = Background::new();
    let address = in_two_frames(&world, &background, (1, 8));
    let ferry = over_http2(&world, address);
    let got = curl(&world, &ferry, &["--http1.1", DOWN]);
    assert_eq!(got, "halfhalf1.1 200");
    let ended = ferry.wait_for_transfer(MAIN, |event| event["method"] == "GET");
    assert_eq!(
        (&ended["result"], &ended["down"]),
        (&"answered".into(), &8.into()),
        "{ended:#}"
    );
}
