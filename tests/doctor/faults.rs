//! Networks with one fault each, and nobody who listens for us.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    run::{doctor, storage_by},
    support::{
        background::Background,
        ca::Flaw,
        hop::Hop,
        world::{MAIN, STORAGE, World},
    },
};

#[test]
fn a_healthy_network_is_healthy_and_every_body_arrives() {
    let world = World::new();
    let config = world.plain_settings().write("127.0.0.1:0");
    let said = doctor(&config, &[]);
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
    assert_eq!(said.json["healthy"], true);
    for host in [MAIN, STORAGE] {
        for check in [
            "name",
            "tcp",
            "tls",
            "certificate",
            "http",
            "post-1k",
            "post-mtu",
        ] {
            assert_eq!(said.state(host, "direct", check), "ok", "{host} {check}");
        }
        let path = said.check(host, "direct", "path");
        assert!(path["shown"].as_str().unwrap().contains("rtt"), "{path}");
    }
    assert!(said.verdict("works").contains(STORAGE), "{:#}", said.json);
}

/// Storage does not want a large body at a path that does not exist: it reads what came and closes, as relays before it do.
#[test]
fn a_storage_that_closes_after_the_whole_body_is_not_broken() {
    let world = World::new();
    let background = Background::new();
    let acceptor = world.ca.leaf(&[STORAGE], Flaw::None).acceptor(&[]);
    let storage = background.serve(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    return;
                };
                head.push(byte);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let field = head.split("content-length: ").nth(1);
            let length = field.and_then(|text| text.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if stream.read_exact(&mut body).await.is_err() || body.len() > 64 * 1024 {
                return;
            }
            let answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let settings = world.settings_to_storage(&["direct"], storage);
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
    let large = said.check(STORAGE, "direct", "post-256k");
    assert_eq!(large["shown"], "all acknowledged", "{large}");
}

#[test]
fn a_hop_that_refuses_the_storage_is_named_and_the_way_that_works_comes_first() {
    let world = World::new();
    let hop = Hop::answers_403();
    let settings = storage_by(&world, &hop, &["office", "direct"]);
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    let broken = said.broken();
    assert!(
        broken.contains("office does not allow this host"),
        "{broken}"
    );
    assert!(broken.contains("hop/greeting/hop-refused-403"), "{broken}");
    assert!(said.verdict("works").contains(STORAGE), "{:#}", said.json);
    let toml = said.change("toml");
    assert!(
        toml.contains("[{ via = \"direct\" }, { via = \"office\" }]"),
        "{toml}"
    );
    assert_eq!(said.state(STORAGE, "office", "tls"), "skipped");
}

#[test]
fn a_path_that_cuts_tls_at_the_name_is_a_filter_of_names() {
    let world = World::new();
    let background = Background::new();
    let origin = world.host.https;
    let filter = background.serve(move |mut client, _| async move {
        let mut hello = vec![0; 16 * 1024];
        let count = client.read(&mut hello).await.unwrap_or(0);
        hello.truncate(count);
        if hello
            .windows(MAIN.len())
            .any(|part| part == MAIN.as_bytes())
        {
            let _ = socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO));
            return;
        }
        if let Ok(mut server) = TcpStream::connect(origin).await {
            let _ = server.write_all(&hello).await;
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], filter);
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    assert!(said.broken().contains("SNI filter"), "{:#}", said.json);
    assert_eq!(
        said.check(MAIN, "direct", "tls")["code"],
        "origin/handshaking/reset"
    );
    assert_eq!(said.state(MAIN, "direct", "tls-no-sni"), "ok");
    assert!(
        said.change("sentence").contains("upstreams"),
        "{:#}",
        said.json
    );
}

#[test]
fn a_captive_portal_is_recognised_and_its_page_is_named() {
    let world = World::new();
    let background = Background::new();
    let portal = background.serve(|mut client, _| async move {
        let mut request = [0; 4096];
        let _ = client.read(&mut request).await;
        let _ = client
            .write_all(
                b"HTTP/1.1 302 Found\r\nLocation: http://login.portal.test/?session=PLANTED\r\n\
                  Content-Length: 0\r\nConnection: close\r\n\r\n",
            )
            .await;
    });
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], portal);
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    assert!(said.broken().contains("log-in page"), "{:#}", said.json);
    let sentence = said.change("sentence");
    assert!(sentence.contains("http://login.portal.test/"), "{sentence}");
    assert!(!said.finished.stdout.contains("PLANTED"), "{:#}", said.json);
}

fn with_certificate(flaw: Flaw) -> crate::run::Said {
    let world = World::new();
    let background = Background::new();
    let acceptor = world.ca.leaf(&[MAIN], flaw).acceptor(&[]);
    let origin = background.serve(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let _ = acceptor.accept(stream).await;
        }
    });
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], origin);
    doctor(&settings.write("127.0.0.1:0"), &[])
}

#[test]
fn a_certificate_out_of_its_time_asks_for_a_look_at_the_clock() {
    let said = with_certificate(Flaw::Expired);
    let broken = said.broken();
    assert!(
        broken.contains("its certificate expired on 2021-01-01, by this machine's clock"),
        "{broken}"
    );
    assert!(said.change("command").contains("date"), "{:#}", said.json);
}

#[test]
fn somebody_elses_certificate_is_shown_with_its_signer() {
    let broken = with_certificate(Flaw::SelfSigned).broken();
    assert!(
        broken.contains("signed by \"a test origin\", which is not trusted"),
        "{broken}"
    );
    let said = with_certificate(Flaw::WrongName);
    let broken = said.broken();
    assert!(
        broken.contains("the certificate is for other names"),
        "{broken}"
    );
    let detail = said.check(MAIN, "direct", "certificate")["detail"].to_string();
    assert!(detail.contains("elsewhere.test"), "{detail}");
}

#[test]
fn a_server_that_accepts_a_request_and_never_responds_is_reported_in_time() {
    let world = World::new();
    let background = Background::new();
    let acceptor = world.ca.leaf(&[MAIN], Flaw::None).acceptor(&[]);
    let origin = background.serve(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut buffer = vec![0; 64 * 1024];
                let mut first = true;
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    // Small questions are answered, bodies are swallowed.
                    if first && buffer[..count].starts_with(b"GET ") {
                        let _ = stream
                            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                            .await;
                    }
                    first = false;
                }
            }
        }
    });
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], origin);
    let said = doctor(&settings.write("127.0.0.1:0"), &[]);
    let broken = said.broken();
    assert!(
        broken.contains("accepts the request and does not answer"),
        "{broken}"
    );
    assert_eq!(
        said.check(MAIN, "direct", "post-1k")["code"],
        "origin/awaiting-head/timed-out"
    );
    assert!(
        said.json["took_ms"].as_u64().unwrap() < 20_500,
        "{:#}",
        said.json
    );
}
