//! What moves, or needs no party to act, is never called a stall.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::interval,
};

use crate::world::{OK, World, origin, read_until, route};

/// Limits below what the transfers here take, and far above the pause before a piece: this process may not run for a second.
const LIMITS: &str = "stall = { after = \"2s\", connect_after = \"2s\", answer_after = \"2s\", \
                      client_after = \"2s\", floor = \"0 B\", action = \"fail\" }";
/// How many pieces, one each 100 ms: together more than twice the limits.
const PIECES: usize = 50;

fn no_stall(world: &World) {
    let stalls = world.stalls();
    assert!(stalls.is_empty(), "{stalls:?}");
    let faults = world.faults();
    assert!(faults.is_empty(), "{faults:?}");
}

/// Any unbuffered CGI before `git http-backend` answers like this.
#[tokio::test]
async fn an_upload_whose_answer_begins_before_it_is_read_is_not_called_a_stall() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            .await
            .unwrap();
        let mut body = vec![0; PIECES * 1000];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"ok").await.unwrap();
    })
    .await;
    let world = World::with(&route("origin.test", address, "tunnel", LIMITS)).await;
    let mut client = world.client().await;
    let length = PIECES * 1000;
    client
        .send(format!(
            "POST http://origin.test/x.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        ))
        .await;
    let mut pace = interval(Duration::from_millis(100));
    for _ in 0..PIECES {
        pace.tick().await;
        client.send(vec![7; 1000]).await;
    }
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(client.read_until("ok").await, "ok");
    served.await.unwrap();
    no_stall(&world);
}

#[tokio::test]
async fn a_tunnel_in_which_nobody_has_spoken_is_no_stall() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        assert_eq!(read_until(&mut stream, b"late").await, b"late");
        stream.write_all(b"too").await.unwrap();
    })
    .await;
    let world = World::with(&route("origin.test", address, "tunnel", LIMITS)).await;
    let mut client = world.tunnel("origin.test:443").await;
    let mut pace = interval(Duration::from_millis(100));
    for _ in 0..PIECES {
        pace.tick().await;
    }
    no_stall(&world);
    client.send("late").await;
    assert_eq!(client.read_until("too").await, "too");
    served.await.unwrap();
    no_stall(&world);
}

/// A storage that verifies a large object before it answers: later than an answer is due, sooner than it is given up.
#[tokio::test]
async fn a_storage_that_answers_late_is_not_called_a_stall() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        let mut body = vec![0; 100_000];
        stream.read_exact(&mut body).await.unwrap();
        let mut pace = interval(Duration::from_millis(100));
        for _ in 0..PIECES {
            pace.tick().await;
        }
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let late = "stall = { after = \"2s\", answer_after = \"20s\", floor = \"0 B\" }";
    let routes = route("origin.test", address, "tunnel", late);
    let world = World::with(&routes.replace("\"other\"", "\"lfs-storage\"")).await;
    let mut client = world
        .sends("PUT http://origin.test/lfs/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        .await;
    client.send(vec![7; 100_000]).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    served.await.unwrap();
    no_stall(&world);
}

/// A client that reads a megabyte in pieces, with a pause before each, and an origin that could send it at once.
#[tokio::test]
async fn a_client_that_takes_its_time_is_not_called_a_stall() {
    const LENGTH: usize = 8_000_000;
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![7; LENGTH]).await.unwrap();
    })
    .await;
    let world = World::with(&route("origin.test", address, "tunnel", LIMITS)).await;
    let mut client = world
        .sends("GET http://origin.test/large HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    let mut pace = interval(Duration::from_millis(100));
    let mut piece = vec![0; LENGTH / PIECES];
    for _ in 0..PIECES {
        pace.tick().await;
        client.0.read_exact(&mut piece).await.unwrap();
    }
    served.await.unwrap();
    no_stall(&world);
}
