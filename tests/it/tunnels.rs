//! Bytes both ways: after an upgrade, and after CONNECT.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, origin, read_until};

#[tokio::test]
async fn an_upgrade_becomes_bytes_both_ways() {
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n").await).unwrap().to_lowercase();
        assert!(head.contains("upgrade: echo") && head.contains("connection: upgrade"), "{head}");
        stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello ")
            .await
            .unwrap();
        let got = read_until(&mut stream, b"there").await;
        stream.write_all(&got).await.unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends("GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").await;
    let head = client.head().await.to_lowercase();
    assert!(
        head.starts_with("http/1.1 101") && head.contains("upgrade: echo"),
        "{head}"
    );
    client.send("there").await;
    assert_eq!(client.rest().await, b"hello there");
    drop(client);
    world.is_quiet().await;
}

#[tokio::test]
async fn a_tunnel_keeps_every_byte_and_closes_half_by_half() {
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        // A server that speaks first, as ssh's do.
        stream.write_all(b"banner\n").await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    // What follows the request in the same segment belongs to the tunnel.
    client
        .send("CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\nearly ")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    client.read_until("banner\n").await;
    client.send("and late").await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.rest().await, b"early and late");
    world.is_quiet().await;
}
