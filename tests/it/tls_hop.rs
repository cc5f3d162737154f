//! `roots`, `client_certificate` and `client_key` of a hop: HAProxy speaks TLS in front of a scripted HTTP proxy.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::{
    peer::{Identity, Server, fault, get},
    support::skip::has_programs,
    world::{World, soon},
};

/// HAProxy, which terminates TLS in front of a plain proxy.
struct TlsHop {
    child: Child,
    address: SocketAddr,
}

impl Drop for TlsHop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl TlsHop {
    /// With `client`, HAProxy requires that client certificate.
    async fn start(directory: &Path, own: &Identity, client: Option<&Identity>) -> Self {
        let plain = plain_proxy().await;
        let address = {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap()
        };
        let both = directory.join("both.pem");
        let [certificate, key] =
            [&own.certificate, &own.key].map(|file| fs::read_to_string(file).unwrap());
        fs::write(&both, certificate + &key).unwrap();
        let verify = client.map_or_else(String::new, |client| {
            format!(" verify required ca-file {}", client.certificate.display())
        });
        let config = directory.join("haproxy.conf");
        let text = format!(
            "defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n\
             frontend tls\n  bind {address} ssl crt {}{verify}\n  default_backend plain\n\
             backend plain\n  server plain {plain}\n",
            both.display()
        );
        fs::write(&config, text).unwrap();
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        soon("haproxy", async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
        Self { child, address }
    }

    /// `[hops]` with this hop and `keys`, and a route to `origin` through it.
    async fn world(&self, keys: &str, origin: &Server, origin_keys: &str) -> World {
        let (hop, host) = (self.address.port(), origin.address.port());
        World::with(&format!(
            "[[route]]\nname = \"git.test\"\nrole = \"other\"\nhosts = [\"git.test\"]\ntls = \"terminate\"\n\
             upstreams = [{{ via = \"office\" }}]\nresolve = {{ \"git.test\" = \"127.0.0.1:{host}\" }}\n{origin_keys}\
             [hops.office]\nurl = \"https://localhost:{hop}\"\n{keys}"
        ))
        .await
    }
}

/// A proxy that grants every CONNECT, and answers other requests itself.
async fn plain_proxy() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client));
        }
    });
    address
}

async fn serve(mut client: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    match head.strip_prefix("CONNECT ") {
        Some(target) => {
            let target = target.split(' ').next().unwrap_or_default();
            let mut origin = TcpStream::connect(target).await?;
            client.write_all(b"HTTP/1.1 200 granted\r\n\r\n").await?;
            copy_bidirectional(&mut client, &mut origin).await?;
        }
        None => {
            let answer =
                "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nby the hop";
            client.write_all(answer.as_bytes()).await?;
            client.shutdown().await?;
        }
    }
    Ok(())
}

fn tools() -> bool {
    has_programs(&["openssl", "haproxy"])
}

#[tokio::test]
async fn an_https_hop_with_its_own_self_signed_certificate_is_used_where_its_roots_list_it() {
    if !tools() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let hop_identity = Identity::new(directory.path(), "localhost");
    let own = Identity::new(directory.path(), "git.test");
    let origin = Server::start(&own, &[]);
    let hop = TlsHop::start(directory.path(), &hop_identity, None).await;
    // Without the key, and with the key in the route in place of the hop.
    let both_in_the_route = format!(
        "roots = [\"{}\", \"{}\"]\n",
        own.certificate.display(),
        hop_identity.certificate.display()
    );
    for roots in [own.roots(), both_in_the_route] {
        let refused = hop.world("", &origin, &roots).await;
        assert!(get(&refused, "git.test").await.starts_with("HTTP/1.1 502"));
        let (code, advice) = fault(&refused);
        assert_eq!(code, "hop/handshaking/unknown-issuer");
        assert!(advice.contains("`roots` beside its `url`"), "{advice}");
    }
    let taken = hop
        .world(&hop_identity.roots(), &origin, &own.roots())
        .await;
    let answer = get(&taken, "git.test").await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    // The hop's certificate says nothing of the origin.
    let refused = hop.world(&hop_identity.roots(), &origin, "").await;
    assert!(get(&refused, "git.test").await.starts_with("HTTP/1.1 502"));
    assert_eq!(fault(&refused).0, "origin/handshaking/unknown-issuer");
}

#[tokio::test]
async fn an_https_hop_that_wants_a_client_certificate_gets_its_own_and_the_origin_does_not() {
    if !tools() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let hop_identity = Identity::new(directory.path(), "localhost");
    let own = Identity::new(directory.path(), "git.test");
    let client = Identity::new(directory.path(), "client.test");
    // The origin takes a client certificate and does not need one.
    let trust = client.certificate.to_str().unwrap();
    let origin = Server::start(&own, &["-verify", "1", "-CAfile", trust]);
    let hop = TlsHop::start(directory.path(), &hop_identity, Some(&client)).await;
    // Without the keys, and with the keys in the route in place of the hop.
    for route_keys in [own.roots(), own.roots() + &client.client()] {
        let refused = hop.world(&hop_identity.roots(), &origin, &route_keys).await;
        assert!(get(&refused, "git.test").await.starts_with("HTTP/1.1 502"));
        let (code, advice) = fault(&refused);
        assert_eq!(code, "hop/handshaking/alert-certificate-required");
        assert!(
            advice.contains(
                "`client_certificate` and `client_key` beside the `url` of `office` in `[hops]`"
            ),
            "{advice}"
        );
    }
    let keys = hop_identity.roots() + &client.client();
    let shown = hop.world(&keys, &origin, &own.roots()).await;
    let answer = get(&shown, "git.test").await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    let seen = answer.replace(' ', "");
    assert!(!seen.contains("CN=client.test"), "{answer}");
}

#[tokio::test]
async fn a_plain_request_through_an_https_hop_shows_the_hop_its_client_certificate() {
    if !tools() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let hop_identity = Identity::new(directory.path(), "localhost");
    let client = Identity::new(directory.path(), "client.test");
    let hop = TlsHop::start(directory.path(), &hop_identity, Some(&client)).await;
    for (keys, status) in [
        (hop_identity.roots(), "HTTP/1.1 502"),
        (hop_identity.roots() + &client.client(), "HTTP/1.1 200"),
    ] {
        let world = World::with(&format!(
            "[[route]]\nname = \"git.test\"\nrole = \"other\"\nhosts = [\"git.test\"]\ntls = \"tunnel\"\n\
             upstreams = [{{ via = \"office\" }}]\n\
             [hops.office]\nurl = \"https://localhost:{}\"\n{keys}",
            hop.address.port()
        ))
        .await;
        let mut asked = world
            .sends("GET http://git.test/ HTTP/1.1\r\nHost: git.test\r\nConnection: close\r\n\r\n")
            .await;
        let answer = String::from_utf8_lossy(&asked.rest().await).into_owned();
        assert!(answer.starts_with(status), "{answer}");
        if status.ends_with("502") {
            assert_eq!(
                fault(&world).0,
                "hop/handshaking/alert-certificate-required"
            );
        }
    }
}
