//! When the closing line of a transfer is written, seen from a client that reads slowly.

use std::{net::SocketAddr, time::Duration};

use socket2::SockRef;
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, task::JoinHandle, time::sleep};

use crate::world::{Client, World, origin, soon};

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
