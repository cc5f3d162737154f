//! The credentials of `[listen]`, by every way in.

use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::io::AsyncWriteExt;

use crate::world::{OK, World, origin, read_until, route, soon};

const PASSWORD: &str = "PLANTED/own";

/// A daemon that wants credentials, before an origin that answers once.
async fn guarded() -> (World, tokio::task::JoinHandle<String>) {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        let head = read_until(&mut stream, b"\r\n\r\n").await;
        let answer = OK.replace("200 OK\r\n", "200 OK\r\nContent-Location: /there\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    })
    .await;
    let routes = route("main.test", address, "tunnel", "");
    // The config is read once.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), PASSWORD).unwrap();
    let listen = format!(
        "username = \"me\"\npassword_file = \"{}\"",
        file.path().display()
    );
    (World::listening(&listen, &routes).await, served)
}

fn basic(password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("me:{password}")))
}

async fn ask(world: &World, path: &str, fields: &str) -> String {
    let mut client = world
        .sends(format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}Connection: close\r\n\r\n"
        ))
        .await;
    String::from_utf8(client.rest().await).unwrap()
}

#[tokio::test]
async fn the_daemons_own_pages_ask_and_are_asked_as_any_server() {
    let (world, _served) = guarded().await;
    let refused = ask(&world, "/-/status", "").await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    assert!(refused.contains("www-authenticate: Basic") && !refused.contains("proxy-authenticate"));
    for field in ["Authorization", "Proxy-Authorization"] {
        let fields = format!("{field}: {}\r\n", basic(PASSWORD));
        let page = ask(&world, "/-/status", &fields).await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    }
    // On every other front `Authorization` is the origin's.
    let fields = format!("Authorization: {}\r\n", basic(PASSWORD));
    for path in ["/main.test:80/x", "http://main.test/x"] {
        let refused = ask(&world, path, &fields).await;
        assert!(refused.starts_with("HTTP/1.1 407"), "{refused}");
    }
}

#[tokio::test]
async fn a_secret_first_segment_opens_the_reverse_front_and_goes_no_further() {
    let (world, served) = guarded().await;
    // Whole URLs of the client; git sends the last two to a server that speaks WebDAV.
    let fields = "Authorization: Bearer origins\r\nReferer: http://127.0.0.1/me:PLANTED%2Fown/main.test:80/\r\n\
                  Destination: http://127.0.0.1/me%3aPLANTED%2fown/main.test:80/y\r\n\
                  If: <http://127.0.0.1/me:PLANTED%2Fown/main.test:80/z> (<opaquelocktoken:1>)\r\nX-Kept: /me:x\r\n";
    let answer = ask(&world, "/me%3APLANTED%2Fown/main.test:80/x?y", fields).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let there = "content-location: http://127.0.0.1/me%3APLANTED%2Fown/main.test:80/there\r\n";
    assert!(
        answer.to_lowercase().contains(&there.to_lowercase()),
        "{answer}"
    );
    let asked = soon("the origin", served).await.unwrap();
    assert!(asked.starts_with("GET /x?y "), "{asked}");
    assert!(
        asked.contains("Bearer origins") && asked.contains("/me:x") && !asked.contains("PLANTED"),
        "{asked}"
    );
    let wrong = ask(&world, "/me:PLANTED/main.test:80/x", "").await;
    assert!(
        wrong.starts_with("HTTP/1.1 407") && !wrong.contains("PLANTED"),
        "{wrong}"
    );
    let fields = format!("Authorization: {}\r\n", basic(PASSWORD));
    for page in ["status", "api/history"] {
        let shown = ask(&world, &format!("/-/{page}"), &fields).await;
        assert!(
            shown.contains("main.test") && !shown.contains("PLANTED"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn guessing_the_password_slows_down() {
    let (world, _served) = guarded().await;
    let begun = Instant::now();
    for guess in 0..10 {
        let fields = format!("Authorization: {}\r\n", basic(&guess.to_string()));
        let refused = ask(&world, "/-/status", &fields).await;
        assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    }
    // After six free ones: 100, 200 and 400 ms at least.
    assert!(
        begun.elapsed() > Duration::from_millis(700),
        "{:?}",
        begun.elapsed()
    );
    // More than can wait for their turn: git would erase a right password for a 401.
    let mut clients = Vec::new();
    for _ in 0..20 {
        let request = format!(
            "GET /-/status HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {}\r\n\r\n",
            basic("guess")
        );
        clients.push(world.sends(request).await);
    }
    let mut last = clients.pop().unwrap();
    let refused = last.head().await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("too-many-wrong-passwords"), "{refused}");
}

/// A client behind `http_proxy` sends the URL of the reverse front in absolute form, with the name by which it reaches this machine.
#[tokio::test]
async fn the_secret_segment_of_an_absolute_url_is_taken_and_neither_logged_nor_sent_on() {
    for (field, password) in [
        (String::new(), PASSWORD),
        (
            format!("Proxy-Authorization: {}\r\n", basic(PASSWORD)),
            PASSWORD,
        ),
        (String::new(), "PLANTED/wrong"),
    ] {
        let (world, served) = guarded().await;
        let segment = format!("me:{}", password.replace('/', "%2F"));
        let url = format!("http://gitferry.lan:80/{segment}/http:main.test:80/x");
        let response = ask(&world, &url, &field).await;
        if password == PASSWORD {
            assert!(response.starts_with("HTTP/1.1 200"), "{response}");
            let sent = soon("the origin's request", served).await.unwrap();
            assert!(sent.starts_with("GET /x "), "{sent}");
            assert!(!sent.contains("PLANTED"), "{sent}");
        } else {
            assert!(response.starts_with("HTTP/1.1 407"), "{response}");
        }
        world.next_end().await;
        for page in ["/-/api/history", "/-/api/transfers"] {
            let fields = format!("Authorization: {}\r\n", basic(PASSWORD));
            let page = ask(&world, page, &fields).await;
            assert!(page.starts_with("HTTP/1.1 200"), "{page}");
            assert!(!page.contains("PLANTED"), "{page}");
        }
    }
}
