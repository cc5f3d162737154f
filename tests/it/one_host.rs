//! On a terminated connection the CONNECT, the ClientHello and every request name one host.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::world::{Client, World, origin, soon};

/// A daemon that terminates `main.test`, with an origin that must never be reached.
async fn terminating() -> World {
    let (address, _served) = origin(|connections| async move {
        let stream = connections.next().await;
        panic!("the origin was reached by {:?}", stream.peer_addr());
    })
    .await;
    World::with(&crate::world::route("main.test", address, "terminate", "")).await
}

/// TLS to `sni` inside a CONNECT to `connect`.
pub(crate) async fn inside(
    world: &World,
    connect: &str,
    sni: Option<&str>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let client = world.tunnel(connect).await;
    handshake(world, client, connect, sni).await
}

/// A client that trusts the daemon's CA.
pub(crate) fn trusting(world: &World) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(world.state().join("ca.pem")).unwrap();
    roots.add(ca).unwrap();
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) async fn handshake(
    world: &World,
    client: Client,
    connect: &str,
    sni: Option<&str>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config = trusting(world);
    config.enable_sni = sni.is_some();
    let host = connect.rsplit_once(':').unwrap().0.trim_end_matches('.');
    let name = ServerName::try_from(sni.unwrap_or(host).to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    soon("a handshake", connector.connect(name, client.0)).await
}

#[tokio::test]
async fn a_client_hello_for_another_host_than_the_connect_gets_an_alert_and_no_leaf() {
    let world = terminating().await;
    // The CA's constraint permits names below a configured one, and a leaf is made for none of them.
    for sni in ["below.main.test", "other.test"] {
        let error = inside(&world, "main.test:443", Some(sni))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    }
    inside(&world, "MAIN.test.:443", Some("main.test"))
        .await
        .unwrap();
    inside(&world, "main.test:443", None).await.unwrap();
}

#[tokio::test]
async fn a_connect_to_an_address_is_tunnelled_whatever_its_client_hello_names() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        let mut hello = vec![0; 2048];
        let read = stream.read(&mut hello).await.unwrap();
        hello.truncate(read);
        hello
    })
    .await;
    let port = address.port();
    let routes = crate::world::route("main.test", address, "terminate", "");
    let world = World::with(&format!("{routes}[other_hosts]\nports = [{port}]\n")).await;
    let connect = format!("127.0.0.1:{port}");
    let client = world.tunnel(&connect).await;
    handshake(&world, client, &connect, Some("main.test"))
        .await
        .unwrap_err();
    let hello = soon("the ClientHello", served).await.unwrap();
    assert_eq!(hello.first(), Some(&22));
    let name = b"main.test";
    assert!(hello.windows(name.len()).any(|bytes| bytes == name));
}

#[tokio::test]
async fn a_request_for_another_host_than_the_connect_is_answered_421() {
    let world = terminating().await;
    for (target, host) in [
        ("/x", "other.test"),
        ("/x", "below.main.test"),
        ("/x", "main.test:8443"),
        ("/x", "me:secret@main.test"),
        ("https://other.test/x", "main.test"),
        ("https://main.test/x", "other.test"),
    ] {
        let mut stream = inside(&world, "main.test:443", Some("main.test"))
            .await
            .unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the answer", stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 421"),
            "{target} {host}: {answer}"
        );
        assert!(
            answer.contains("misdirected") && !answer.contains("secret"),
            "{answer}"
        );
    }
}
