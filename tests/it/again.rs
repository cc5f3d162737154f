//! What is sent a second time, and what never is.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::world::{GET, OK, World, origin, read_until, reset, route, soon};

#[tokio::test]
async fn an_idle_connection_that_died_is_no_fault_of_a_request_without_a_body() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        // It reads the next request and resets the connection, as servers do whose idle timeout has just expired.
        read_until(&mut stream, b"\r\n\r\n").await;
        reset(stream);
        let mut stream = connections.asked().await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    for first in [true, false] {
        client.send(GET).await;
        let answer = client.read_until("\r\n\r\nok").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        // The answer is out before its connection is idle.
        if first {
            world.keeps_idle(1).await;
        }
    }
    soon("the origin", served).await.unwrap();
    for _ in 0..2 {
        assert_eq!(world.next_end().await.result, "answered");
    }
    assert!(world.faults().is_empty(), "{:?}", world.faults());
}

/// A body whose length nobody knows is not kept.
#[tokio::test]
async fn a_put_that_cannot_be_sent_again_fails_in_seconds_after_the_network_changed() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        // BPF_RET with a constant, 0: no packet reaches TCP any more.
        let forget = [socket2::SockFilter::new(6, 0, 0, 0)];
        socket2::SockRef::from(&stream)
            .attach_filter(&forget)
            .unwrap();
        stream
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends(GET).await;
    client.read_until("\r\n\r\nok").await;
    world.keeps_idle(1).await;
    let _stream = soon("the origin", served).await.unwrap();
    client
        .send("PUT http://origin.test/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nact\r\n0\r\n\r\n")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    assert!(head.contains("/stale-connection"), "{head}");
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.contains("reused connection"), "{answer}");
    assert!(!answer.contains("add another upstream"), "{answer}");
}

#[tokio::test]
async fn a_post_that_may_have_arrived_is_never_sent_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let posts = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&posts);
    tokio::task::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            seen.fetch_add(1, Ordering::SeqCst);
            read_until(&mut stream, b"hello").await;
            reset(stream);
        }
    });
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends("POST http://origin.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
        .await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    assert!(head.contains("details=\"origin/awaiting-head/"), "{head}");
    // The transfer is over: nothing of it comes any more.
    world.is_quiet().await;
    assert_eq!(posts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_post_that_only_asks_is_sent_again_when_its_connection_dies() {
    let (address, served) = origin(|connections| async move {
        for _ in 0..2 {
            let mut stream = connections.next().await;
            read_until(&mut stream, b"want").await;
            reset(stream);
        }
        let mut stream = connections.next().await;
        read_until(&mut stream, b"want").await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.sends("POST http://origin.test/r.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nwant").await;
    let answer = client.read_until("\r\n\r\nok").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    soon("the origin", served).await.unwrap();
}

#[tokio::test]
async fn a_post_that_may_act_takes_a_connection_of_its_own() {
    let (address, served) = origin(|connections| async move {
        // The first one stays open, and idle.
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut stream = connections.next().await;
            read_until(&mut stream, b"act").await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            open.push(stream);
        }
        open
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    for first in [true, false] {
        client
            .send("POST http://origin.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nact")
            .await;
        client.read_until("\r\n\r\nok").await;
        if first {
            // The second one could use this connection.
            world.keeps_idle(1).await;
        }
    }
    soon("the origin", served).await.unwrap();
}

#[tokio::test]
async fn a_verify_and_a_push_probe_use_the_connection_of_the_request_before() {
    const ASK: [(&str, &str); 3] = [
        ("/r.git/info/lfs/objects/verify", "{\"oid\":\"1\"}"),
        ("/r.git/info/lfs/locks/verify", "{}"),
        ("/r.git/git-receive-pack", "0000"),
    ];
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        for (_, body) in ASK {
            read_until(&mut stream, body.as_bytes()).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
        // Four bytes that are commands, or could be: not a probe.
        let mut stream = connections.next().await;
        read_until(&mut stream, b"00a0").await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    for (path, body) in ASK.into_iter().chain([("/r.git/git-receive-pack", "00a0")]) {
        client
            .send(&format!(
                "POST http://origin.test{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/vnd.git-lfs+json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await;
        client.read_until("\r\n\r\nok").await;
        if body != "00a0" {
            world.keeps_idle(1).await;
        }
        if body == "0000" {
            // Commands that come at once take the same connection.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
    soon("the origin", served).await.unwrap();
}

#[tokio::test]
async fn thirty_two_requests_at_once_leave_as_many_connections_for_the_next_thirty_two() {
    const AT_ONCE: usize = 32;
    let (address, served) = origin(|connections| async move {
        let mut streams = Vec::new();
        for _ in 0..AT_ONCE {
            streams.push(connections.next().await);
        }
        for _ in 0..2 {
            for stream in &mut streams {
                read_until(stream, b"\r\n\r\n").await;
            }
            // No response before all requests are there.
            for stream in &mut streams {
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut clients = Vec::new();
    for _ in 0..AT_ONCE {
        clients.push(world.client().await);
    }
    for round in 0..2 {
        for client in &mut clients {
            client.send(GET).await;
        }
        for client in &mut clients {
            client.read_until("\r\n\r\nok").await;
        }
        if round == 0 {
            world.keeps_idle(AT_ONCE).await;
        }
    }
    soon("the origin", served).await.unwrap();
}

#[tokio::test]
async fn a_site_that_is_busy_for_a_moment_is_asked_again_over_its_only_upstream_and_one_that_stays_so_is_quoted()
 {
    const BUSY: &[u8] = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy";
    for (times, answered) in [(2, "HTTP/1.1 200"), (4, "HTTP/1.1 503")] {
        let (address, served) = origin(move |connections| async move {
            for _ in 0..times {
                let mut stream = connections.next().await;
                read_until(&mut stream, b"batch").await;
                stream.write_all(BUSY).await.unwrap();
            }
            if times < 4 {
                let mut stream = connections.next().await;
                read_until(&mut stream, b"batch").await;
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        })
        .await;
        let world = World::in_front_of("origin.test", address).await;
        let mut client = world.sends("POST http://origin.test/r.git/info/lfs/objects/batch HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nbatch").await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.starts_with(answered), "{answer}");
        assert!(
            answer.ends_with(if times < 4 { "ok" } else { "busy" }),
            "{answer}"
        );
        // `attempts` is 4 here: as often as that, and no more.
        let end = world.next_end().await;
        assert_eq!(end.attempts, 4.min(times + 1), "{end:?}");
        assert_eq!(end.result, "answered");
        soon("the origin", served).await.unwrap();
    }
}

#[tokio::test]
async fn with_no_idle_connections_per_origin_none_is_kept() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        soon("the end of the connection", stream.read_to_end(&mut rest))
            .await
            .unwrap();
    })
    .await;
    let none = "[pool]\nidle_per_origin = 0\n";
    let world = World::with(&route("origin.test", address, "tunnel", none)).await;
    let mut client = world.sends(GET).await;
    client.read_until("\r\n\r\nok").await;
    soon("the origin", served).await.unwrap();
}
