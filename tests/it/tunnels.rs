//! Bytes both ways: after an upgrade, and after CONNECT.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::TcpStream,
};

use crate::world::{Client, World, origin, read_until, reset, route, soon};

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

/// A client of a tunnel that has sent a record and read the answer.
async fn has_its_answer(world: &World) -> Client {
    let mut client = world.tunnel("origin.test:443").await;
    client.send(record(100)).await;
    let mut answer = [0; ANSWER as usize];
    client.0.read_exact(&mut answer).await.unwrap();
    client
}

/// How a tunnel ends whose client sends close_notify, and closes its socket before it has read what the origin sends before or after that.
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
    let mut client = has_its_answer(&world).await;
    client.send(record(GOODBYE)).await;
    unread(&mut client.0, left.min(GOODBYE.into()) as u8).await;
    drop(client);
    let _served = soon("the origin", served).await.unwrap();
    let ended = world.next_end().await.result;
    assert!(world.faults().is_empty(), "{:?}", world.faults());
    ended
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

/// As GnuTLS clients do: the answer is read, the origin's close_notify and FIN are not.
#[tokio::test]
async fn a_client_that_closes_without_close_notify_after_its_response_is_no_fault() {
    let (address, served) = origin(async move |connections| {
        let mut stream = connections.next().await;
        stream.read_exact(&mut [0; 100]).await.unwrap();
        let answer = [record(ANSWER), record(GOODBYE)].concat();
        stream.write_all(&answer).await.unwrap();
        stream.shutdown().await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let client = has_its_answer(&world).await;
    soon("the FIN", async {
        while !client
            .0
            .ready(Interest::READABLE)
            .await
            .unwrap()
            .is_read_closed()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(client);
    assert_eq!(world.next_end().await.result, "closed");
    assert!(world.faults().is_empty(), "{:?}", world.faults());
    soon("the origin", served).await.unwrap().unwrap();
}

/// git-lfs reads only the head of a `verify` response and ends TLS, while the body is unread in its socket or on its way.
#[tokio::test]
async fn a_client_that_needs_only_the_head_of_a_small_response_closes_its_tunnel() {
    let body = vec![record(ANSWER); 3];
    for closes in [true, false] {
        assert_eq!(hangs_up(&[], &body, closes).await, "closed", "{closes}");
        assert_eq!(hangs_up(&body, &[], closes).await, "closed", "{closes}");
        assert_eq!(hangs_up(&body, &body, closes).await, "closed", "{closes}");
    }
}

/// It breaks off a large response.
#[tokio::test]
async fn a_client_that_closes_while_much_is_on_its_way_is_gone() {
    let content = vec![record(ANSWER); 200];
    assert_eq!(
        hangs_up(&[], &content, false).await,
        "client/receiving-body/gone"
    );
}

/// How a CONNECT with `tls` ends, by its line and by its warnings, whose client sends `bytes` after the 200 and resets the connection once the
/// origin has them, where it gets any. The origin says `answer` then.
async fn leaves(tls: &str, bytes: &[u8], answer: &[u8]) -> (String, Vec<String>) {
    let (expected, answer) = (bytes.len(), answer.to_vec());
    let (tell, has_them) = tokio::sync::oneshot::channel();
    let (address, _served) = origin(async move |connections| {
        let mut stream = connections.next().await;
        stream.read_exact(&mut vec![0; expected]).await.unwrap();
        stream.write_all(&answer).await.unwrap();
        tell.send(()).unwrap();
        stream.read_to_end(&mut Vec::new()).await
    })
    .await;
    let world = World::with(&route("origin.test", address, tls, "")).await;
    let mut client = world.tunnel("origin.test:443").await;
    client.send(bytes).await;
    if !bytes.is_empty() {
        soon("the origin", has_them).await.unwrap();
    }
    reset(client.0);
    let result = world.next_end().await.result;
    let faults = world.faults().into_iter().map(|fault| fault.code);
    (result, faults.collect())
}

#[tokio::test]
async fn a_client_that_leaves_a_connect_at_any_stage_is_gone_and_nobody_is_warned() {
    let hello = [&[22, 3, 1, 0, 200][..], &[1; 200]].concat();
    let (nothing, ssh): (&[u8], &[u8]) = (b"", b"SSH-2.0-x\r\n");
    let spoken = record(ANSWER);
    for (tls, bytes, answer, result) in [
        ("tunnel", nothing, nothing, "client/accepted/gone"),
        ("terminate", nothing, nothing, "client/accepted/gone"),
        ("tunnel", &hello, nothing, "client/handshaking/gone"),
        ("tunnel", &hello, &spoken, "client/receiving-body/gone"),
        ("tunnel", ssh, nothing, "client/receiving-body/gone"),
        ("terminate", ssh, nothing, "client/receiving-body/gone"),
        ("terminate", ssh, ssh, "client/receiving-body/gone"),
    ] {
        let (ended, faults) = leaves(tls, bytes, answer).await;
        let case = format!("{tls} {:?} {answer:?}", String::from_utf8_lossy(bytes));
        assert_eq!(ended, result, "{case}");
        assert_eq!(faults, [""; 0], "{case}");
    }
}

/// How a request for an upgrade ends whose client resets the connection when the other side has spoken.
#[tokio::test]
async fn a_client_that_leaves_after_an_upgrade_is_gone_and_nobody_is_warned() {
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello";
        stream.write_all(answer).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends("GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").await;
    client.read_until("hello").await;
    reset(client.0);
    assert_eq!(world.next_end().await.result, "client/receiving-body/gone");
    assert!(world.faults().is_empty(), "{:?}", world.faults());
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
    let mut client = has_its_answer(&world).await;
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

/// Some servers set SO_LINGER to 0, or close while an end is unread.
#[tokio::test]
async fn an_origin_that_resets_after_its_close_notify_is_no_fault() {
    let ends = async |last: Vec<u8>| {
        let mut end = vec![0; last.len()];
        let (address, served) = origin(async move |connections| {
            let mut stream = connections.next().await;
            stream.read_exact(&mut [0; 100]).await.unwrap();
            stream.write_all(&record(ANSWER)).await.unwrap();
            stream.read_exact(&mut [0; 1]).await.unwrap();
            stream.write_all(&last).await.unwrap();
            stream.read_exact(&mut [0; 1]).await.unwrap();
            reset(stream);
        })
        .await;
        let world = World::in_front_of("origin.test", address).await;
        let mut client = has_its_answer(&world).await;
        client.send(b"?").await;
        client.0.read_exact(&mut end).await.unwrap();
        // The origin resets only once the end has gone through.
        client.send(b"!").await;
        soon("the origin", served).await.unwrap();
        assert_eq!(client.rest().await, b"");
        drop(client);
        world.next_end().await.result
    };
    assert_eq!(ends(record(GOODBYE)).await, "closed");
    let content = [record(GOODBYE), record(GOODBYE + 1)].concat();
    assert_eq!(ends(content).await, "origin/receiving-body/reset");
}

/// An idle tunnel costs the watchdog nothing, and is watched again from its first byte on.
#[tokio::test]
async fn an_idle_tunnel_is_left_alone_and_watched_again_when_bytes_move() {
    let (address, served) = origin(|connections| async move {
        let mut streams = Vec::new();
        for _ in 0..8 {
            let mut stream = connections.next().await;
            stream.write_all(b"banner\n").await.unwrap();
            streams.push(stream);
        }
        streams
    })
    .await;
    let limits = "stall = { after = \"400ms\", floor = \"0 B\" }";
    let world = World::with(&route("origin.test", address, "tunnel", limits)).await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = world
            .sends("CONNECT origin.test:22 HTTP/1.1\r\nHost: origin.test:22\r\n\r\n")
            .await;
        client.read_until("banner\n").await;
        clients.push(client);
    }
    let _never_read = soon("the origin", served).await.unwrap();
    let resting = async |count| {
        while world.shared().tracker.awake_and_resting() != (8 - count, count) {
            tokio::task::yield_now().await;
        }
    };
    soon("eight idle tunnels", resting(8)).await;
    let mut client = clients.pop().unwrap();
    let uploading = tokio::task::spawn(async move {
        let chunk = vec![0; 1 << 20];
        while client.0.write_all(&chunk).await.is_ok() {}
    });
    soon("one that moves", resting(7)).await;
    let stall = world.next_stall().await;
    assert_eq!(stall.verdict, "peer-not-reading", "{stall:?}");
    uploading.abort();
}
