//! What a hop gets before it has granted a tunnel: the request for it, and nothing else.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    support::world::route_by,
    world::{World, all_at_once, origin, read_until, soon},
};

/// How long the hop waits with its grant.
const PAUSE: Duration = Duration::from_millis(300);

/// What a client sends, and the first byte that the hop gets after its grant.
const REQUESTS: [(&str, &str, u8); 3] = [
    (
        "tunnel",
        "CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n!early",
        b'!',
    ),
    (
        "tunnel",
        "GET http://origin.test/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b'G',
    ),
    // The first byte of a ClientHello.
    (
        "terminate",
        "GET /origin.test/r HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        0x16,
    ),
];

#[tokio::test]
async fn nothing_follows_connect_before_the_hop_has_answered_200() {
    all_at_once(REQUESTS, |(tls, request, first)| async move {
        let (hop, served) = origin(move |connections| async move {
            let mut stream = connections.next().await;
            let asked = read_until(&mut stream, b"\r\n\r\n").await;
            assert!(asked.starts_with(b"CONNECT "), "{asked:?}");
            let mut byte = [0];
            let early = timeout(PAUSE, stream.read(&mut byte)).await;
            assert!(early.is_err(), "{request}: {early:?} {byte:?}");
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            stream.read_exact(&mut byte).await.unwrap();
            assert_eq!(byte[0], first, "{request}");
        })
        .await;
        // A hop is asked for a tunnel where the route says which address the name has.
        let address = "resolve = { \"origin.test\" = \"127.0.0.1:9\" }";
        let url = format!("http://{hop}");
        let routes = route_by(&[("hop", &url)], "origin.test", address);
        let routes = routes.replace("tls = \"tunnel\"", &format!("tls = \"{tls}\""));
        let world = World::with(&routes).await;
        let _client = world.sends(request).await;
        soon("the hop", served).await.unwrap();
    })
    .await;
}
