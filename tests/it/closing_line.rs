//! When the closing line of a transfer is written, seen from a client that reads slowly.

use std::{net::SocketAddr, time::Duration};

use socket2::SockRef;
use tokio::{
    io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpListener, sync::oneshot,
    task::JoinHandle, time::sleep,
};

use crate::world::{Client, World, origin, read_until, soon};

/// More than the client's receive buffer, and less than the kernel takes from the daemon.
const LENGTH: usize = 600_000;

/// An origin that sends its whole response at once.
async fn sends_at_once() -> (SocketAddr, JoinHandle<()>) {
    origin(|connections| async move {
        let mut stream = connections.asked().await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![7; LENGTH]).await.unwrap();
    })
    .await
}

/// A client that has read only the head of a response, all of which the daemon has.
async fn reads_only_the_head(world: &World, fields: &str) -> Client {
    let mut client = world.client().await;
    let socket = SockRef::from(&client.0);
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    client
        .send(format!(
            "GET http://origin.test/o HTTP/1.1\r\nHost: x\r\n{fields}\r\n"
        ))
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    soon("the last byte at the daemon", async {
        loop {
            let running = world.shared().tracker.list();
            let [transfer] = &running[..] else {
                panic!("the line was written early: {:?}", world.ends());
            };
            if transfer.down == LENGTH as u64 {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    client
}

#[tokio::test]
async fn the_closing_line_is_written_once_and_only_when_the_client_has_the_last_byte() {
    for fields in ["", "Connection: close\r\n"] {
        let (address, served) = sends_at_once().await;
        let world = World::in_front_of("origin.test", address).await;
        let mut client = reads_only_the_head(&world, fields).await;
        soon("the origin", served).await.unwrap();
        let mut piece = vec![0; LENGTH / 10];
        for number in 0..10 {
            // Its socket holds less than half.
            let early = number < 5 && !world.ends().is_empty();
            assert!(!early, "{fields:?}: {:?}", world.ends());
            client.0.read_exact(&mut piece).await.unwrap();
        }
        let end = world.next_end().await;
        assert_eq!((end.result.as_str(), end.down), ("answered", LENGTH as u64));
        world.is_quiet().await;
        assert_eq!(world.ends().len(), 1, "{fields:?}: {:?}", world.ends());
    }
}

#[tokio::test]
async fn a_client_that_disconnects_before_its_last_byte_is_not_called_answered() {
    for fields in ["", "Connection: close\r\n"] {
        let (address, _served) = sends_at_once().await;
        let world = World::in_front_of("origin.test", address).await;
        // It closes with unread bytes, and its kernel resets the connection.
        drop(reads_only_the_head(&world, fields).await);
        let end = world.next_end().await;
        assert_eq!(end.result, "client/receiving-body/gone", "{fields:?}");
        world.is_quiet().await;
        assert_eq!(world.ends().len(), 1, "{fields:?}: {:?}", world.ends());
    }
}

/// How a transfer ends whose client leaves when it has the head of the response; the origin sends `rest` after that. Where it is answered, its
/// connection is kept for the next request.
async fn leaves_after_the_head(request: &str, head: &'static str, rest: &'static str) -> String {
    let (tell, left) = oneshot::channel::<()>();
    let (address, served) = origin(async move |connections| {
        let mut stream = connections.asked().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        left.await.unwrap();
        // The connection may be closed by now.
        let _ = stream.write_all(rest.as_bytes()).await;
        stream
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends(request).await;
    client.read_until("\r\n\r\n").await;
    client.0.shutdown().await.unwrap();
    // The daemon has seen it, and closes its side.
    let _ = soon("the daemon's end", client.0.read(&mut [0; 64])).await;
    drop(client);
    tell.send(()).unwrap();
    let _stream = soon("the origin", served).await.unwrap();
    let end = world.next_end().await;
    let faults: Vec<_> = world.faults().into_iter().map(|one| one.code).collect();
    assert_eq!(faults, [""; 0], "{request}");
    if end.result == "answered" {
        world.keeps_idle(1).await;
    }
    end.result
}

/// git-lfs reads only the head of a `verify` response, curl with `--fail` only that of an error page.
#[tokio::test]
async fn a_client_that_needs_only_the_head_of_a_response_is_answered() {
    let verify = "POST http://origin.test/r.git/info/lfs/objects/verify HTTP/1.1\r\nHost: x\r\nContent-Type: \
                  application/vnd.git-lfs+json\r\nContent-Length: 2\r\n\r\n{}";
    let put = "PUT http://origin.test/o HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    let get = "GET http://origin.test/o HTTP/1.1\r\nHost: x\r\n\r\n";
    let fetch = "POST http://origin.test/r.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n";
    let gone = "client/receiving-body/gone";
    for (request, head, rest, result) in [
        (verify, sized, "{}", "answered"),
        (verify, chunked, "2\r\n{}\r\n0\r\n\r\n", "answered"),
        (put, sized, "ok", "answered"),
        (get, missing, "no", "answered"),
        // It needed the body.
        (get, sized, "ok", gone),
        (fetch, chunked, "2\r\nok\r\n0\r\n\r\n", gone),
    ] {
        let ended = leaves_after_the_head(request, head, rest).await;
        assert_eq!(ended, result, "{request} {head}");
    }
}

/// Each holds a connection to the origin that no client pays for.
#[tokio::test]
async fn only_so_many_responses_are_read_to_their_end_for_clients_that_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let held = tokio::spawn(async move {
        let mut streams = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_until(&mut stream, b"{}").await;
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
            stream.write_all(head).await.unwrap();
            streams.push(stream);
        }
    });
    let world = World::in_front_of("origin.test", address).await;
    for _ in 0..70 {
        let put = "PUT http://origin.test/o HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
        let mut client = world.sends(put).await;
        client.read_until("\r\n\r\n").await;
        client.0.shutdown().await.unwrap();
        let _ = soon("the daemon's end", client.0.read(&mut [0; 64])).await;
    }
    // Those beyond the limit end at once, the others when their rest has not come in time.
    for _ in 0..70 {
        assert_eq!(world.next_end().await.result, "client/receiving-body/gone");
        assert!(world.shared().tracker.list().len() <= 64);
    }
    held.abort();
}
