//! What git, curl and requests accept is accepted: heads that bend the rules, and targets byte by byte.

use std::fmt::Write as _;

use tokio::io::AsyncWriteExt;

use crate::world::{OK, World, origin, read_until, soon};

async fn get(world: &World) -> String {
    let mut client = world
        .sends("GET http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n")
        .await;
    String::from_utf8(client.rest().await).unwrap()
}

#[tokio::test]
async fn an_answer_whose_head_bends_the_rules_is_taken() {
    let head = "HTTP/1.1 200 OK\r\nX-Folded: a,\r\n \t b\r\nX-Spaced  : c\r\nno field at all\r\nBad Name: d\r\n\
                WWW-Authenticate: FooBar param1=\"a  b\"\r\n \r\n\t\r\n param2=\"c\"\r\n\
                Content-Length : 2\r\nX-Last: e\r\n\r\nok";
    let world = World::answering(head).await;
    let answered = get(&world).await;
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    assert!(answered.ends_with("\r\n\r\nok"), "{answered}");
    for field in [
        "X-Folded: a, b\r\n",
        "X-Spaced: c\r\n",
        "X-Last: e\r\n",
        "WWW-Authenticate: FooBar param1=\"a  b\" param2=\"c\"\r\n",
    ] {
        assert!(answered.contains(field), "{field}{answered}");
    }
    for gone in ["no field", "Bad Name"] {
        assert!(!answered.contains(gone), "{answered}");
    }
}

#[tokio::test]
async fn an_answer_may_have_a_thousand_fields_within_the_largest_head() {
    let fields = |count: usize, value: &str| {
        let mut head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n".to_owned();
        for number in 1..count {
            let _ = write!(head, "X-{number}: {value}\r\n");
        }
        head + "\r\nok"
    };
    let world = World::answering(fields(1000, "a")).await;
    let answered = get(&world).await;
    assert!(answered.contains("X-999: a\r\n"), "{answered}");
    // `max_head` is 16 KiB here.
    let world = World::answering(fields(100, &"a".repeat(200))).await;
    let answered = get(&world).await;
    assert!(answered.starts_with("HTTP/1.1 502"), "{answered}");
    assert!(answered.contains("too-large"), "{answered}");
}

#[tokio::test]
async fn a_request_target_passes_to_the_byte() {
    let targets = [
        "/a//b/../c/./%2e%2E?x=%zz&&=|^{}[]\\'*,;:@!$()+~",
        "/?",
        "//",
        "/\u{e4}?\u{f6}=\u{1f600}",
        "/a?b?c/d",
        "/{}|^",
    ];
    let (address, served) = origin(move |connections| async move {
        let mut stream = connections.next().await;
        let mut seen = Vec::new();
        for _ in targets {
            let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n").await).unwrap();
            seen.push(head.split(' ').nth(1).unwrap().to_owned());
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
        seen
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    for target in targets {
        client
            .send(format!(
                "GET http://origin.test{target} HTTP/1.1\r\nHost: origin.test\r\n\r\n"
            ))
            .await;
        client.read_until("\r\n\r\nok").await;
    }
    assert_eq!(soon("the requests", served).await.unwrap(), targets);
}

#[tokio::test]
async fn a_target_that_cannot_be_held_is_refused_and_the_log_names_the_byte() {
    let (address, _never) = origin(|_| std::future::pending::<()>()).await;
    let world = World::in_front_of("origin.test", address).await;
    for (target, escape) in [
        ("/a<b", "%3C"),
        ("/a?b=\"c\"", "%22"),
        ("/a#b", "%23"),
        ("/a\u{1}b", "%01"),
    ] {
        let mut client = world.sends(format!(
                "GET http://origin.test{target} HTTP/1.1\r\nHost: origin.test\r\nConnection: close\r\n\r\n"
            )).await;
        let answered = String::from_utf8(client.rest().await).unwrap();
        assert!(answered.starts_with("HTTP/1.1 400"), "{answered}");
        let fault = world.next_fault().await;
        assert!(fault.cause.contains(escape), "{target}: {fault:?}");
        assert_eq!(world.next_end().await.result, fault.code, "{target}");
    }
}
