//! Bytes both ways: after an upgrade, and after CONNECT.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{World, origin, read_until, soon};

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

/// A record as TLS 1.3 sends it: 24 bytes are a close_notify.
fn record(bytes: u8) -> Vec<u8> {
    let mut record = vec![0x17, 3, 3, 0, bytes - 5];
    record.resize(usize::from(bytes), 7);
    record
}

const ANSWER: u8 = 200;
const GOODBYE: u8 = 24;

/// Waits until `bytes` lie unread in this socket: who closes it then resets the connection.
async fn unread(stream: &mut TcpStream, bytes: u8) {
    soon("unread bytes", async {
        while stream.peek(&mut [0; 256]).await.unwrap() < usize::from(bytes) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// How a tunnel ends whose client says goodbye, and closes its socket before it has read what the origin `says` before or after that.
async fn hangs_up(early: &[Vec<u8>], late: &[Vec<u8>], closes: bool) -> String {
    let (early, late) = (early.concat(), late.concat());
    let left = early.len() + late.len();
    let (address, served) = origin(async move |connections| {
        let mut stream = connections.next().await;
        stream.read_exact(&mut [0; 100]).await.unwrap();
        stream.write_all(&record(ANSWER)).await.unwrap();
        stream.write_all(&early).await.unwrap();
        if closes && late.is_empty() {
            stream.shutdown().await.unwrap();
        }
        stream.read_exact(&mut [0; GOODBYE as usize]).await.unwrap();
        if !late.is_empty() {
            stream.write_all(&late).await.unwrap();
            if closes {
                stream.shutdown().await.unwrap();
            }
        }
        stream
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    client
        .send("CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    client.send(record(100)).await;
    client
        .0
        .read_exact(&mut [0; ANSWER as usize])
        .await
        .unwrap();
    client.send(record(GOODBYE)).await;
    unread(&mut client.0, left.min(GOODBYE.into()) as u8).await;
    drop(client);
    let _served = soon("the origin", served).await.unwrap();
    world.next_end().await.result
}

#[tokio::test]
async fn a_client_that_closes_before_it_reads_the_last_close_notify_is_no_fault() {
    let goodbye = || vec![record(GOODBYE)];
    assert_eq!(hangs_up(&[], &goodbye(), true).await, "closed");
    assert_eq!(hangs_up(&goodbye(), &[], true).await, "closed");
    // As HTTP/2 does: GOAWAY first.
    let goaway = [record(39), record(GOODBYE)];
    assert_eq!(hangs_up(&[], &goaway, true).await, "closed");
}

#[tokio::test]
async fn a_client_that_closes_while_content_is_on_its_way_is_a_fault() {
    let content = vec![record(ANSWER); 10];
    assert_eq!(
        hangs_up(&[], &content, false).await,
        "client/receiving-body/reset"
    );
}

/// How a tunnel ends whose origin answers, and closes its socket before it has read what the client sends.
async fn origin_hangs_up(last: &[u8]) -> String {
    let left = last.len().min(GOODBYE.into()) as u8;
    let (address, served) = origin(async move |connections| {
        let mut stream = connections.next().await;
        stream.read_exact(&mut [0; 100]).await.unwrap();
        stream.write_all(&record(ANSWER)).await.unwrap();
        unread(&mut stream, left).await;
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    client
        .send("CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n")
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    client.send(record(100)).await;
    client
        .0
        .read_exact(&mut [0; ANSWER as usize])
        .await
        .unwrap();
    client.send(last).await;
    soon("the origin", served).await.unwrap();
    assert_eq!(client.rest().await, b"");
    drop(client);
    world.next_end().await.result
}

#[tokio::test]
async fn an_origin_that_closes_before_it_reads_the_last_close_notify_is_no_fault() {
    assert_eq!(origin_hangs_up(&record(GOODBYE)).await, "closed");
    assert_eq!(
        origin_hangs_up(&record(ANSWER)).await,
        "origin/receiving-body/reset"
    );
}
