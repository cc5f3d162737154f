use std::time::SystemTime;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::ClientCertificate;
use crate::tls::testing::{self, DAY, ExternalCa};

const PATIENCE: Duration = Duration::from_secs(20);

fn peer() -> SocketAddr {
    "192.0.2.1:443".parse().unwrap()
}

async fn dial(
    connector: &Connector,
    io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    name: &str,
    http: HttpVersion,
) -> Result<OriginTls, Fault> {
    dial_with(connector, io, name, http, &PeerTls::default()).await
}

async fn dial_with(
    connector: &Connector,
    io: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    name: &str,
    http: HttpVersion,
    tls: &PeerTls,
) -> Result<OriginTls, Fault> {
    let peer = Peer {
        host: &name.parse().unwrap(),
        tls,
        http,
        leg: Leg::Origin,
        address: peer(),
        deadline: PATIENCE,
    };
    connector.connect(Box::new(io), &peer).await
}

/// The fault of a handshake for `name` with `server`.
async fn refusal(world: &ExternalCa, server: Arc<ServerConfig>, name: &str) -> Fault {
    let connector = Connector::new(&world.roots(), []).unwrap();
    refusal_by(&connector, server, name).await
}

async fn refusal_by(connector: &Connector, server: Arc<ServerConfig>, name: &str) -> Fault {
    let (near, far) = duplex(16 * 1024);
    let serving = TlsAcceptor::from(server).accept(far);
    let (secured, _) = tokio::join!(dial(connector, near, name, HttpVersion::Http1), serving);
    secured.err().unwrap()
}

/// The fault of a handshake with a peer that runs `play`.
async fn with_peer<F: Future<Output = ()>>(play: impl FnOnce(DuplexStream) -> F) -> Fault {
    let connector = Connector::new(&ExternalCa::new().roots(), []).unwrap();
    let (near, far) = duplex(16 * 1024);
    let (secured, ()) = tokio::join!(
        dial(&connector, near, "hf.co", HttpVersion::Http1),
        play(far)
    );
    secured.err().unwrap()
}

#[tokio::test]
async fn a_verified_peer_gets_the_highest_http_version_that_both_offer() {
    let world = ExternalCa::new();
    let connector = Connector::new(&world.roots(), []).unwrap();
    for (offers, http, chosen) in [
        (
            &["h2", "http/1.1"][..],
            HttpVersion::Http2,
            HttpVersion::Http2,
        ),
        (&["h2", "http/1.1"], HttpVersion::Http1, HttpVersion::Http1),
        (&["http/1.1"], HttpVersion::Http2, HttpVersion::Http1),
        (&[], HttpVersion::Http2, HttpVersion::Http1),
    ] {
        for name in ["hf.co", "192.0.2.1", "::1"] {
            let mut server = Arc::unwrap_or_clone(world.server(&[name], |_| {}));
            server.alpn_protocols = offers.iter().map(|p| p.as_bytes().to_vec()).collect();
            let (near, far) = duplex(16 * 1024);
            let serving = async {
                let accepted = TlsAcceptor::from(Arc::new(server)).accept(far).await;
                let mut stream = accepted.unwrap();
                stream.write_all(b"hello").await.unwrap();
                stream.shutdown().await.unwrap();
                stream.get_ref().1.server_name().map(ToOwned::to_owned)
            };
            let (secured, sni) = tokio::join!(dial(&connector, near, name, http), serving);
            let mut secured = secured.unwrap();
            assert_eq!(secured.http, chosen, "{offers:?} {http:?}");
            // An address is no server name (RFC 6066, section 3).
            assert_eq!(sni.as_deref(), (name == "hf.co").then_some("hf.co"));
            let mut got = Vec::new();
            secured.io.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, b"hello");
        }
    }
}

