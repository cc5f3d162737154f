//! Downloads that break in the middle and arrive completely, while their client sees one response.

use tokio::{io::AsyncWriteExt, net::TcpStream};

use gitferry::testing::EndSeen;

use crate::world::{Connections, World, origin, read_until, reset, soon};

const SIZE: usize = 400_000;
const ETAG: &str = "ETag: \"v1\"\r\n";

fn body() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(5);
    std::iter::repeat_with(|| random.u8(..))
        .take(SIZE)
        .collect()
}

/// Reads a request's head, in lower case.
async fn asked(stream: &mut TcpStream) -> String {
    String::from_utf8(read_until(stream, b"\r\n\r\n").await)
        .unwrap()
        .to_lowercase()
}

async fn whole(stream: &mut TcpStream, fields: &str) {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
}

/// Sends the head of the rest from `first` on; the request must have the right range.
async fn rest(stream: &mut TcpStream, first: usize) {
    let head = asked(stream).await;
    assert!(
        head.contains(&format!("\r\nrange: bytes={first}-{}\r\n", SIZE - 1)),
        "{head}"
    );
    assert!(head.contains("\r\nif-range: \"v1\"\r\n"), "{head}");
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n{ETAG}Content-Range: bytes {first}-{}/{SIZE}\r\n\r\n",
        SIZE - first,
        SIZE - 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
}

/// The next connection gets the head and so many bytes of the body, and breaks off.
async fn begins(connections: &Connections, count: usize) {
    let mut stream = connections.next().await;
    asked(&mut stream).await;
    whole(&mut stream, ETAG).await;
    stream.write_all(&body()[..count]).await.unwrap();
}

#[tokio::test]
async fn a_download_that_breaks_twice_arrives_whole() {
    let (address, served) = origin(|connections| async move {
        let body = body();
        begins(&connections, 100_000).await;
        let mut stream = connections.next().await;
        rest(&mut stream, 100_000).await;
        stream.write_all(&body[100_000..399_999]).await.unwrap();
        drop(stream);
        let mut stream = connections.next().await;
        rest(&mut stream, 399_999).await;
        stream.write_all(&body[399_999..]).await.unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends("GET http://origin.test/o HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(client.rest().await == body(), "the body arrived changed");
    soon("the origin", served).await.unwrap();
}

/// Downloads what breaks off after 100,000 bytes: the client gets those, and the transfer ends with its last fault.
async fn breaks_off(world: &World) -> EndSeen {
    let mut client = world
        .sends("GET http://origin.test/o HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    client.head().await;
    assert!(client.rest().await == body()[..100_000], "other bytes came");
    let end = world.next_end().await;
    let last = world.faults().pop().unwrap();
    assert_eq!(
        (last.next.as_str(), &last.code),
        ("give-up", &end.result),
        "{last:?}"
    );
    assert_eq!(end.down, 100_000);
    end
}

#[tokio::test]
async fn a_download_of_what_has_changed_meanwhile_breaks_off() {
    let (address, served) = origin(|connections| async move {
        begins(&connections, 100_000).await;
        let mut stream = connections.next().await;
        asked(&mut stream).await;
        whole(&mut stream, "ETag: \"v2\"\r\n").await;
        stream.write_all(&[0; SIZE]).await.unwrap_or_default();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    // Not a byte of the other version.
    let end = breaks_off(&world).await;
    soon("the origin", served).await.unwrap();
    assert_eq!(end.attempts, 2, "{end:?}");
}

#[tokio::test]
async fn a_download_whose_origin_never_comes_back_breaks_off() {
    let (address, served) = origin(|connections| async move {
        begins(&connections, 100_000).await;
        for _ in 0..3 {
            reset(connections.next().await);
        }
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let end = breaks_off(&world).await;
    soon("the origin", served).await.unwrap();
    assert_eq!(end.attempts, 4, "{end:?}");
}

/// As storages do that ignore `If-Range`, or are busy for a moment; and a rest whose own head is shorter than what is missing.
#[tokio::test]
async fn a_rest_of_other_bytes_is_not_taken_and_another_try_is() {
    let (address, served) = origin(|connections| async move {
        let body = body();
        begins(&connections, 100_000).await;
        let range = format!("Content-Range: bytes 100000-{}", SIZE - 1);
        for head in [
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ] {
            let mut stream = connections.next().await;
            asked(&mut stream).await;
            stream.write_all(head.as_bytes()).await.unwrap();
        }
        let mut stream = connections.next().await;
        rest(&mut stream, 100_000).await;
        stream.write_all(&body[100_000..200_000]).await.unwrap();
        drop(stream);
        // No validator, and another whole.
        let mut stream = connections.next().await;
        asked(&mut stream).await;
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\n{range}/9999999\r\n\r\nx"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends("GET http://origin.test/o HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    client.head().await;
    let got = client.rest().await;
    assert!(got == body()[..200_000], "{} bytes came", got.len());
    soon("the origin", served).await.unwrap();
}
