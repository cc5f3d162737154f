//! Tokens stay with their host on the reverse front, where a client sees every host under the daemon's own name.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    background::Background,
    ferry::Ferry,
    relay::Relay,
    world::{MAIN, World},
};

/// Every form in which the planted token and cookie could arrive.
const TOKENS: [&str; 3] = ["PLANTED", "bWU6UExBTlRFRA==", "crumb"];

/// What a request to `host` and `path` is answered with: a status and header fields.
type Script = fn(&str, &str) -> &'static str;

/// Hosts that answer by a script, and what they were asked.
struct Hosts {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _background: Background,
}

impl Hosts {
    fn start(script: Script) -> Self {
        let background = Background::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let address = background.serve(move |stream, _| {
            let seen = Arc::clone(&seen);
            async move {
                // A client that closes ends the script.
                let _ = serve(stream, script, &seen).await;
            }
        });
        Self {
            address,
            asked,
            _background: background,
        }
    }

    /// The requests to a host.
    fn asked(&self, host: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let of_host = |head: &&String| head.to_lowercase().contains(&format!("host: {host}\r\n"));
        asked.iter().filter(of_host).cloned().collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Script,
    seen: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let lower = head.to_lowercase();
        let host = lower.split("host: ").nth(1).unwrap();
        let host = host.split("\r\n").next().unwrap().to_owned();
        seen.lock().unwrap().push(head);
        let answer = script(&host, &path);
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn ferry(world: &World, hosts: &Hosts) -> Ferry {
    let settings = ["a.test", "b.test", "c.test"]
        .into_iter()
        .fold(world.settings(), |settings, host| {
            settings.route(host, "tunnel", &["direct"], hosts.address)
        });
    Ferry::start(&settings)
}

#[track_caller]
fn has_no_token(what: &str, text: &str) {
    for token in TOKENS {
        assert!(!text.contains(token), "{what} has {token}: {text}");
    }
}

/// A to B, B to another port of itself, that to C: three names of one daemon to curl, which then sends everything along.
#[test]
fn curl_follows_redirects_from_host_to_host_and_the_token_stays_with_the_first() {
    let hosts = Hosts::start(|host, path| match (host, path) {
        ("a.test", "/x") => {
            "302 Found\r\nLocation: http://b.test/x\r\nSet-Cookie: session=crumb; Path=/"
        }
        ("b.test", "/x") => "302 Found\r\nLocation: /y",
        ("b.test", "/y") => "302 Found\r\nLocation: http://b.test:8080/x",
        ("b.test:8080", "/x") => "307 Temporary Redirect\r\nLocation: http://c.test/x",
        ("c.test", "/x") => "302 Found\r\nLocation: http://a.test/back",
        _ => "200 OK",
    });
    let world = World::new();
    let ferry = ferry(&world, &hosts);
    let url = format!("http://{}/a.test:80/x", ferry.address);
    let ask = |more: &[&str]| {
        let all = [&["-L", "-w", "%{http_code}", &url], more].concat();
        let code = world.git().curl(&all).well().stdout;
        assert_eq!(code, "200");
    };
    for credentials in [
        &["-u", "me:PLANTED"][..],
        &["-H", "Authorization: Bearer PLANTED-1"],
        &["-H", "Private-Token: PLANTED-2"],
        &["-H", "X-Api-Key: PLANTED-4"],
        &["-H", "X-GitLab-Token: PLANTED-5"],
        &["-H", "X-Auth-Token: PLANTED-6", "-H", "Accept: PASSED-1"],
        &["-H", "A-Token-Of-This-Site: PLANTED-7", "-r", "0-4711"],
        &["-b", "session=crumb; other=crumb"],
        &["-u", "me:PLANTED", "--location-trusted", "-X", "POST"],
    ] {
        ask(credentials);
        for host in ["b.test", "b.test:8080", "c.test"] {
            has_no_token(host, &hosts.asked(host).concat());
        }
    }
    // Back at A it is A's own, and curl knows it by the name that it began with.
    let back = hosts.asked("a.test").concat();
    assert!(back.matches("GET /back").count() >= 8, "{back}");
    for token in ["bWU6UExBTlRFRA==", "X-Api-Key: PLANTED-4"] {
        assert!(back.matches(token).count() >= 2, "{token}: {back}");
    }
    // What is no credential goes along.
    let other = hosts.asked("c.test").concat();
    for field in ["Accept: PASSED-1", "Range: bytes=0-4711"] {
        assert!(other.contains(field), "{field}: {other}");
    }
    has_no_token("the log", &ferry.log());
}

#[test]
fn a_host_that_asks_for_it_gets_the_token_after_all() {
    let hosts = Hosts::start(|host, _| match host {
        "a.test" => "302 Found\r\nLocation: http://b.test/x",
        _ => "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"b\"",
    });
    let world = World::new();
    let ferry = ferry(&world, &hosts);
    let url = format!("http://{}/a.test:80/x", ferry.address);
    let git = world.git();
    git.curl(&["-L", "-u", "me:PLANTED", &url]).well();
    has_no_token("b.test", &hosts.asked("b.test").concat());
    let own = format!("http://{}/b.test:80/x", ferry.address);
    git.curl(&["-u", "me:PLANTED", &own]).well();
    let asked = hosts.asked("b.test");
    assert!(
        asked.last().unwrap().contains("bWU6UExBTlRFRA=="),
        "{asked:?}"
    );
}

/// git takes the redirected URL for its new base, and sends every later request there, with the header of its config.
#[test]
fn git_pushes_to_where_a_redirect_led_and_the_extra_header_stays_with_the_first_host() {
    let hosts = Hosts::start(|_, path| match path {
        "/tokens.git/info/refs?service=git-receive-pack" => {
            "301 Moved Permanently\r\nLocation: http://main.test/tokens.git/info/refs?service=git-receive-pack"
        }
        _ => "404 Not Found",
    });
    let world = World::new();
    world.host.repository("tokens");
    let there = Relay::faultless(world.host.http);
    let settings = world
        .settings()
        .route("a.test", "tunnel", &["direct"], hosts.address)
        .route(MAIN, "tunnel", &["direct"], there.address);
    let ferry = Ferry::start(&settings);
    let url = format!("http://{}/a.test:80/tokens.git", ferry.address);
    let git = world
        .git()
        .with("http.extraHeader", "Authorization: Bearer PLANTED-3")
        .with("http.extraHeader", "X-Api-Key: PLANTED-8");
    let work = git.work(world.path("work"), &url);
    work.commit("file", 100_000);
    work.git(&["push", "-q", "origin", "main"]).well();
    for token in ["PLANTED-3", "PLANTED-8"] {
        assert!(hosts.asked("a.test").concat().contains(token));
    }
    let arrived = there.received().concat();
    let arrived = String::from_utf8_lossy(&arrived);
    assert!(
        arrived.contains("POST /tokens.git/git-receive-pack"),
        "{arrived}"
    );
    has_no_token(MAIN, &arrived);
}
