//! What a front answers itself, and what no answer of a hop shows.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::world::{Client, Hop, OK, World, answers_once, soon};

const PASSWORD: &str = "PLANTED-hop-password";

/// A daemon whose plain route goes through a hop that wants credentials and answers with `answer`.
async fn behind_a_hop(answer: String) -> (World, Hop) {
    let hop = Hop::answers_and_closes(answer);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, PASSWORD).unwrap();
    let routes = format!(
        "[hops]\noffice = {{ url = \"{}\", username = \"me\", password_file = \"{}\" }}\n\
         [[route]]\nname = \"main.test\"\nrole = \"other\"\nhosts = [\"main.test\"]\ntls = \"tunnel\"\n\
         upstreams = [{{ via = \"office\" }}]\n",
        hop.url,
        file.display()
    );
    (World::with(&routes).await, hop)
}

async fn answer(client: &mut Client, request: &str) -> String {
    client.send(request).await;
    String::from_utf8(client.rest().await).unwrap()
}

#[tokio::test]
async fn trace_is_refused_on_every_front_and_shows_nothing_that_was_sent() {
    let world = World::in_front_of("main.test", "127.0.0.1:1".parse().unwrap()).await;
    for target in ["http://main.test/x", "/main.test:80/x", "/-/status"] {
        let mut client = world.client().await;
        let request = format!(
            "TRACE {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nProxy-Authorization: Basic PLANTED\r\nConnection: close\r\n\r\n"
        );
        let said = answer(&mut client, &request).await;
        assert!(said.starts_with("HTTP/1.1 405"), "{target}: {said}");
        assert!(
            said.contains("allow: GET, ") && !said.contains("PLANTED"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn options_ends_here_where_it_has_no_forwards_left_and_counts_down_else() {
    let (address, served) = answers_once(OK).await;
    let world = World::in_front_of("main.test", address).await;
    let options = |left: u8| {
        format!(
            "OPTIONS http://main.test/x HTTP/1.1\r\nHost: main.test\r\nMax-Forwards: {left}\r\nConnection: close\r\n\r\n"
        )
    };
    let said = answer(&mut world.client().await, &options(0)).await;
    assert!(
        said.starts_with("HTTP/1.1 200") && said.contains("allow: "),
        "{said}"
    );
    answer(&mut world.client().await, &options(2)).await;
    let asked = soon("the origin", served).await.unwrap();
    assert!(
        asked.to_lowercase().contains("max-forwards: 1\r\n"),
        "{asked}"
    );
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

#[tokio::test]
async fn a_hops_answer_that_quotes_its_password_reaches_the_client_with_stars() {
    let pair = BASE64_STANDARD.encode(format!("me:{PASSWORD}"));
    let page = format!("<pre>Proxy-Authorization: Basic {pair}\nuser me:{PASSWORD}</pre>");
    let length = page.len();
    for (status, more) in [
        ("403 Forbidden", "Content-Type: text/html\r\n".to_owned()),
        ("200 OK", "Content-Type: message/http\r\n".to_owned()),
        ("502 Bad Gateway", format!("X-Seen: Basic {pair}\r\n")),
        ("403 Forbidden", "Content-Encoding: gzip\r\n".to_owned()),
        ("200 OK", "Content-Type: application/json\r\n".to_owned()),
        ("200 OK", String::new()),
        // In its reason, and in its trailers.
        (&*format!("403 Basic {pair}"), String::new()),
        ("403 Forbidden", format!("Trailer: X-Seen\r\n{CHUNKED}")),
    ] {
        let answer_of_hop = match more.contains(CHUNKED) {
            true => format!(
                "HTTP/1.1 {status}\r\n{more}\r\n2\r\nno\r\n0\r\nX-Seen: Basic {pair}\r\n\r\n"
            ),
            false => format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\n\r\n{page}"),
        };
        let (world, hop) = behind_a_hop(answer_of_hop).await;
        let mut client = world.client().await;
        let request = "POST http://main.test/x HTTP/1.1\r\nHost: main.test\r\nContent-Length: 0\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n";
        let said = answer(&mut client, request).await;
        assert!(
            said.starts_with(&format!("HTTP/1.1 {}", &status[..3])),
            "{said}"
        );
        assert!(said.contains("***") || more.contains("gzip"), "{said}");
        assert!(
            !said.contains(PASSWORD) && !said.contains(&pair[..20]),
            "{said}"
        );
        let asked = hop.asked().concat();
        assert!(asked.contains(&pair), "{asked}");
    }
}

/// A client that writes the account into the URL, as it would for the site itself.
#[tokio::test]
async fn user_info_in_a_reverse_front_path_is_refused_and_shown_nowhere() {
    let world = World::in_front_of("main.test", "127.0.0.1:1".parse().unwrap()).await;
    for path in [
        "/me:PLANTED@main.test/x",
        "/me%3APLANTED%40main.test/x",
        "/http:me:PLANTED@main.test:80/x",
        "/http://me:PLANTED@main.test/x",
        "//me:PLANTED@main.test/x",
        "/me:PLANTED/x",
    ] {
        let mut client = world.client().await;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let said = answer(&mut client, &request).await;
        assert!(said.starts_with("HTTP/1.1 400"), "{path}: {said}");
        assert!(!said.contains("PLANTED"), "{path}: {said}");
    }
    for page in ["status", "api/history", "api/faults"] {
        let request =
            format!("GET /-/{page} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let shown = answer(&mut world.client().await, &request).await;
        assert!(
            shown.contains("bad-request") && !shown.contains("PLANTED"),
            "{page}: {shown}"
        );
    }
    // What the log writes.
    let faults = world.faults();
    assert_eq!(faults.len(), 6, "{faults:?}");
    assert!(!format!("{faults:?}").contains("PLANTED"), "{faults:?}");
}
