use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::testing;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);

async fn first(pieces: &[&[u8]], close: bool) -> FirstBytes {
    let (mut near, far) = duplex(4096);
    let mut io: BoxIo = Box::new(far);
    let write = async {
        for piece in pieces {
            near.write_all(piece).await.unwrap();
            // Each piece is read before the next one arrives.
            tokio::task::yield_now().await;
        }
        if close {
            near.shutdown().await.unwrap();
        }
    };
    let (first, ()) = tokio::join!(first_bytes(&mut io, SECOND), write);
    first.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_bytes_show_tls_plain_bytes_silence_or_an_end() {
    let bytes = Bytes::from_static;
    for (pieces, close, expected) in [
        (
            &[&b"\x16\x03\x01\x02\x00"[..]][..],
            false,
            FirstBytes::Tls(bytes(b"\x16\x03\x01\x02\x00")),
        ),
        (
            &[b"\x16", b"\x03", b"\x01"],
            false,
            FirstBytes::Tls(bytes(b"\x16\x03")),
        ),
        (
            &[b"SSH-2.0-OpenSSH"],
            false,
            FirstBytes::Plain(bytes(b"SSH-2.0-OpenSSH")),
        ),
        // SSLv2's ClientHello, and a record of a nonexistent version.
        (
            &[b"\x80\x2e\x01"],
            false,
            FirstBytes::Plain(bytes(b"\x80\x2e\x01")),
        ),
        (
            &[b"\x16", b"\x04"],
            false,
            FirstBytes::Plain(bytes(b"\x16\x04")),
        ),
        (&[b"\x16"], false, FirstBytes::Plain(bytes(b"\x16"))),
        (&[b"\x16"], true, FirstBytes::Plain(bytes(b"\x16"))),
        (&[], false, FirstBytes::Silent),
        (&[], true, FirstBytes::Closed),
    ] {
        assert_eq!(first(pieces, close).await, expected, "{pieces:?}");
    }
}

/// Accepts TLS for `hf.co` over HTTP/1.1.
async fn accept_http1(
    io: tokio::io::DuplexStream,
    leaves: &Arc<Leaves>,
    deadline: Duration,
) -> Result<ClientTls, Fault> {
    let host = "hf.co".parse().unwrap();
    let client = "127.0.0.1:1".parse().unwrap();
    let http = HttpVersion::Http1;
    accept(Box::new(io), leaves, (&host, http), client, deadline).await
}

struct Client {
    config: ClientConfig,
}

impl Client {
    fn trusting(leaves: &Leaves) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(leaves.authority.certificate().der().clone())
            .unwrap();
        Self::with(roots)
    }

    fn with(roots: RootCertStore) -> Self {
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config }
    }

    fn offering(mut self, alpn: &[&str]) -> Self {
        self.config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// Connects with the SNI `name` after a CONNECT to `host`.
    async fn connect(
        &self,
        leaves: &Arc<Leaves>,
        name: &str,
        host: &str,
        http: HttpVersion,
    ) -> (Result<ClientTls, Fault>, io::Result<Vec<u8>>) {
        let (near, far) = duplex(16 * 1024);
        let host = host.parse().unwrap();
        let client = "127.0.0.1:1".parse().unwrap();
        let accepting = async {
            let mut accepted =
                accept(Box::new(far), leaves, (&host, http), client, PATIENCE).await?;
            accepted.io.write_all(b"hello").await.unwrap();
            accepted.io.shutdown().await.unwrap();
            Ok(accepted)
        };
        let connecting = async {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let connector = TlsConnector::from(Arc::new(self.config.clone()));
            let mut stream = connector.connect(name, near).await?;
            let mut got = Vec::new();
            stream.read_to_end(&mut got).await?;
            Ok(got)
        };
        tokio::join!(accepting, connecting)
    }
}

#[tokio::test]
async fn a_client_that_trusts_the_ca_is_served_for_names_and_addresses() {
    let leaves = Arc::new(testing::leaves(&["hf.co", "*.hf.co", "192.0.2.1", "::1"]));
    let client = Client::trusting(&leaves);
    for name in ["hf.co", "cdn.hf.co", "a.b.hf.co", "192.0.2.1", "::1"] {
        let (accepted, got) = client
            .connect(&leaves, name, name, HttpVersion::Http1)
            .await;
        assert_eq!(got.unwrap(), b"hello", "{name}");
        accepted.unwrap();
    }
}

