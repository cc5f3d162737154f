//! Connections that are opened before their request comes, and the one that carries the commands of a push at once.

mod limit;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};

use crate::support::process::ClosedPort;
use crate::world::{
    Client, Connections, DEADLINE, OK, World, origin, read_until, route, route_by, soon,
};

/// An LFS API whose answer sends uploads to `url`, so often.
async fn api(url: &str, answers: usize) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let actions = format!(
        "{{\"verify\":{{\"href\":\"https://site.test/verify\"}},\"upload\":{{\"href\":\"{url}\"}}}}"
    );
    let body = format!("{{\"objects\":[{{\"oid\":\"1\",\"size\":4,\"actions\":{actions}}}]}}");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.git-lfs+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    origin(move |connections| async move {
        for _ in 0..answers {
            let mut stream = connections.next().await;
            read_until(&mut stream, b"{}").await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await
}

/// What git-lfs asks before an upload.
async fn asks_for_a_batch(world: &World, site: &str) {
    let batch = format!(
        "POST http://{site}/r.git/info/lfs/objects/batch HTTP/1.1\r\nHost: x\r\n\
         Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
    );
    let answer = world.answer(&batch).await;
    assert!(answer.contains("\"upload\""), "{answer}");
}

/// The daemon ends, and with it every task that could dial; nothing waits in the queue of `storage`.
async fn ends_without_a_dial(world: &mut World, storage: &TcpListener) {
    world.is_quiet().await;
    soon("the end", world.stop(DEADLINE)).await.unwrap();
    let queued = timeout(Duration::from_millis(50), storage.accept());
    assert!(queued.await.is_err(), "somebody dialled");
}

/// A terminated route to a storage that speaks plain HTTP at `address`.
fn storage_route(tls: &str, address: SocketAddr) -> String {
    format!(
        "[[route]]\nname = \"storage\"\nrole = \"lfs-storage\"\nhosts = [\"storage.test\"]\ntls = \"{tls}\"\n\
         upstreams = [{{ via = \"direct\", mirror = \"http://{address}\", credentials = \"pass\" }}]\n"
    )
}

#[tokio::test]
async fn an_upload_uses_the_connection_that_was_opened_when_the_batch_answer_named_its_host() {
    let (storage, stored) = origin(|connections| async move {
        // Before anybody asks for it; there is no second one.
        let mut spare = connections.next().await;
        read_until(&mut spare, b"data").await;
        spare.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let (site, asked) = api("https://storage.test/1?sig=x", 1).await;
    let routes = route("site.test", site, "tunnel", "") + &storage_route("terminate", storage);
    let world = World::with(&routes).await;
    asks_for_a_batch(&world, "site.test").await;
    soon("the API", asked).await.unwrap();
    // The script of the API has ended, and its connection with it.
    world.keeps_idle(1).await;
    let mut client = world.sends("PUT /storage.test/1?sig=x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\ndata").await;
    let answer = client.read_until("\r\n\r\nok").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    soon("the storage", stored).await.unwrap();
}

#[tokio::test]
async fn a_storage_host_is_dialled_early_only_where_a_route_names_and_terminates_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let storage = listener.local_addr().unwrap();
    // Another name, an address, another host than the route's; and a tunnel.
    let urls = [
        format!("https://127.0.0.1:{}/1", storage.port()),
        format!("https://localhost:{}/1", storage.port()),
        format!("http://storage.test:{}/1", storage.port()),
        "https://storage.test/1".into(),
    ];
    for url in &urls {
        let (site, asked) = api(url, 1).await;
        let tls = match url.starts_with("https://storage.test") {
            true => "tunnel",
            false => "terminate",
        };
        let routes = match tls {
            // A mirror needs a terminated route.
            "tunnel" => route("storage.test", storage, tls, ""),
            _ => storage_route(tls, storage),
        };
        let mut world = World::with(&(route("site.test", site, "tunnel", "") + &routes)).await;
        asks_for_a_batch(&world, "site.test").await;
        soon("the API", asked).await.unwrap();
        ends_without_a_dial(&mut world, &listener).await;
    }
}

#[tokio::test]
async fn an_api_that_no_route_names_has_nothing_dialled() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let storage = listener.local_addr().unwrap();
    let (site, asked) = api("https://storage.test/1", 1).await;
    let others = format!("[other_hosts]\nports = [{}]\n", site.port());
    let mut world = World::with(&(storage_route("terminate", storage) + &others)).await;
    asks_for_a_batch(&world, &site.to_string()).await;
    soon("the API", asked).await.unwrap();
    ends_without_a_dial(&mut world, &listener).await;
}

#[tokio::test]
async fn a_storage_that_cannot_be_dialled_early_is_no_fault() {
    let (site, asked) = api("https://storage.test/1", 1).await;
    let refused = ClosedPort::new();
    let storage = storage_route("terminate", refused.address);
    let routes = route("site.test", site, "tunnel", "") + &storage;
    let mut world = World::with(&routes).await;
    asks_for_a_batch(&world, "site.test").await;
    soon("the API", asked).await.unwrap();
    world.is_quiet().await;
    let tracker = world.shared().tracker.clone();
    let health = std::sync::Arc::clone(&world.shared().health);
    soon("the end", world.stop(DEADLINE)).await.unwrap();
    let faults = serde_json::to_value(tracker.faults()).unwrap();
    assert_eq!(faults, serde_json::json!([]));
    assert!(health.snapshot().is_empty());
}

/// A connection whose answer ended longer ago carries no commands.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn answers(stream: &mut TcpStream, end: &[u8]) {
    let request = read_until(stream, end).await;
    assert!(request.ends_with(end), "it ended");
    stream.write_all(OK.as_bytes()).await.unwrap();
}

async fn nobody_else_connects(connections: &Connections) {
    let other = timeout(AT_ONCE, connections.next());
    assert!(other.await.is_err(), "another connection");
}

/// What `git push` begins with.
async fn asks_for_refs(client: &mut Client) -> Instant {
    client
        .send("GET http://origin.test/r.git/info/refs?service=git-receive-pack HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    client.read_until("\r\n\r\nok").await;
    Instant::now()
}

/// What it goes on with.
async fn sends(client: &mut Client, commands: &str) {
    let length = commands.len();
    client
        .send(format!(
            "POST http://origin.test/r.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{commands}"
        ))
        .await;
}

/// How many connections an origin has seen that answers everything.
async fn counting_origin() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                loop {
                    let head = read_until(&mut stream, b"\r\n\r\n").await;
                    let head = String::from_utf8_lossy(&head).to_lowercase();
                    let length = head.split_once("content-length: ");
                    let length =
                        length.and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok());
                    let mut body = vec![0; length.unwrap_or(0)];
                    let read = stream.read_exact(&mut body).await;
                    if head.is_empty()
                        || read.is_err()
                        || stream.write_all(OK.as_bytes()).await.is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    (address, seen)
}

#[tokio::test]
async fn a_small_push_takes_one_connection_as_git_alone_does() {
    for _ in 0..20 {
        let (address, seen) = counting_origin().await;
        let world = World::in_front_of("origin.test", address).await;
        let mut client = world.client().await;
        let mut last = asks_for_refs(&mut client).await;
        let mut slowest = Duration::ZERO;
        // git tries its credentials out before a large pack.
        for commands in ["0000", "commands"] {
            sends(&mut client, commands).await;
            client.read_until("\r\n\r\nok").await;
            slowest = slowest.max(last.elapsed());
            last = Instant::now();
        }
        // Where this machine is busy, it is no push that follows at once.
        if slowest < AT_ONCE / 4 {
            sleep_until(last + AT_ONCE).await;
            assert_eq!(seen.load(Ordering::SeqCst), 1);
            return;
        }
    }
    panic!("this machine is too slow to tell");
}

#[tokio::test]
async fn a_push_that_needs_a_while_finds_a_connection_that_was_opened_for_it() {
    let (address, served) = origin(|connections| async move {
        let mut refs = connections.next().await;
        answers(&mut refs, b"\r\n\r\n").await;
        let mut spare = connections.next().await;
        answers(&mut spare, b"commands").await;
        nobody_else_connects(&connections).await;
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    let answered = asks_for_refs(&mut client).await;
    world.keeps_idle(2).await;
    sleep_until(answered + AT_ONCE).await;
    sends(&mut client, "commands").await;
    client.read_until("\r\n\r\nok").await;
    soon("the origin", served).await.unwrap();
}

#[tokio::test]
async fn a_push_that_comes_while_its_connection_is_being_opened_waits_for_it() {
    let (asked, asks) = oneshot::channel();
    let (grant, granted) = oneshot::channel::<()>();
    let (hop, served) = origin(|connections| async move {
        const GRANT: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
        let mut refs = connections.next().await;
        read_until(&mut refs, b"\r\n\r\n").await;
        refs.write_all(GRANT).await.unwrap();
        answers(&mut refs, b"\r\n\r\n").await;
        let mut spare = connections.next().await;
        read_until(&mut spare, b"\r\n\r\n").await;
        asked.send(()).unwrap();
        granted.await.unwrap();
        spare.write_all(GRANT).await.unwrap();
        answers(&mut spare, b"commands").await;
        nobody_else_connects(&connections).await;
    })
    .await;
    // A hop is asked for a tunnel where the route says which address the name has.
    let (hop, address) = (
        format!("http://{hop}"),
        "resolve = { \"origin.test\" = \"127.0.0.1:9\" }",
    );
    let world = World::with(&route_by(&[("hop", &hop)], "origin.test", address)).await;
    let mut client = world.client().await;
    let answered = asks_for_refs(&mut client).await;
    soon("the spare", asks).await.unwrap();
    sleep_until(answered + AT_ONCE).await;
    sends(&mut client, "commands").await;
    soon("the push", async {
        while world.shared().tracker.list().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    grant.send(()).unwrap();
    client.read_until("\r\n\r\nok").await;
    soon("the origin", served).await.unwrap();
}
