//! What a transfer keeps and what it removes, byte by byte: plain origins, plain clients, every front.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{GET, OK, World, answers_once, origin, read_until, soon};

#[tokio::test]
async fn requests_of_one_connection_are_answered_in_order_also_when_sent_together() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        for n in 1..=3 {
            let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n").await).unwrap();
            assert!(
                head.starts_with(&format!("GET /{n} HTTP/1.1\r\n")),
                "{head}"
            );
            stream
                .write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{n}").as_bytes())
                .await
                .unwrap();
        }
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    let get = |n| format!("GET http://origin.test/{n} HTTP/1.1\r\nhost: origin.test\r\n\r\n");
    client.send(get(1) + &get(2) + &get(3)).await;
    for n in 1..=3 {
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
        client.read_until(&n.to_string()).await;
    }
    // One connection was enough: the origin would have waited for a second one until the deadline.
    soon("the origin", served).await.unwrap();
}

#[tokio::test]
async fn framing_is_kept_and_hop_by_hop_fields_are_removed() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\nhello").await).unwrap();
        stream
            .write_all(
                b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=9\r\nX-Kept: 1\r\n\r\n\
                  3\r\nabc\r\n0\r\n\r\n",
            )
            .await
            .unwrap();
        let second = String::from_utf8(read_until(&mut stream, b"\r\n0\r\n\r\n").await).unwrap();
        stream.write_all(OK.as_bytes()).await.unwrap();
        (head, second)
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends("PUT http://origin.test/a HTTP/1.1\r\nHost: elsewhere.test\r\nContent-Length: 5\r\nProxy-Connection: x\r\n\
             Connection: keep-alive, X-Mine\r\nX-Mine: 1\r\nProxy-Authorization: Basic eHg6eXk=\r\nX-Case: A\r\n\r\nhello").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        head.contains("Transfer-Encoding: chunked") || head.contains("transfer-encoding: chunked"),
        "{head}"
    );
    assert!(
        head.contains("X-Kept: 1") && !head.to_lowercase().contains("keep-alive:"),
        "{head}"
    );
    assert_eq!(
        client.read_until("0\r\n\r\n").await,
        "3\r\nabc\r\n0\r\n\r\n"
    );
    client
        .send("PUT http://origin.test/b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n0\r\n\r\n")
        .await;
    client.read_until("\r\n\r\nok").await;
    let (first, second) = soon("the origin", served).await.unwrap();
    assert!(
        first.contains("Host: origin.test\r\n"),
        "an absolute target is the host: {first}"
    );
    assert!(
        first.contains("Content-Length: 5\r\n") && first.contains("X-Case: A\r\n"),
        "{first}"
    );
    for gone in ["x-mine", "proxy-", "transfer-encoding"] {
        assert!(!first.to_lowercase().contains(gone), "{gone} in {first}");
    }
    assert!(
        first.to_lowercase().contains("via: 1.1 gitferry-"),
        "{first}"
    );
    assert!(
        second.to_lowercase().contains("transfer-encoding: chunked") && second.contains("wxyz"),
        "{second}"
    );
}

#[tokio::test]
async fn a_body_waits_until_the_origin_says_continue() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        let head = read_until(&mut stream, b"\r\n\r\n").await;
        assert!(
            String::from_utf8(head)
                .unwrap()
                .to_lowercase()
                .contains("expect: 100-continue")
        );
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(read_until(&mut stream, b"body!").await, b"body!");
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends("PUT http://origin.test/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 100"));
    client.send("body!").await;
    assert!(
        client
            .read_until("\r\n\r\nok")
            .await
            .starts_with("HTTP/1.1 200")
    );
    soon("the origin", served).await.unwrap();
}

#[tokio::test]
async fn an_origin_that_refuses_before_continue_never_gets_the_body() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        stream
            .write_all(b"HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\nno")
            .await
            .unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        rest
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends("PUT http://origin.test/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert!(client.read_until("no").await.starts_with("HTTP/1.1 401"));
    assert_eq!(soon("the origin", served).await.unwrap(), b"");
    world.is_quiet().await;
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        let request = String::from_utf8(read_until(&mut stream, b"\r\n0\r\n\r\n").await).unwrap();
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n",
            )
            .await
            .unwrap();
        request
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends("GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    client.head().await;
    let body = client.read_until("7\r\n\r\n").await;
    assert!(body.to_lowercase().contains("x-sum: 7"), "{body}");
    let request = soon("the origin", served).await.unwrap();
    assert!(request.to_lowercase().contains("te: trailers"), "{request}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_broken_for_the_client_too() {
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            .await
            .unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends(GET).await;
    client.head().await;
    assert_eq!(client.rest().await, b"half");
    let end = world.next_end().await;
    assert_eq!(end.result, "origin/receiving-body/closed-early");
    world.is_quiet().await;
}

#[tokio::test]
async fn the_reverse_front_brings_redirects_back() {
    let (address, served) =
        answers_once("HTTP/1.1 302 Found\r\nLocation: /there?x=1\r\ncontent-length: 0\r\n\r\n")
            .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends("GET /origin.test:80/here HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n")
        .await;
    let head = client.head().await;
    let head = head.to_lowercase();
    assert!(
        head.contains("location: /origin.test:80/there?x=1\r\n"),
        "{head}"
    );
    let asked = soon("the origin", served).await.unwrap();
    assert!(
        asked.starts_with("GET /here HTTP/1.1\r\n") && asked.contains("origin.test"),
        "{asked}"
    );
    assert!(!asked.contains("127.0.0.1:1"), "{asked}");
}

async fn answered_by(answer: &'static str) -> Vec<u8> {
    let (address, _served) = origin(move |connections| async move {
        let mut stream = connections.asked().await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        connections.next().await
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends("GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    client.rest().await
}

/// RFC 9112, section 6.3: the chunks count.
#[tokio::test]
async fn an_answer_with_a_length_and_chunks_passes_whole() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n1e\r\nabcdefghijklmnopqrstuvwxyz0123\r\n0\r\n\r\n";
    let got = String::from_utf8(answered_by(answer).await).unwrap();
    assert!(!got.to_lowercase().contains("content-length"), "{got}");
    assert!(got.contains("abcdefghijklmnopqrstuvwxyz0123"), "{got}");
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_a_bad_one() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ] {
        let got = String::from_utf8(answered_by(answer).await).unwrap();
        assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
        assert!(got.contains("origin/awaiting-head/bad-answer"), "{got}");
    }
}
