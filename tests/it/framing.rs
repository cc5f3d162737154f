//! Where messages end, and what is sent in gitferry's name: nothing that two parsers would read differently is passed on.

use tokio::io::AsyncWriteExt;

use crate::world::{OK, World, origin, read_until, soon};

/// The whole answer to `GET http://origin.test/`, or `HEAD`.
async fn answer(world: &World, method: &str) -> String {
    let mut client = world.sends(format!(
            "{method} http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n"
        )).await;
    String::from_utf8(client.rest().await).unwrap()
}

#[tokio::test]
async fn a_request_whose_end_is_in_doubt_is_refused_and_its_connection_closed() {
    let (address, _never) = origin(|_| std::future::pending::<()>()).await;
    let world = World::in_front_of("origin.test", address).await;
    for fields in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
    ] {
        let mut client = world.sends(format!(
                "POST http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n{fields}\r\n5\r\nhello\r\n0\r\n\r\n\
                 GET http://origin.test/smuggled HTTP/1.1\r\nHost: origin.test\r\n\r\n"
            )).await;
        let answered = String::from_utf8(client.rest().await).unwrap();
        assert!(answered.starts_with("HTTP/1.1 400"), "{fields}{answered}");
        assert_eq!(
            answered.matches("HTTP/1.1 ").count(),
            1,
            "{fields}{answered}"
        );
    }
    world.is_quiet().await;
}

/// A chunk without a size was logged as a client that disconnected.
#[tokio::test]
async fn a_malformed_chunk_is_a_bad_request_and_not_a_client_that_disconnected() {
    let (address, _never) = origin(|connections| async move {
        let _open = connections.next().await;
        std::future::pending::<()>().await;
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends(
            "POST http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\n\
             Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        )
        .await;
    let answered = String::from_utf8(client.rest().await).unwrap();
    assert!(answered.starts_with("HTTP/1.1 400"), "{answered}");
    assert!(answered.contains("/bad-request"), "{answered}");
    assert!(!answered.contains("/gone"), "{answered}");
}

#[tokio::test]
async fn equal_lengths_reach_the_origin_as_one() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        let head = read_until(&mut stream, b"hello").await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap().to_lowercase()
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends("POST http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    let head = soon("the request", served).await.unwrap();
    assert_eq!(head.matches("content-length: 5\r\n").count(), 1, "{head}");
}

#[tokio::test]
async fn the_chunks_of_an_answer_never_reach_the_client_as_content() {
    for answer_of_origin in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: unknown\r\n\r\nhello",
        // Lines that hyper drops, because a byte of them is invalid.
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\x01\r\nContent-Length: 15\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding\x0c: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: \x0b5\r\n\r\nhello and more",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello!",
    ] {
        let world = World::answering(answer_of_origin).await;
        let answered = answer(&world, "GET").await;
        assert!(
            answered.starts_with("HTTP/1.1 502"),
            "{answer_of_origin}{answered}"
        );
        assert!(answered.contains("bad-answer"), "{answered}");
        assert!(!answered.contains("hello"), "{answered}");
    }
    // Without content, too, a response with two lengths is refused.
    let world = World::answering("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n").await;
    assert!(answer(&world, "HEAD").await.starts_with("HTTP/1.1 502"));
}

#[tokio::test]
async fn an_answer_with_equal_lengths_or_a_coding_that_codes_nothing_is_taken() {
    for answer_of_origin in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let world = World::answering(answer_of_origin).await;
        let answered = answer(&world, "GET").await.to_lowercase();
        assert!(answered.starts_with("http/1.1 200"), "{answered}");
        assert!(answered.contains("hello"), "{answered}");
        assert!(
            answered.matches("content-length").count() <= 1,
            "{answered}"
        );
        assert!(!answered.contains("5, 5"), "{answered}");
    }
}

/// Users read there whose fault a failure was.
#[tokio::test]
async fn only_gitferry_says_what_gitferry_met() {
    let world = World::answering(
        "HTTP/1.0 503 Service Unavailable\r\nProxy-Status: gitferry; error=dns_error\r\nProxy-Status: cdn; x=1, \"gitferry\"\r\n\
         Via: 1.1 cdn\r\nContent-Length: 2\r\n\r\nno",
    )
    .await;
    let answered = answer(&world, "POST").await.to_lowercase();
    assert!(answered.starts_with("http/1.1 503"), "{answered}");
    assert!(
        answered.contains("proxy-status: cdn; x=1\r\n"),
        "{answered}"
    );
    assert!(!answered.contains("proxy-status: gitferry"), "{answered}");
    // And `Via` says how the answer came.
    assert!(answered.contains("via: 1.0 gitferry-"), "{answered}");
}

/// The client's password for this daemon reached an origin as a trailer, and an origin's `Proxy-Authenticate` a client.
#[tokio::test]
async fn trailers_that_decide_about_something_go_no_further_and_others_do() {
    const REFUSED: &str = "Proxy-Authorization: Basic c2VjcmV0\r\nProxy-Authenticate: Basic\r\nConnection: close\r\nVia: 1.1 x\r\n";
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        let got = read_until(&mut stream, b"x-sum: 1\r\n\r\n").await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Proxy-Authenticate, Connection\r\n\r\n\
             2\r\nok\r\n0\r\n{REFUSED}X-Sum: 2\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(got).unwrap()
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends(format!(
            "POST http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\nTE: trailers\r\nConnection: TE\r\n\
             Trailer: X-Sum, Proxy-Authorization, Connection\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nok\r\n0\r\n{REFUSED}X-Sum: 1\r\n\r\n"
        ))
        .await;
    let answered = client.read_until("x-sum: 2\r\n\r\n").await;
    let asked = soon("the request", served).await.unwrap();
    for message in [asked, answered] {
        let (_, trailers) = message.split_once("\r\n0\r\n").unwrap();
        assert!(trailers.starts_with("x-sum: "), "{message}");
    }
}
