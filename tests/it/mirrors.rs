//! Mirrors: another origin replaces the site, and the client does not notice.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;

use crate::world::{World, origin, read_until, soon};

/// A route for `site.test` with these upstreams.
fn site(upstreams: &str, resolve: &str) -> String {
    format!(
        "[[route]]\nname = \"site\"\nhosts = [\"site.test\"]\ntls = \"terminate\"\n\
         upstreams = [{upstreams}]\nresolve = {{ {resolve} }}\ndial = {{ attempts = 1 }}\n"
    )
}

/// An origin that sends one response to each request, and returns the heads of the requests.
async fn answers(
    answers: &'static [&'static str],
) -> (SocketAddr, tokio::task::JoinHandle<Vec<String>>) {
    origin(move |connections| async move {
        let mut heads = Vec::new();
        let mut stream = connections.next().await;
        for answer in answers {
            let mut head = read_until(&mut stream, b"\r\n\r\n").await;
            if head.is_empty() {
                stream = connections.next().await;
                head = read_until(&mut stream, b"\r\n\r\n").await;
            }
            heads.push(String::from_utf8(head).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    })
    .await
}

/// An origin that must get no request.
async fn silent() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    origin(|connections| async move {
        std::future::pending::<()>().await;
        drop(connections);
    })
    .await
}

const CLOSING: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const GET: &str = "GET http://site.test/u/r?download=true HTTP/1.1\r\nhost: site.test\r\nauthorization: Bearer hf_token\r\n\
                   cookie: a=b\r\nprivate-token: glpat\r\naccept-encoding: gzip\r\n\r\n";

#[tokio::test]
async fn a_mirror_is_asked_by_its_own_name_and_path_and_without_credentials() {
    let (mirror, served) = answers(&[OK]).await;
    let routes = site(
        &format!(
            "{{ via = \"direct\", mirror = \"http://m.test:{}/hub\" }}",
            mirror.port()
        ),
        &format!("\"m.test\" = \"{mirror}\""),
    );
    let world = World::with(&routes).await;
    let mut client = world.sends(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    let head = soon("the mirror", served).await.unwrap().remove(0);
    assert!(
        head.starts_with("GET /hub/u/r?download=true HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains(&format!("m.test:{}\r\n", mirror.port())),
        "{head}"
    );
    assert!(head.contains("accept-encoding: gzip\r\n"), "{head}");
    for secret in ["hf_token", "a=b", "glpat", "site.test"] {
        assert!(!head.contains(secret), "{secret} in {head}");
    }
}

#[tokio::test]
async fn a_mirror_that_may_see_credentials_gets_what_the_site_would_get() {
    let (mirror, served) = answers(&[OK]).await;
    let routes = site(
        &format!("{{ via = \"direct\", mirror = \"http://{mirror}\", credentials = \"pass\" }}"),
        "",
    );
    let world = World::with(&routes).await;
    let mut client = world.sends(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    let head = soon("the mirror", served).await.unwrap().remove(0);
    for seen in ["Bearer hf_token", "a=b", "glpat"] {
        assert!(head.contains(seen), "{seen} not in {head}");
    }
}

#[tokio::test]
async fn what_a_mirror_answers_speaks_of_the_site() {
    let (mirror, served) = answers(&[
        "HTTP/1.1 302 Found\r\nLocation: /hub/b\r\nLink: </hub/p2>; rel=\"next\"\r\nSet-Cookie: a=b\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: https://cdn.elsewhere.test/b\r\ncontent-length: 0\r\n\r\n",
    ])
    .await;
    let routes = site(
        &format!("{{ via = \"direct\", mirror = \"http://{mirror}/hub\" }}"),
        "",
    );
    let world = World::with(&routes).await;
    let mut client = world.sends(GET).await;
    let head = client.head().await;
    assert!(head.to_lowercase().contains("location: /b\r\n"), "{head}");
    assert!(head.contains("</p2>; rel=\"next\""), "{head}");
    assert!(!head.to_lowercase().contains("set-cookie"), "{head}");
    client.send(GET).await;
    let head = client.head().await;
    assert!(head.contains("https://cdn.elsewhere.test/b\r\n"), "{head}");
    soon("the mirror", served).await.unwrap();
}

const DOWNLOAD: &str = "{\"operation\":\"download\"}";

/// An LFS batch request.
fn batch(body: &str) -> String {
    format!(
        "POST http://site.test/r.git/info/lfs/objects/batch HTTP/1.1\r\nhost: site.test\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn the_batch_response_of_a_mirror_is_mapped_to_the_site() {
    let (mirror, _served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        let head = String::from_utf8(read_until(&mut stream, DOWNLOAD.as_bytes()).await).unwrap();
        let own = head.split("ost: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let body = format!(
            "{{\"objects\":[{{\"actions\":{{\"upload\":{{\"href\":\"http://{own}/hub/up?a=1\"}},\
             \"verify\":{{\"href\":\"https://other.test/hub/v\"}}}},\"size\":1.0}}]}}"
        );
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.git-lfs+json\r\netag: \"1\"\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await.unwrap();
    })
    .await;
    let routes = site(
        &format!("{{ via = \"direct\", mirror = \"http://{mirror}/hub\" }}"),
        "",
    );
    let world = World::with(&routes).await;
    let mut client = world.sends(batch(DOWNLOAD)).await;
    let head = client.head().await;
    let body = client.read_until("1.0}]}").await;
    assert_eq!(
        body,
        "{\"objects\":[{\"actions\":{\"upload\":{\"href\":\"http://site.test/up?a=1\"},\
         \"verify\":{\"href\":\"https://other.test/hub/v\"}},\"size\":1.0}]}"
    );
    assert!(
        head.contains(&format!("content-length: {}\r\n", body.len())),
        "{head}"
    );
    assert!(head.contains("etag: W/\"1\"\r\n"), "{head}");
}

#[tokio::test]
async fn site_and_mirror_stand_in_for_each_other_in_one_list() {
    let (mirror, served) = answers(&[OK]).await;
    let (gone, _) = origin(|_| async {}).await;
    let routes = site(
        &format!(
            "{{ via = \"direct\" }}, {{ via = \"direct\", mirror = \"http://{mirror}/hub\" }}"
        ),
        &format!("\"site.test\" = \"{gone}\""),
    );
    let world = World::with(&routes).await;
    let mut client = world.sends(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    let head = soon("the mirror", served).await.unwrap().remove(0);
    assert!(head.starts_with("GET /hub/u/r?download=true "), "{head}");
}

const UNAUTHORIZED: &str =
    "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"m\"\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_mirror_that_wants_what_it_must_not_have_is_passed_over() {
    let (mirror, asked) = answers(&[UNAUTHORIZED]).await;
    let (own, served) = answers(&[OK]).await;
    let routes = site(
        &format!("{{ via = \"direct\", mirror = \"http://{mirror}\" }}, {{ via = \"direct\" }}"),
        &format!("\"site.test\" = \"{own}\""),
    );
    let world = World::with(&routes).await;
    let mut client = world.sends(GET).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    let head = soon("the site", served).await.unwrap().remove(0);
    assert!(head.contains("Bearer hf_token"), "{head}");
    soon("the mirror", asked).await.unwrap();
}

#[tokio::test]
async fn with_only_such_a_mirror_the_client_gets_403_and_keeps_its_credentials() {
    let (mirror, _asked) = answers(&[UNAUTHORIZED]).await;
    let routes = site(
        &format!("{{ via = \"direct\", mirror = \"http://{mirror}\" }}"),
        "",
    );
    let world = World::with(&routes).await;
    let mut client = world.sends(GET).await;
    let head = client.head().await;
    // A 401 would make git throw them away.
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    assert!(head.contains("credentials-withheld"), "{head}");
    let reason = client.read_until("`site`").await;
    assert!(reason.contains("credentials = \"pass\""), "{reason}");
}

#[tokio::test]
async fn a_push_skips_a_mirror_that_gets_no_credentials() {
    let (mirror, _never) = silent().await;
    let (own, served) = answers(&[CLOSING, CLOSING]).await;
    let routes = site(
        &format!("{{ via = \"direct\", mirror = \"http://{mirror}\" }}, {{ via = \"direct\" }}"),
        &format!("\"site.test\" = \"{own}\""),
    );
    let world = World::with(&routes).await;
    for request in [
        "GET http://site.test/r.git/info/refs?service=git-receive-pack HTTP/1.1\r\nhost: site.test\r\n\r\n",
        "POST http://site.test/r.git/git-receive-pack HTTP/1.1\r\nhost: site.test\r\ncontent-length: 0\r\n\r\n",
    ] {
        let mut client = world.sends(request).await;
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
    }
    soon("the site", served).await.unwrap();
}

/// Whoever answers an upload batch names the host that git-lfs uploads to; whoever gets a query knows what it grants.
#[tokio::test]
async fn requests_that_act_skip_a_mirror_that_gets_no_credentials() {
    let (mirror, _never) = silent().await;
    let requests = [
        batch("{\"operation\":\"upload\"}"),
        "GET http://site.test/api/models/u/r/xet-write-token/main HTTP/1.1\r\nhost: site.test\r\n\r\n".into(),
        "GET http://site.test/x?X-Amz-Signature=s HTTP/1.1\r\nhost: site.test\r\n\r\n".into(),
        "PUT http://site.test/x HTTP/1.1\r\nhost: site.test\r\ncontent-length: 1\r\n\r\nx".into(),
        "DELETE http://site.test/x HTTP/1.1\r\nhost: site.test\r\n\r\n".into(),
        "GET http://site.test/x HTTP/1.1\r\nhost: site.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".into(),
    ];
    let (own, served) = origin(|connections| async move {
        for _ in 0..6 {
            let mut stream = connections.asked().await;
            stream.write_all(CLOSING.as_bytes()).await.unwrap();
        }
    })
    .await;
    let routes = site(
        &format!("{{ via = \"direct\", mirror = \"http://{mirror}\" }}, {{ via = \"direct\" }}"),
        &format!("\"site.test\" = \"{own}\""),
    );
    let world = World::with(&routes).await;
    for request in requests {
        let mut client = world.sends(&request).await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{request}: {head}");
    }
    soon("the site", served).await.unwrap();
}

#[tokio::test]
async fn with_only_such_a_mirror_the_client_learns_why_it_was_skipped() {
    let (mirror, _never) = silent().await;
    let routes = site(
        &format!("{{ via = \"direct\", mirror = \"http://{mirror}\" }}"),
        "",
    );
    let world = World::with(&routes).await;
    let mut client = world.sends(batch("{\"operation\":\"upload\"}")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 403"));
    let told = client.read_until("no credentials").await;
    assert!(told.contains("LFS batch for an upload"), "{told}");
}

/// git would go on with everything that was meant for the site, `http.extraHeader` included.
#[tokio::test]
async fn a_mirror_that_redirects_git_to_another_host_is_passed_over() {
    let (mirror, _asked) = answers(&[
        "HTTP/1.1 302 Found\r\nLocation: https://evil.test/r.git/info/refs\r\ncontent-length: 0\r\n\r\n",
    ])
    .await;
    let (own, served) = answers(&[OK]).await;
    let routes = site(
        &format!("{{ via = \"direct\", mirror = \"http://{mirror}\" }}, {{ via = \"direct\" }}"),
        &format!("\"site.test\" = \"{own}\""),
    );
    let world = World::with(&routes).await;
    let mut client = world.sends("GET http://site.test/r.git/info/refs?service=git-upload-pack HTTP/1.1\r\nhost: site.test\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    soon("the site", served).await.unwrap();
}

#[tokio::test]
async fn a_tunnel_never_ends_at_a_mirror() {
    let (mirror, _never) = silent().await;
    let (own, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        read_until(&mut stream, b"not tls").await
    })
    .await;
    let routes = site(
        &format!("{{ via = \"direct\", mirror = \"http://{mirror}\" }}, {{ via = \"direct\" }}"),
        &format!("\"site.test\" = \"{own}\""),
    );
    let world = World::with(&routes).await;
    let mut client = world.tunnel("site.test:22").await;
    client.send("not tls").await;
    assert_eq!(soon("the site", served).await.unwrap(), b"not tls");
}

#[tokio::test]
async fn a_mirror_that_is_gitferry_itself_is_a_loop() {
    let world = World::with("").await;
    let own = world.address;
    let routes = site(
        &format!(
            "{{ via = \"direct\", mirror = \"http://localhost:{}/site.test\" }}",
            own.port()
        ),
        "",
    );
    world.reload(&routes);
    let mut client = world.sends(GET).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 508"), "{head}");
}