#[tokio::test]
async fn each_kind_of_bad_certificate_is_its_own_fault() {
    let world = ExternalCa::new();
    let now = SystemTime::now();
    let over = |p: &mut CertificateParams| testing::validity(p, now - 9 * DAY, now - 2 * DAY);
    let future = |p: &mut CertificateParams| testing::validity(p, now + 2 * DAY, now + 9 * DAY);
    let for_clients = |p: &mut CertificateParams| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    for (server, kind) in [
        (world.server(&["hf.co"], over), "expired"),
        (world.server(&["hf.co"], future), "not-yet-valid"),
        (world.server_behind("hf.co", over), "expired"),
        (
            world.server(&["a.example", "*.b.example"], |_| {}),
            "name-mismatch",
        ),
        (world.server(&["192.0.2.9"], |_| {}), "name-mismatch"),
        (
            ExternalCa::new().server(&["hf.co"], |_| {}),
            "unknown-issuer",
        ),
        (
            ExternalCa::new().server_behind("hf.co", |_| {}),
            "unknown-issuer",
        ),
        (testing::self_signed("hf.co").0, "unknown-issuer"),
        (testing::self_signed_ca("hf.co").0, "unknown-issuer"),
        (world.server(&["hf.co"], for_clients), "bad-certificate"),
    ] {
        let fault = refusal(&world, server, "hf.co").await;
        assert_eq!(
            fault.code(),
            format!("origin/handshaking/{kind}"),
            "{}",
            fault.chain()
        );
        assert_eq!(fault.peer.as_deref(), Some("192.0.2.1:443"));
        // An unknown issuer is named; for other errors the library's text is kept.
        match kind {
            "unknown-issuer" => assert!(fault.detail.unwrap().contains("is signed by \"")),
            _ => assert!(fault.source.is_some()),
        }
    }
}

#[tokio::test]
async fn a_peer_named_by_address_needs_that_address_in_its_certificate() {
    let world = ExternalCa::new();
    for names in [&["192.0.2.9"][..], &["hf.co"], &["::1"]] {
        let fault = refusal(&world, world.server(names, |_| {}), "192.0.2.1").await;
        assert_eq!(
            fault.code(),
            "origin/handshaking/name-mismatch",
            "{names:?}"
        );
    }
}

#[tokio::test]
async fn a_peer_with_only_tls_1_2_is_accepted() {
    let world = ExternalCa::new();
    let server = world.server_of(&["hf.co"], |_| {}, &[&rustls::version::TLS12]);
    let connector = Connector::new(&world.roots(), []).unwrap();
    let (near, far) = duplex(16 * 1024);
    let serving = TlsAcceptor::from(server).accept(far);
    let (secured, accepted) =
        tokio::join!(dial(&connector, near, "hf.co", HttpVersion::Http1), serving);
    secured.map(drop).unwrap();
    let spoken = accepted.unwrap().get_ref().1.protocol_version();
    assert_eq!(spoken, Some(rustls::ProtocolVersion::TLSv1_2));
}

#[tokio::test]
async fn a_self_signed_server_is_trusted_once_its_certificate_is_a_root_but_not_a_ca() {
    let (server, certificate) = testing::self_signed("hf.co");
    let connector = Connector::new(&Roots::of(vec![certificate], Vec::new()), []).unwrap();
    let (near, far) = duplex(16 * 1024);
    let serving = TlsAcceptor::from(server).accept(far);
    let dialling = dial(&connector, near, "hf.co", HttpVersion::Http1);
    let (secured, _) = tokio::join!(dialling, serving);
    secured.map(drop).unwrap();

    // Not where the certificate is a CA's.
    let (server, certificate) = testing::self_signed_ca("hf.co");
    let connector = Connector::new(&Roots::of(vec![certificate], Vec::new()), []).unwrap();
    let fault = refusal_by(&connector, server, "hf.co").await;
    assert_eq!(fault.code(), "origin/handshaking/unknown-issuer");
}

#[tokio::test]
async fn without_roots_no_peer_is_trusted() {
    let connector = Connector::new(&Roots::of(Vec::new(), Vec::new()), []).unwrap();
    let server = ExternalCa::new().server(&["hf.co"], |_| {});
    let fault = refusal_by(&connector, server, "hf.co").await;
    assert_eq!(fault.code(), "origin/handshaking/unknown-issuer");
}

