//! The reverse front as a complete way in: whatever an answer points to comes back through the daemon, and nothing else does.

use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    support::ferry::Ferry,
    world::{OK, Run, World, answers_once, origin, read_until, route, soon},
};

const BATCH: &str = "POST /http:main.test:8080/r.git/info/lfs/objects/batch HTTP/1.1\r\nhost: 127.0.0.1:4483\r\n\
                     accept-encoding: gzip, br\r\ncontent-length: 2\r\n\r\n{}";

/// A daemon before an origin called `main.test`, which answers its first request with `answer` and then closes.
async fn before(
    answer: impl AsRef<[u8]> + Send + 'static,
    more: &str,
) -> (World, tokio::task::JoinHandle<String>) {
    let (address, served) = origin(move |connections| async move {
        let mut stream = connections.next().await;
        let head = read_until(&mut stream, b"\r\n\r\n").await;
        let _ = stream.write_all(answer.as_ref()).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        String::from_utf8(head).unwrap()
    })
    .await;
    let routes = route("main.test", address, "tunnel", "");
    (World::with(&format!("{routes}{more}")).await, served)
}

fn json(body: &str, more: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.git-lfs+json; charset=utf-8\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What was counted as not mapped, by its label.
fn unmapped(world: &World, what: &str) -> bool {
    let metrics = world.shared().tracker.metrics().text();
    metrics.contains(&format!(
        "gitferry_answers_unmapped_total{{route=\"main.test\",rewrite=\"{what}\"}} 1"
    ))
}

#[tokio::test]
async fn every_url_of_a_batch_answer_comes_back_to_the_daemon() {
    let body = "{\"objects\":[{\"actions\":{\"upload\":{\"href\":\"https://main.test/up\",\"header\":{\"1\":\"http://main.test:9000/p?s=1\"}},\
                \"verify\":{\"href\":\"/r.git/info/lfs/verify\"}}}]}";
    let (world, served) = before(json(body, "etag: \"1\"\r\ncontent-md5: x\r\n"), "").await;
    let mut client = world.sends(BATCH).await;
    let head = client.head().await;
    let answer = client.read_until("]}").await;
    assert_eq!(
        answer,
        "{\"objects\":[{\"actions\":{\"upload\":{\"href\":\"http://127.0.0.1:4483/main.test/up\",\
         \"header\":{\"1\":\"http://127.0.0.1:4483/http:main.test:9000/p?s=1\"}},\
         \"verify\":{\"href\":\"http://127.0.0.1:4483/http:main.test:8080/r.git/info/lfs/verify\"}}}]}"
    );
    assert!(
        head.contains(&format!("content-length: {}\r\n", answer.len())),
        "{head}"
    );
    assert!(
        head.contains("etag: W/\"1\"") && !head.contains("content-md5"),
        "{head}"
    );
    let asked = soon("the origin", served).await.unwrap();
    assert!(asked.contains("accept-encoding: identity\r\n"), "{asked}");
    assert!(
        asked.to_lowercase().contains("host: main.test:8080\r\n"),
        "{asked}"
    );
    assert!(!unmapped(&world, "lfs-batch") && !unmapped(&world, "away"));
}

#[tokio::test]
async fn a_body_that_is_not_json_to_read_passes_to_the_byte_and_is_counted() {
    let deep = "[".repeat(100_000);
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03not really";
    let mut compressed = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
        gzip.len()
    )
    .into_bytes();
    compressed.extend_from_slice(gzip);
    let latin = b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=latin1\r\ncontent-length: 29\r\n\r\n\
                  {\"objects\":[{\"error\":\"\xe9t\xe9\"}]}";
    let cases: Vec<Vec<u8>> = vec![
        json(
            "{\"objects\":[{\"actions\":{\"upload\":{\"href\":\"https://main.test/u",
            "",
        )
        .into(),
        json("<html>captive portal</html>", "").into(),
        json(&deep, "").into(),
        compressed,
        latin.to_vec(),
    ];
    for case in cases {
        let text = String::from_utf8_lossy(&case).into_owned();
        let at = case
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap()
            + 4;
        let expected = case[at..].to_vec();
        let (world, _served) = before(case, "").await;
        let mut client = world.sends(BATCH).await;
        let head = client.head().await;
        assert!(
            head.contains(&format!("content-length: {}\r\n", expected.len())),
            "{head}"
        );
        let mut body = vec![0; expected.len()];
        soon("the body", client.0.read_exact(&mut body))
            .await
            .unwrap();
        assert_eq!(body, expected, "{text}");

        assert!(unmapped(&world, "lfs-batch"), "{text}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_broken_for_the_client_too() {
    let (world, _served) = before(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"objects\":[",
        "",
    )
    .await;
    let mut client = world.sends(BATCH).await;
    let head = client.head().await;
    assert!(head.contains("content-length: 100\r\n"), "{head}");
    assert_eq!(client.rest().await, b"{\"objects\":[");
    assert!(unmapped(&world, "lfs-batch"));
    let end = world.next_end().await;
    assert_eq!(end.result, "origin/receiving-body/closed-early");
}

/// 100 MB of JSON in chunks: the first megabytes are held, and then everything passes.
#[tokio::test]
async fn a_body_over_the_limit_passes_whole() {
    const PIECES: usize = 1600;
    const PIECE: usize = 64 * 1024;
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        read_until(&mut stream, b"{}").await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        let piece = [&b"10000\r\n"[..], &[b' '; PIECE], b"\r\n"].concat();
        for _ in 0..PIECES {
            stream.write_all(&piece).await.unwrap();
        }
        stream.write_all(b"4\r\nnull\r\n0\r\n\r\n").await.unwrap();
    })
    .await;
    let routes = route(
        "main.test",
        address,
        "tunnel",
        "[rewrite]\nmax_body = \"1 MiB\"\n",
    );
    let world = World::with(&routes).await;
    let mut client = world
        .sends(BATCH.replace("content-length", "connection: close\r\ncontent-length"))
        .await;
    client.head().await;
    let mut spaces = 0;
    let mut piece = vec![0; PIECE];
    soon("all of it", async {
        loop {
            let read = client.0.read(&mut piece).await.unwrap();
            if read == 0 {
                return;
            }
            spaces += piece[..read].iter().filter(|byte| **byte == b' ').count();
        }
    })
    .await;
    assert_eq!(spaces, PIECES * PIECE);
    soon("the origin", served).await.unwrap();
    assert!(unmapped(&world, "lfs-batch"));
}

#[tokio::test]
async fn a_url_that_nothing_allows_stays_and_is_counted() {
    let body = "{\"objects\":[{\"actions\":{\"upload\":{\"href\":\"https://evil.test/up\"},\"verify\":{\"href\":\"http://127.0.0.1/v\"}}}]}";
    let (world, _served) = before(json(body, ""), "").await;
    let mut client = world.sends(BATCH).await;
    client.head().await;
    assert_eq!(client.read_until("]}").await, body);
    assert!(unmapped(&world, "away") && !unmapped(&world, "lfs-batch"));
}

#[tokio::test]
async fn a_redirect_to_an_allowed_host_comes_back_under_the_daemons_other_name() {
    for (location, mapped) in [
        (
            "https://a.cdn.test/x?s=1",
            "http://localhost:4483/a.cdn.test/x?s=1",
        ),
        (
            "http://named.test:8080/x",
            "http://localhost:4483/http:named.test:8080/x",
        ),
        ("http://10.0.0.1/x", "http://localhost:4483/10.0.0.1:80/x"),
        (
            "https://main.test:8443/x",
            "http://localhost:4483/main.test:8443/x",
        ),
        (
            "http://main.test:8080/x",
            "http://127.0.0.1:4483/http:main.test:8080/x",
        ),
        ("https://cdn.test/x", "https://cdn.test/x"),
        ("https://10.0.0.2/x", "https://10.0.0.2/x"),
        ("https://localhost/x", "https://localhost/x"),
    ] {
        let answer =
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let allow =
            "[reverse]\nallow = [\"*.cdn.test\", \"named.test\", \"10.0.0.1\", \"*.localhost\"]\n";
        let (world, _served) = before(answer, allow).await;
        let mut client = world
            .sends("HEAD /http:main.test:8080/x HTTP/1.1\r\nhost: 127.0.0.1:4483\r\n\r\n")
            .await;
        let head = client.head().await;
        assert!(
            head.contains(&format!("location: {mapped}\r\n")),
            "{location}: {head}"
        );
    }
}

#[tokio::test]
async fn the_reverse_front_serves_what_is_allowed_and_only_to_those_who_mean_this_daemon() {
    let allow =
        "[reverse]\nallow = [\"*.localhost\", \"*.cdn.test\"]\n[other_hosts]\nports = [443]\n";
    let world = World::with(allow).await;
    for (path, host, expected) in [
        // Allowed, but no port of [other_hosts].
        ("/a.cdn.test:8443/x", "127.0.0.1:4483", "is not in `ports`"),
        ("/cdn.test/x", "127.0.0.1:4483", "`allow` of `[reverse]`"),
        ("/10.0.0.1/x", "127.0.0.1:4483", "`allow` of `[reverse]`"),
        ("/a.localhost/x", "127.0.0.1:4483", "`allow` of `[reverse]`"),
        (
            "/a.cdn.test/x",
            "rebound.evil.test:4483",
            "only under an address or localhost",
        ),
    ] {
        let mut client = world
            .sends(format!(
                "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
            ))
            .await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
        assert!(answer.contains(expected), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_range_and_its_answer_pass_as_they_are() {
    let answer = "HTTP/1.1 206 Partial Content\r\ncontent-type: application/json\r\ncontent-range: bytes 2-5/9\r\n\
                  etag: \"1\"\r\ncontent-length: 4\r\n\r\n{\"ab";
    let (world, served) = before(answer, "").await;
    let mut client = world.sends("GET /http:main.test:8080/v1/reconstructions/0a HTTP/1.1\r\nhost: 127.0.0.1:4483\r\nrange: bytes=2-5\r\n\r\n").await;
    let head = client.head().await;
    assert!(
        head.contains("content-range: bytes 2-5/9\r\n") && head.contains("etag: \"1\""),
        "{head}"
    );
    assert_eq!(client.read_until("{\"ab").await, "{\"ab");
    let asked = soon("the origin", served).await.unwrap();
    assert!(asked.contains("range: bytes=2-5\r\n"), "{asked}");
}

/// As mirrors do that hang: a head, the beginning of some JSON, and nothing more.
#[tokio::test]
async fn batch_answers_that_hang_keep_no_other_one_waiting() {
    let (hanging, _served) = origin(|connections| async move {
        let mut kept = Vec::new();
        loop {
            let mut stream = connections.asked().await;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            kept.push(stream);
        }
    })
    .await;
    let (well, _served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let routes =
        route("hangs.test", hanging, "tunnel", "") + &route("well.test", well, "tunnel", "");
    let world = World::with(&routes).await;
    let batch = |host: &str| {
        format!(
            "POST /{host}:80/objects/batch HTTP/1.1\r\nHost: 127.0.0.1\r\ncontent-length: 0\r\n\r\n"
        )
    };
    let mut hanging = Vec::new();
    for _ in 0..12 {
        let client = world.sends(batch("hangs.test")).await;
        hanging.push(client);
    }
    let tracker = &world.shared().tracker;
    let reading = || {
        let list = tracker.list();
        list.iter()
            .filter(|transfer| transfer.stage == "receiving-body")
            .count()
    };
    soon("twelve answers that hang", async {
        while reading() < 12 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut client = world.sends(batch("well.test")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    drop(hanging);
}

/// A `Location` that is not plain ASCII was mapped for the client and not read by what keeps its credentials: they went to the other host.
#[tokio::test]
async fn a_token_stays_with_its_host_however_the_redirect_to_another_one_is_written() {
    for location in [
        "http://b.test/x",
        "//b.test/x",
        "http://b.test/\u{e4}",
        "//b.test/\u{e4}",
        "http://\tb.test/x",
        "\thttp://b.te\tst/x",
        "ht\ttp://B.test./x",
        "http://\u{e4}@b.test/x",
    ] {
        let (a, _redirects) = origin(move |connections| async move {
            let mut stream = connections.next().await;
            read_until(&mut stream, b"\r\n\r\n").await;
            let answer =
                format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            read_until(&mut stream, b"\r\n\r\n").await;
        })
        .await;
        let (b, asked) = answers_once(OK).await;
        let routes = route("a.test", a, "tunnel", "") + &route("b.test", b, "tunnel", "");
        let world = World::with(&routes).await;
        let ask = |path: &str| {
            format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer A\r\nCookie: a=1\r\nConnection: close\r\n\r\n",
                world.address
            )
        };
        let mut client = world.sends(ask("/a.test:80/")).await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        let port = format!(":{}/b.test:80/", world.address.port());
        assert!(answer.contains(&port), "{location:?}: {answer}");
        let mut client = world.sends(ask("/b.test:80/x")).await;
        client.rest().await;
        let head = soon("the request to b.test", asked).await.unwrap();
        let head = head.to_lowercase();
        assert!(!head.contains("authorization"), "{location:?}: {head}");
        assert!(!head.contains("cookie"), "{location:?}: {head}");
    }
}

/// A client that sends its own fields to all URLs (git-lfs with `http.extraHeader`) gets the storage's URL from a batch response. Servers
/// write `null`, or a list for an empty object, where the client expects none.
#[tokio::test]
async fn a_link_of_a_batch_answer_takes_no_token_along_but_those_that_it_names() {
    let upload = "{\"href\":\"http://b.test/o\",\"header\":{\"X-Storage-Key\":\"for-both\",\"Content-Type\":\"x\"}}";
    for actions in [
        "{\"actions\":{\"upload\":UPLOAD}}",
        "{\"actions\":{\"upload\":UPLOAD,\"verify\":null}}",
        "{\"actions\":{\"verify\":{\"href\":null,\"header\":[]},\"upload\":UPLOAD}}",
        "null,{\"actions\":[]},{\"_links\":\"x\",\"actions\":{\"upload\":UPLOAD}}",
        "{\"_links\":{\"upload\":{\"href\":\"http://b.test/1\",\"Href\":\"http://b.test/2\"}},\"Actions\":{\"upload\":UPLOAD}}",
    ] {
        let body = format!("{{\"objects\":[{}]}}", actions.replace("UPLOAD", upload));
        batch_link_takes_no_token_along(body).await;
    }
}

async fn batch_link_takes_no_token_along(body: String) {
    let shown = body.clone();
    let (a, _batch) = origin(move |connections| async move {
        let mut stream = connections.next().await;
        read_until(&mut stream, b"{}").await;
        stream.write_all(json(&body, "").as_bytes()).await.unwrap();
    })
    .await;
    let (b, asked) = answers_once(OK).await;
    let routes = route("a.test", a, "tunnel", "") + &route("b.test", b, "tunnel", "");
    let world = World::with(&routes).await;
    let fields = format!(
        "Host: {}\r\nAuthorization: Bearer A\r\nX-Api-Key: A\r\nX-Storage-Key: for-both\r\nContent-Type: x\r\nConnection: close\r\n",
        world.address
    );
    let batch =
        format!("POST /a.test:80/objects/batch HTTP/1.1\r\n{fields}Content-Length: 2\r\n\r\n{{}}");
    let mut client = world.sends(batch).await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.contains("/b.test:80/o"), "{answer}");
    let upload = format!("PUT /b.test:80/o HTTP/1.1\r\n{fields}Content-Length: 0\r\n\r\n");
    let mut client = world.sends(upload).await;
    client.rest().await;
    let head = soon("the upload", asked).await.unwrap().to_lowercase();
    for withheld in ["authorization", "x-api-key"] {
        assert!(!head.contains(withheld), "{shown}: {head}");
    }
    assert!(
        head.contains("x-storage-key: for-both\r\n"),
        "{shown}: {head}"
    );
}

/// A daemon that listens on two ports is one daemon: a redirect to the other port led to any host, with every field that a client repeats.
#[tokio::test]
async fn a_redirect_to_the_daemons_other_port_reaches_no_other_host() {
    let other = Arc::new(OnceLock::new());
    let location = Arc::clone(&other);
    let (address, _served) = origin(move |connections| async move {
        let mut stream = connections.asked().await;
        let port = location.get().copied().unwrap_or(0);
        let answer = format!(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/b.test:80/x\r\nContent-Length: 0\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let place = tempfile::tempdir().unwrap();
    let text = format!(
        "[listen]\naddress = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n[state]\ndirectory = \"{}\"\n[built_in]\nroutes = false\n{}",
        place.path().join("state").display(),
        route("a.test", address, "tunnel", "")
    );
    let ferry = Ferry::run(Run::InProcess, place.path(), &text);
    let page = ferry.page("/-/api/daemon").await;
    let ports = page.split("127.0.0.1:").filter_map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok()
    });
    let second = ports.filter(|port| *port != ferry.address.port()).last();
    other.set(second.unwrap()).unwrap();
    let answer = ferry
        .answer(&format!(
            "GET /a.test:80/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            ferry.address
        ))
        .await;
    let confined = format!("/http:127.0.0.1:{}/b.test:80/x\r\n", second.unwrap());
    assert!(answer.contains(&confined), "{answer}");
}

/// Each response to a challenge is another one (RFC 7616): `curl -L --digest` gave the user's name, and a hash to guess the password by, to
/// the host that the second redirect named, since that has the first name of the daemon again.
#[tokio::test]
async fn an_answer_to_the_challenge_of_one_host_does_not_follow_a_redirect_to_another() {
    for [first, second] in [
        [
            "Digest username=\"me\", response=\"1\"",
            "Digest username=\"me\", response=\"2\"",
        ],
        ["NTLM AAAA", "NTLM BBBB"],
        ["Negotiate AAAA", "Negotiate BBBB"],
    ] {
        let answer = "HTTP/1.1 302 Found\r\nLocation: http://b.test/x\r\nContent-Length: 0\r\n\r\n";
        let (a, _redirects) = answers_once(answer).await;
        let (b, asked) = answers_once(OK).await;
        let routes = route("a.test", a, "tunnel", "") + &route("b.test", b, "tunnel", "");
        let world = World::with(&routes).await;
        let ask = async |path: &str, authorization: &str| {
            let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", world.address);
            let request =
                format!("{head}Authorization: {authorization}\r\nConnection: close\r\n\r\n");
            world.answer(&request).await
        };
        assert!(ask("/a.test:80/", first).await.contains("/b.test:80/x"));
        ask("/b.test:80/x", second).await;
        let head = soon("the request to b.test", asked).await.unwrap();
        assert!(!head.to_lowercase().contains("authorization"), "{head}");
    }
}
