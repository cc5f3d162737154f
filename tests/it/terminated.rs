//! Inside a CONNECT to a terminated host: clients that are slow to begin, servers that speak first, upgrades.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
};

use crate::{
    one_host::{handshake, inside},
    world::{World, origin, read_until, route, soon},
};

const MAIN: &str = "main.test:443";

#[tokio::test]
async fn a_client_hello_that_comes_late_is_terminated_all_the_same() {
    // The daemon dials when it takes the client for one that waits for the server.
    let (dialled, silent) = oneshot::channel();
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        dialled.send(()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let world = World::with(&route("main.test", address, "terminate", "")).await;
    let client = world.tunnel(MAIN).await;
    soon("the daemon's patience", silent).await.unwrap();
    let mut stream = handshake(&world, client, MAIN, Some("main.test"))
        .await
        .unwrap();
    // The daemon reads requests: one for another host gets its answer.
    let request = b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the answer", stream.read_to_end(&mut answer)).await;
    assert!(answer.starts_with(b"HTTP/1.1 421"));
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_answered_with_its_reason_inside_tls() {
    let (address, _served) = origin(|connections| async move { connections.next().await }).await;
    let world = World::with(&route("main.test", address, "terminate", "")).await;
    let mut stream = inside(&world, MAIN, Some("main.test")).await.unwrap();
    let request = b"GET /a<b HTTP/1.1\r\nHost: main.test\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the answer", stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("\r\n\r\ngitferry: ") && answer.contains("%3C"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_server_that_speaks_first_is_tunnelled_on_a_terminating_route() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        stream.write_all(b"220 ready\r\n").await.unwrap();
        read_until(&mut stream, b"QUIT").await
    })
    .await;
    let world = World::with(&route("main.test", address, "terminate", "")).await;
    let mut client = world.tunnel(MAIN).await;
    assert_eq!(client.read_until("\r\n").await, "220 ready\r\n");
    client.send("QUIT").await;
    assert_eq!(soon("the origin", served).await.unwrap(), b"QUIT");
}

/// An origin that keeps a connection for a second request, which upgrades it, and then echoes in capitals.
async fn upgrades(connections: crate::world::Connections) {
    let mut stream = connections.asked().await;
    stream.write_all(crate::world::OK.as_bytes()).await.unwrap();
    let head = read_until(&mut stream, b"\r\n\r\n").await;
    assert!(
        String::from_utf8_lossy(&head)
            .to_lowercase()
            .contains("upgrade: shout")
    );
    let switch =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n";
    stream.write_all(switch.as_bytes()).await.unwrap();
    for _ in 0..3 {
        let said = read_until(&mut stream, b"\n").await;
        stream.write_all(&said.to_ascii_uppercase()).await.unwrap();
    }
}

async fn shouts<S: AsyncReadExt + AsyncWriteExt + Unpin>(stream: &mut S, target: &str) {
    let until = async |stream: &mut S, end: &[u8]| {
        let mut read = Vec::new();
        while !read.ends_with(end) {
            read.push(soon("a byte", stream.read_u8()).await.unwrap());
        }
        String::from_utf8(read).unwrap()
    };
    let request = format!("GET {target} HTTP/1.1\r\nHost: main.test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    until(stream, b"\r\n\r\nok").await;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: main.test\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = until(stream, b"\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // Longer than the daemon lingers over a connection that it has ended.
    for pause in [0, 0, 800] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stream.write_all(b"hello\n").await.unwrap();
        assert_eq!(until(stream, b"\n").await, "HELLO\n");
    }
}

#[tokio::test]
async fn an_upgrade_inside_a_terminated_connect_works_both_ways() {
    let (address, served) = origin(upgrades).await;
    let routes = format!(
        "[[route]]\nname = \"main.test\"\nrole = \"other\"\nhosts = [\"main.test\"]\ntls = \"terminate\"\n\
         upstreams = [{{ via = \"direct\", mirror = \"http://{address}\", credentials = \"pass\" }}]\n"
    );
    let world = World::with(&routes).await;
    let mut stream = inside(&world, MAIN, Some("main.test")).await.unwrap();
    shouts(&mut stream, "/x").await;
    soon("the origin", served).await.unwrap();
}

#[tokio::test]
async fn an_upgrade_over_an_idle_connection_works_both_ways() {
    let (address, served) = origin(upgrades).await;
    let world = World::in_front_of("main.test", address).await;
    let mut client = world.client().await;
    shouts(&mut client.0, "http://main.test/x").await;
    soon("the origin", served).await.unwrap();
}

/// `head_timeout` is 5 s here.
#[tokio::test]
async fn a_client_that_says_nothing_has_one_head_timeout() {
    let world = World::in_front_of("main.test", "127.0.0.1:1".parse().unwrap()).await;
    let begun = tokio::time::Instant::now();
    let mut client = world.client().await;
    client.rest().await;
    let took = begun.elapsed();
    assert!((5..15).contains(&took.as_secs()), "{took:?}");
}