#[tokio::test]
async fn the_fault_contains_the_name_of_the_peers_alert() {
    for (alert, name) in [
        (112, "unrecognized-name"),
        (40, "handshake-failure"),
        (70, "protocol-version"),
    ] {
        let fault = with_peer(|mut far| async move {
            far.write_all(&[0x15, 3, 3, 0, 2, 2, alert]).await.unwrap();
            far.read_to_end(&mut Vec::new()).await.unwrap();
        });
        let fault = fault.await;
        assert_eq!(fault.code(), format!("origin/handshaking/alert-{name}"));
    }
}

#[tokio::test]
async fn a_peer_that_speaks_another_protocol_is_a_bad_answer() {
    for response in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail.example ESMTP\r\n",
    ] {
        let fault = with_peer(|mut far| async move {
            far.write_all(response).await.unwrap();
            far.read_to_end(&mut Vec::new()).await.unwrap();
        });
        assert_eq!(fault.await.code(), "origin/handshaking/bad-answer");
    }
}

#[tokio::test]
async fn a_server_with_only_tls_1_0_is_no_common_tls() {
    // A ServerHello of TLS 1.0.
    let mut hello = vec![0x16, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0xc0, 0x13, 0]);
    let fault = with_peer(|mut far| async move {
        far.write_all(&hello).await.unwrap();
        far.read_to_end(&mut Vec::new()).await.unwrap();
    });
    assert_eq!(fault.await.code(), "origin/handshaking/no-common-tls");
}

#[tokio::test]
async fn an_end_of_stream_is_closed_early_or_reset() {
    let fault = with_peer(|far| async move { drop(far) }).await;
    assert!(
        [
            "origin/handshaking/closed-early",
            "origin/handshaking/reset"
        ]
        .contains(&&*fault.code())
    );
    let fault = with_peer(|mut far| async move {
        let mut hello = [0; 5];
        far.read_exact(&mut hello).await.unwrap();
        far.shutdown().await.unwrap();
        far.read_to_end(&mut Vec::new()).await.unwrap();
    });
    assert_eq!(fault.await.code(), "origin/handshaking/closed-early");
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_times_out_at_the_deadline() {
    for response in [&b""[..], b"\x16\x03\x03\x40\x00\x02"] {
        let begun = tokio::time::Instant::now();
        let fault = with_peer(|mut far| async move {
            far.write_all(response).await.unwrap();
            // Until the client gives up.
            let _ = far.read_to_end(&mut Vec::new()).await;
        });
        let fault = fault.await;
        assert_eq!(begun.elapsed(), PATIENCE);
        assert_eq!(fault.code(), "origin/handshaking/timed-out");
    }
}

#[tokio::test]
async fn a_reset_after_the_client_hello_is_a_reset() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let resetting = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.read_exact(&mut [0; 5]).await.unwrap();
        // Closing with a linger time of zero sends RST.
        socket2::SockRef::from(&socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    };
    let connector = Connector::new(&ExternalCa::new().roots(), []).unwrap();
    let dialling = async {
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        dial(&connector, socket, "hf.co", HttpVersion::Http1).await
    };
    let (secured, ()) = tokio::join!(dialling, resetting);
    assert_eq!(secured.err().unwrap().code(), "origin/handshaking/reset");
}

#[tokio::test]
async fn a_fault_of_a_hops_tls_is_on_the_hops_leg() {
    let world = ExternalCa::new();
    let connector = Connector::new(&world.roots(), []).unwrap();
    let (near, far) = duplex(16 * 1024);
    let server = world.server(&["other.example"], |_| {});
    let hop = Hop {
        name: "hop".into(),
        kind: crate::config::HopKind::Https,
        target: crate::model::Target::parse("hop.example:443", None).unwrap(),
        credentials: None,
        via: true,
        pipeline: false,
        peer: PeerTls::default(),
        granted: crate::config::GrantedTargets::default(),
    };
    let serving = TlsAcceptor::from(server).accept(far);
    let securing = connector.secure(Box::new(near), &hop, peer(), PATIENCE);
    let (secured, _) = tokio::join!(securing, serving);
    assert_eq!(
        secured.err().unwrap().code(),
        "hop/handshaking/name-mismatch"
    );
}

