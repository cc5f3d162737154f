//! Which client connections are idle: neither one whose response pauses, nor one with an open stream.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
    time::Instant,
};
use tokio_rustls::TlsConnector;
use tokio_util::bytes::Bytes;

use crate::{
    one_host::trusting,
    world::{GET, World, origin, read_until, route, soon},
};

const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf";

/// Longer than a connection must be idle before it is closed for a client that waits for a slot.
const LONG: Duration = Duration::from_secs(12);

#[tokio::test]
async fn a_download_that_pauses_is_not_closed_for_a_client_that_waits_for_a_slot() {
    let (continues, paused) = oneshot::channel();
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        stream.write_all(HALF).await.unwrap();
        paused.await.unwrap();
        stream.write_all(b"rest").await.unwrap();
        read_until(&mut stream, b"\r\n\r\n").await;
        stream.write_all(crate::world::OK.as_bytes()).await.unwrap();
        connections
    })
    .await;
    let routes = route("origin.test", address, "tunnel", "");
    let world = World::listening("max_connections = 1", &routes).await;
    let mut client = world.sends(GET).await;
    client.read_until("half").await;
    let mut waits = world.sends(GET).await;
    let early = tokio::time::timeout(LONG, client.read_until("rest")).await;
    assert!(early.is_err(), "the download broke off");
    continues.send(()).unwrap();
    client.read_until("rest").await;
    drop(client);
    assert!(waits.read_until("\r\n\r\nok").await.contains(" 200 "));
}

/// `head_timeout` is 5 s here.
#[tokio::test]
async fn a_client_that_negotiates_http2_and_says_nothing_has_one_head_timeout() {
    let routes = "[[route]]\nname = \"main.test\"\nrole = \"other\"\nhosts = [\"main.test\"]\ntls = \"terminate\"\n\
                  http = \"2\"\nupstreams = [{ via = \"direct\" }]\n";
    let world = World::with(routes).await;
    let mut config = trusting(&world);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tunnel = world.tunnel("main.test:443").await.0;
    let name = ServerName::try_from("main.test").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tunnel);
    let mut tls = soon("a handshake", tls).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let _ = soon("the end", tls.read_to_end(&mut Vec::new())).await;
}

/// `idle_timeout` is 5 s here.
#[tokio::test]
async fn a_client_connection_over_http2_has_its_idle_time_between_requests_and_not_within_one() {
    let pause = Duration::from_secs(7);
    let (address, _served) = origin(move |connections| async move {
        let mut stream = connections.asked().await;
        stream.write_all(HALF).await.unwrap();
        tokio::time::sleep(pause).await;
        stream.write_all(b"rest").await.unwrap();
        connections
    })
    .await;
    // The mirror spares the origin TLS.
    let routes = format!(
        "[[route]]\nname = \"main.test\"\nrole = \"other\"\nhosts = [\"main.test\"]\ntls = \"terminate\"\n\
         http = \"2\"\nupstreams = [{{ via = \"direct\", mirror = \"http://{address}\", credentials = \"pass\" }}]\n"
    );
    let world = World::with(&routes).await;
    let mut config = trusting(&world);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tunnel = world.tunnel("main.test:443").await.0;
    let name = ServerName::try_from("main.test").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tunnel);
    let io = TokioIo::new(soon("a handshake", tls).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("https://main.test/").body(Empty::<Bytes>::new());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    let body = soon("the response", response.into_body().collect()).await;
    assert_eq!(body.unwrap().to_bytes(), "halfrest");
    let answered = Instant::now();
    soon("the end of the idle connection", connection)
        .await
        .unwrap()
        .unwrap();
    let idle = answered.elapsed();
    assert!(idle > Duration::from_secs(4), "{idle:?}");
}
