//! A name server that never answers: each name is asked for once at a time, and no other transfer waits for it.

use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{
    background::Background,
    ferry::{Ferry, SOON},
    process::wait_until,
    script::{OK, read_until},
    skip::{Need, is_root, skipped},
    world::World,
};

/// Where it listens; nobody else does.
const SERVER: &str = "127.0.53.99:53";
/// More names than `gitferry-names` has threads.
const NAMES: usize = 40;
const SAME: usize = 20;
const SIZE: usize = 1_000_000;

/// The names that were asked for, one entry for each packet.
type Asked = Arc<Mutex<Vec<String>>>;

/// The name in a query (RFC 1035, section 4.1.2).
fn name_in(query: &[u8]) -> String {
    let mut labels = Vec::new();
    let mut rest = query.get(12..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let (label, next) = after.split_at(usize::from(*length).min(after.len()));
        labels.push(String::from_utf8_lossy(label).into_owned());
        rest = next;
    }
    labels.join(".")
}

/// Listens and never answers; `None` where this user may not listen on port 53.
fn never_answers() -> Option<Asked> {
    let socket = match UdpSocket::bind(SERVER) {
        Ok(socket) => socket,
        Err(error) => {
            skipped(Need::Root, &format!("{SERVER} cannot be bound: {error}"));
            return None;
        }
    };
    let asked = Asked::default();
    let seen = Arc::downgrade(&asked);
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Some(seen) = seen.upgrade() {
            if let Ok(length) = socket.recv(&mut query) {
                seen.lock().unwrap().push(name_in(&query[..length]));
            }
        }
    });
    Some(asked)
}

/// Takes an upload whole, on each connection.
fn storage(background: &Background) -> SocketAddr {
    background.serve(|mut stream, _| async move {
        read_until(&mut stream, b"\r\n\r\n").await;
        let mut body = vec![0; SIZE];
        if stream.read_exact(&mut body).await.is_ok() {
            let _ = stream.write_all(OK.as_bytes()).await;
        }
    })
}

#[test]
fn a_resolver_that_never_answers_is_asked_once_for_a_name_and_holds_no_other_transfer_up() {
    if !is_root("a resolv.conf of its own") {
        return;
    }
    let Some(asked) = never_answers() else {
        return;
    };
    let world = World::new();
    let background = Background::new();
    let resolv = world.path("resolv.conf");
    let server = SERVER.trim_end_matches(":53");
    let text = format!("nameserver {server}\noptions timeout:30 attempts:1\n");
    fs::write(&resolv, text).unwrap();
    let settings = world
        .settings()
        .route("storage.test", "tunnel", &["direct"], storage(&background))
        .route_line("replay = true")
        .section("[replay]\nmemory = \"0 B\"\nspool = \"64 MiB\"")
        .section(
            "[[route]]\nname = \"silent\"\nhosts = [\"*.silent.test\"]\ntls = \"tunnel\"\nupstreams = [{ via = \"direct\" }]",
        );
    let mount = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let mount = ["--mount", "sh", "-c", mount, resolv.to_str().unwrap()];
    let ferry = Ferry::start_under("/usr/bin/unshare", &mount, &settings);
    let names = (0..SAME)
        .map(|_| "same".to_owned())
        .chain((0..NAMES).map(|number| format!("name-{number}")));
    let ask = |name: String| {
        let host = format!("{name}.silent.test");
        let mut client = TcpStream::connect(ferry.address).unwrap();
        let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.write_all(request.as_bytes()).unwrap();
        client
    };
    let waiting: Vec<TcpStream> = names.map(ask).collect();
    let different = || {
        let mut names = asked.lock().unwrap().clone();
        names.sort_unstable();
        names.dedup();
        names.len()
    };
    assert!(wait_until(SOON, || different() >= 16), "{:?}", asked.lock());
    // A and AAAA, once each.
    let same = asked
        .lock()
        .unwrap()
        .iter()
        .filter(|name| name.starts_with("same."))
        .count();
    assert!((1..=2).contains(&same), "{same}: {:?}", asked.lock());
    let tasks = fs::read_dir(ferry.proc("task")).unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    let resolving = names.filter(|name| name.trim() == "gitferry-names").count();
    assert!((1..=16).contains(&resolving), "{resolving} threads");
    let begun = Instant::now();
    for number in 0..8 {
        let head = format!(
            "PUT http://storage.test/{number} HTTP/1.1\r\nHost: storage.test\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n"
        );
        let answer = ferry.say(&(head + &"x".repeat(SIZE)));
        assert!(
            answer.starts_with("HTTP/1.1 200"),
            "{answer}\n{}",
            ferry.log()
        );
    }
    // The resolver takes 30 s for a name.
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(ferry.transfers().len(), waiting.len());
}