#[tokio::test]
async fn the_client_hello_fits_into_one_packet() {
    let connector = Connector::new(&ExternalCa::new().roots(), []).unwrap();
    let (near, mut far) = duplex(16 * 1024);
    let reading = async {
        let mut hello = vec![0; 16 * 1024];
        let read = far.read(&mut hello).await.unwrap();
        drop(far);
        read
    };
    let name = "hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com";
    let (_, length) = tokio::join!(dial(&connector, near, name, HttpVersion::Http2), reading);
    assert!((100..500).contains(&length), "{length}");
}

#[tokio::test]
async fn a_second_connection_to_an_origin_resumes_and_one_with_other_tls_settings_does_not() {
    let world = ExternalCa::new();
    let directory = tempfile::tempdir().unwrap();
    let [certificate, key] = ["me.pem", "me.key"].map(|name| directory.path().join(name));
    let me = rcgen::generate_simple_self_signed(["me".to_owned()]).unwrap();
    std::fs::write(&certificate, me.cert.pem()).unwrap();
    std::fs::write(&key, me.signing_key.serialize_pem()).unwrap();
    let other = PeerTls {
        client: Some(ClientCertificate { certificate, key }),
        ..PeerTls::default()
    };
    let connector = Connector::new(&world.roots(), [other.clone()]).unwrap();
    let acceptor = TlsAcceptor::from(world.server(&["hf.co"], |_| {}));
    let mut kinds = Vec::new();
    for tls in [&PeerTls::default(), &PeerTls::default(), &other] {
        let (near, far) = duplex(16 * 1024);
        let server = async {
            let mut stream = acceptor.accept(far).await.unwrap();
            // The session tickets are sent before this byte.
            stream.write_all(b"x").await.unwrap();
            stream.shutdown().await.unwrap();
            stream.get_ref().1.handshake_kind().unwrap()
        };
        let client = async {
            let secured = dial_with(&connector, near, "hf.co", HttpVersion::Http1, tls);
            let mut io = secured.await.unwrap().io;
            io.read_to_end(&mut Vec::new()).await.unwrap();
        };
        kinds.push(tokio::join!(server, client).0);
    }
    use rustls::HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Full, Resumed, Full]);
}

#[tokio::test]
async fn a_certificate_with_log_timestamps_or_in_roots_is_genuine() {
    let world = ExternalCa::new();
    let usual = Connector::new(&world.roots(), []).unwrap();
    let genuine = async |connector: &Connector, server, tls: &PeerTls| {
        let (near, far) = duplex(16 * 1024);
        let serving = TlsAcceptor::from(server).accept(far);
        let secured = dial_with(connector, near, "hf.co", HttpVersion::Http1, tls);
        let (secured, _) = tokio::join!(secured, serving);
        secured.unwrap().genuine
    };
    let none = PeerTls::default();
    // As the CA of a middlebox creates it.
    let made = world.server(&["hf.co"], |_| {});
    assert!(!genuine(&usual, made, &none).await);
    let logged = world.server(&["hf.co"], |parameters| {
        let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
        let list = rcgen::CustomExtension::from_oid_content(&oid, vec![4, 2, 0, 0]);
        parameters.custom_extensions.push(list);
    });
    assert!(genuine(&usual, logged, &none).await);
    let directory = tempfile::tempdir().unwrap();
    let (listed, certificate) = testing::self_signed_ca("hf.co");
    let file = directory.path().join("own.pem");
    let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &certificate);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    std::fs::write(&file, pem).unwrap();
    let tls = PeerTls {
        roots: vec![file],
        ..none
    };
    let connector = Connector::new(&world.roots(), [tls.clone()]).unwrap();
    assert!(genuine(&connector, listed, &tls).await);
}
