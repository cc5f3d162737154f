//! `roots`, `client_certificate` and `client_key` of a hop: HAProxy speaks TLS in front of a scripted HTTP proxy.

use std::{fs, path::Path};

use crate::{
    peer::{Identity, Server, fault, get},
    support::skip::has_programs,
    world::{Hop, World},
};

/// A hop behind HAProxy, which has the certificate `own` and with `client` requires that client certificate.
fn behind_tls(hop: Hop, directory: &Path, own: &Identity, client: Option<&Identity>) -> Hop {
    let pem = directory.join("both.pem");
    let [certificate, key] =
        [&own.certificate, &own.key].map(|file| fs::read_to_string(file).unwrap());
    fs::write(&pem, certificate + &key).unwrap();
    hop.behind_tls(directory, &pem, client.map(|client| &*client.certificate))
}

/// A daemon that has the hop with `keys`, and a route to `origin` through it.
async fn daemon(hop: &Hop, keys: &str, origin: &Server, origin_keys: &str) -> World {
    let (hop, origin) = (&hop.url, origin.address);
    World::with(&format!(
        "[[route]]\nname = \"git.test\"\nrole = \"other\"\nhosts = [\"git.test\"]\ntls = \"terminate\"\n\
         upstreams = [{{ via = \"office\" }}]\nresolve = {{ \"git.test\" = \"{origin}\" }}\n{origin_keys}\
         [hops.office]\nurl = \"{hop}\"\n{keys}"
    ))
    .await
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
    let hop = behind_tls(Hop::reaches(&[]), directory.path(), &hop_identity, None);
    // Without the key, and with the key in the route in place of the hop.
    let both_in_the_route = format!(
        "roots = [\"{}\", \"{}\"]\n",
        own.certificate.display(),
        hop_identity.certificate.display()
    );
    for roots in [own.roots(), both_in_the_route] {
        let refused = daemon(&hop, "", &origin, &roots).await;
        assert!(get(&refused, "git.test").await.starts_with("HTTP/1.1 502"));
        let (code, advice) = fault(&refused);
        assert_eq!(code, "hop/handshaking/unknown-issuer");
        assert!(advice.contains("`roots` beside its `url`"), "{advice}");
    }
    let taken = daemon(&hop, &hop_identity.roots(), &origin, &own.roots()).await;
    let answer = get(&taken, "git.test").await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    // The hop's certificate says nothing of the origin.
    let refused = daemon(&hop, &hop_identity.roots(), &origin, "").await;
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
    let hop = behind_tls(
        Hop::reaches(&[]),
        directory.path(),
        &hop_identity,
        Some(&client),
    );
    // Without the keys, and with the keys in the route in place of the hop.
    for route_keys in [own.roots(), own.roots() + &client.client()] {
        let refused = daemon(&hop, &hop_identity.roots(), &origin, &route_keys).await;
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
    let shown = daemon(&hop, &keys, &origin, &own.roots()).await;
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
    let hop = behind_tls(
        Hop::answers_and_closes(
            "HTTP/1.1 200 OK\r\ncontent-length: 10\r\nconnection: close\r\n\r\nby the hop",
        ),
        directory.path(),
        &hop_identity,
        Some(&client),
    );
    for (keys, status) in [
        (hop_identity.roots(), "HTTP/1.1 502"),
        (hop_identity.roots() + &client.client(), "HTTP/1.1 200"),
    ] {
        let world = World::with(&format!(
            "[[route]]\nname = \"git.test\"\nrole = \"other\"\nhosts = [\"git.test\"]\ntls = \"tunnel\"\n\
             upstreams = [{{ via = \"office\" }}]\n\
             [hops.office]\nurl = \"{}\"\n{keys}",
            hop.url
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