#[tokio::test]
async fn a_client_hello_that_names_another_host_than_the_connect_ends_in_an_alert() {
    let leaves = Arc::new(testing::leaves(&["*.hf.co", "192.0.2.1"]));
    let client = Client::trusting(&leaves);
    // The CA may sign for each of these names.
    for (sni, host) in [
        ("cdn.hf.co", "192.0.2.1"),
        ("cdn.hf.co", "lfs.hf.co"),
        ("evil.example", "cdn.hf.co"),
    ] {
        let (accepted, got) = client.connect(&leaves, sni, host, HttpVersion::Http1).await;
        let alert = got.unwrap_err().to_string();
        assert!(alert.contains("UnrecognisedName"), "{sni} {host}: {alert}");
        let fault = accepted.err().unwrap();
        assert_eq!(fault.code(), "client/handshaking/misdirected");
        assert!(fault.chain().contains(sni) && fault.chain().contains(host));
    }
    let (accepted, _) = client
        .connect(&leaves, "CDN.hf.co", "cdn.hf.co", HttpVersion::Http1)
        .await;
    accepted.unwrap();
}

#[tokio::test]
async fn alpn_offers_no_more_than_the_route_says() {
    let leaves = Arc::new(testing::leaves(&["hf.co"]));
    for (offered, http, chosen) in [
        (
            &["h2", "http/1.1"][..],
            HttpVersion::Http1,
            HttpVersion::Http1,
        ),
        (&["h2", "http/1.1"], HttpVersion::Http2, HttpVersion::Http2),
        (&["http/1.1"], HttpVersion::Http2, HttpVersion::Http1),
        (&[], HttpVersion::Http2, HttpVersion::Http1),
    ] {
        let client = Client::trusting(&leaves).offering(offered);
        let (accepted, _) = client.connect(&leaves, "hf.co", "hf.co", http).await;
        assert_eq!(accepted.unwrap().http, chosen, "{offered:?} {http:?}");
    }
    let client = Client::trusting(&leaves).offering(&["h2"]);
    let (accepted, _) = client
        .connect(&leaves, "hf.co", "hf.co", HttpVersion::Http1)
        .await;
    assert_eq!(
        accepted.err().unwrap().code(),
        "client/handshaking/no-common-tls"
    );
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_ca_is_named_by_its_alert() {
    let leaves = Arc::new(testing::leaves(&["hf.co"]));
    let client = Client::with(testing::ExternalCa::new().store());
    let (accepted, _) = client
        .connect(&leaves, "hf.co", "hf.co", HttpVersion::Http1)
        .await;
    let fault = accepted.err().unwrap();
    assert_eq!(fault.code(), "client/handshaking/alert-unknown-ca");
    assert_eq!(fault.peer.as_deref(), Some("127.0.0.1:1"));
}

#[tokio::test]
async fn a_host_that_the_ca_may_not_sign_for_is_a_fault_that_names_ca_rotate() {
    let leaves = Arc::new(testing::leaves(&["hf.co"]));
    let client = Client::trusting(&leaves);
    let (accepted, got) = client
        .connect(&leaves, "github.com", "github.com", HttpVersion::Http1)
        .await;
    let fault = accepted.err().unwrap();
    assert_eq!(fault.code(), "client/handshaking/local");
    assert!(fault.chain().contains("`gitferry ca rotate`"));
    got.unwrap_err();
}

#[tokio::test]
async fn a_second_connection_resumes_the_session_of_the_first() {
    let leaves = Arc::new(testing::leaves(&["hf.co"]));
    let client = Client::trusting(&leaves);
    let config = Arc::new(client.config);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let (near, far) = duplex(16 * 1024);
        let server = async {
            let accepted = accept_http1(far, &leaves, PATIENCE).await;
            let mut io = accepted.unwrap().io;
            io.write_all(b"x").await.unwrap();
            io.shutdown().await.unwrap();
        };
        let client = async {
            let name = ServerName::try_from("hf.co").unwrap();
            let connector = TlsConnector::from(Arc::clone(&config));
            let mut stream = connector.connect(name, near).await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            stream.get_ref().1.handshake_kind().unwrap()
        };
        kinds.push(tokio::join!(server, client).1);
    }
    assert_eq!(
        kinds,
        [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed]
    );
}

#[tokio::test(start_paused = true)]
async fn silence_an_end_and_a_malformed_hello_of_the_client_are_different_faults() {
    let leaves = Arc::new(testing::leaves(&["hf.co"]));
    for (sends, closes, code) in [
        (&b"\x16\x03\x01"[..], false, "client/handshaking/timed-out"),
        (b"\x16\x03\x01", true, "client/handshaking/closed-early"),
        (
            b"\x16\x03\x01\x00\x04nope",
            false,
            "client/handshaking/bad-answer",
        ),
    ] {
        let (mut near, far) = duplex(4096);
        near.write_all(sends).await.unwrap();
        if closes {
            near.shutdown().await.unwrap();
        }
        let accepted = accept_http1(far, &leaves, SECOND).await;
        assert_eq!(accepted.err().unwrap().code(), code, "{sends:?}");
    }
}
