//! A side that does not read holds the other side back, and little is buffered in between.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, origin, route, soon};

/// What the kernels between a client and its origin hold in any case.
const LEAST: usize = 256 * 1024;

#[tokio::test]
async fn an_origin_that_stops_reading_holds_the_client_back() {
    const SIZE: usize = 256 * 1024 * 1024;
    let (address, _served) = origin(|connections| async move {
        let stream = connections.next().await;
        // Keeps the connection and reads nothing.
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends(format!(
            "PUT http://origin.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"
        ))
        .await;
    let chunk = vec![7; 64 * 1024];
    let mut taken = 0;
    // A writer without progress for this long is held back.
    while let Ok(written) =
        tokio::time::timeout(std::time::Duration::from_secs(1), client.0.write(&chunk)).await
    {
        taken += written.unwrap();
        assert!(
            taken < SIZE / 4,
            "{taken} bytes went into a connection that nobody reads"
        );
    }
    assert!(taken > LEAST, "only {taken} bytes were taken");
    let list = world.shared().tracker.list();
    assert_eq!(list.len(), 1);
}

/// What is ahead of the origin counts as sent to its client, who then waits for an answer: git-lfs for 30 s.
#[tokio::test]
async fn a_client_gets_little_ahead_of_an_origin_that_does_not_read() {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Like a path that is slow: it takes little at once.
    listener.set_recv_buffer_size(64 * 1024).unwrap();
    listener
        .bind(
            &"127.0.0.1:0"
                .parse::<std::net::SocketAddr>()
                .unwrap()
                .into(),
        )
        .unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends("PUT http://origin.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        .await;
    let piece = vec![0; 64 * 1024];
    let mut sent = 0;
    // Without progress for this long there will be none: the other end does not read.
    let patience = std::time::Duration::from_secs(1);
    while let Ok(written) = tokio::time::timeout(patience, client.0.write(&piece)).await {
        sent += written.unwrap();
        assert!(sent < 100_000_000, "all of it was taken");
    }
    println!("{sent} bytes ahead");
    // Up to 4 MiB of them in the client's own send buffer (tcp_wmem), which is not ours to clamp; it was 8.6 MB in all without the clamps.
    assert!(
        (LEAST..6 * 1024 * 1024).contains(&sent),
        "{sent} bytes ahead"
    );
}

/// The connection to the origin kept the rest of the body, and the client's next request waited behind it: git-lfs for 30 s.
#[tokio::test]
async fn the_connection_of_a_client_whose_upload_failed_on_a_dead_path_is_not_left_hanging() {
    let (address, _served) = origin(|connections| async move {
        let stream = connections.next().await;
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let limits = "stall = { after = \"500ms\", action = \"fail\" }";
    let world = World::with(&route("origin.test", address, "tunnel", limits)).await;
    let mut client = world
        .sends("PUT http://origin.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        .await;
    let piece = vec![0; 64 * 1024];
    let patience = std::time::Duration::from_secs(1);
    while let Ok(Ok(_)) = tokio::time::timeout(patience, client.0.write(&piece)).await {}
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 504"), "{head}");
    // It ends, whether in order or by a reset, since not all of the body was read.
    let mut rest = Vec::new();
    let end = soon("the end of the connection", client.0.read_to_end(&mut rest));
    let _ = end.await;
}
