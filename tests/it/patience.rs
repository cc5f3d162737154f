//! How long the daemon goes on by itself: busy sites, downloads that crawl, resets of what was sent, and its own end.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

use crate::support::process::free_address;
use crate::world::{Hop, OK, World, origin, read_until, reset, route, route_by, soon};

/// An origin that does `script` with every connection once a head has come, and counts them.
async fn each<F>(
    script: impl Fn(usize, TcpStream) -> F + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::<AtomicUsize>::default();
    let seen = Arc::clone(&count);
    tokio::task::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_until(&mut stream, b"\r\n\r\n").await;
            script(seen.fetch_add(1, Ordering::SeqCst), stream).await;
        }
    });
    (address, count)
}

/// Asks for `path` over a connection of its own; the whole answer.
async fn get(world: &World, agent: &str) -> String {
    let mut client = world.sends(format!(
            "GET http://origin.test/o HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
        )).await;
    String::from_utf8(client.rest().await).unwrap()
}

#[tokio::test]
async fn a_thousand_bytes_do_not_take_a_thousand_connections() {
    let (address, connections) = each(|nth, mut stream| async move {
        let head = match nth {
            0 => "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\netag: \"v1\"\r\n\r\n.".to_owned(),
            _ => format!(
                "HTTP/1.1 206 Partial\r\ncontent-length: {}\r\netag: \"v1\"\r\ncontent-range: bytes {nth}-999/1000\r\n\r\n.",
                1000 - nth
            ),
        };
        let _ = stream.write_all(head.as_bytes()).await;
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let answer = get(&world, "curl/8").await;
    assert!(answer.ends_with("\r\n\r\n...."), "{answer}");
    assert_eq!(connections.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_site_that_says_when_to_come_back_is_asked_again_then() {
    for status in [429, 503] {
        let (address, _) = each(move |nth, mut stream| async move {
            let busy = format!(
                "HTTP/1.1 {status} Busy\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            );
            let answer = if nth == 0 { busy.as_str() } else { OK };
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let patient = "dial = { backoff_limit = \"2s\" }";
        let world = World::with(&route("origin.test", address, "tunnel", patient)).await;
        let began = Instant::now();
        let answer = get(&world, "git/2.39").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(began.elapsed() >= Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_site_that_asks_for_more_than_our_patience_is_quoted_at_once() {
    for status in [429, 503] {
        let (address, connections) = each(move |_, mut stream| async move {
            let busy = format!(
                "HTTP/1.1 {status} Busy\r\nretry-after: 30\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbusy"
            );
            let _ = stream.write_all(busy.as_bytes()).await;
        })
        .await;
        let world = World::in_front_of("origin.test", address).await;
        let answer = get(&world, "git-lfs/3.3.0").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.contains("retry-after: 30\r\n"), "{answer}");
        assert_eq!(connections.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn git_lfs_always_gets_retry_after_with_a_429() {
    let (address, _) = each(|_, mut stream| async move {
        let limited = "HTTP/1.1 429 Slow\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(limited.as_bytes()).await;
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    for (agent, told) in [("git-lfs/3.3.0 (GitHub; linux)", true), ("git/2.39", false)] {
        let answer = get(&world, agent).await.to_lowercase();
        assert!(answer.starts_with("http/1.1 429"), "{answer}");
        assert_eq!(answer.contains("\r\nretry-after: "), told, "{answer}");
    }
}

/// A daemon with two hops that its route tries in turn.
async fn behind(first: &Hop, second: &Hop) -> World {
    let hops = [("first", &*first.url), ("second", &*second.url)];
    World::with(&route_by(&hops, "origin.test", "")).await
}

#[tokio::test]
async fn a_busy_site_opens_no_circuit_of_its_upstreams() {
    let busy =
        || Hop::answers("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let (first, second) = (busy(), busy());
    let world = behind(&first, &second).await;
    for _ in 0..2 {
        let answer = get(&world, "git/2.39").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        let open = world.shared().health.snapshot();
        assert!(open.is_empty(), "{open:?}");
    }
}

#[tokio::test]
async fn one_reset_of_a_sent_post_opens_no_circuit_and_the_second_in_a_row_does() {
    let dead = || {
        Hop::playing(|mut stream, _| async move {
            read_until(&mut stream, b"hello").await;
            reset(stream);
            Ok(())
        })
    };
    let (first, second) = (dead(), dead());
    let world = behind(&first, &second).await;
    for open in [0, 1] {
        let mut client = world
            .sends("POST http://origin.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        let circuits = world.shared().health.snapshot();
        assert_eq!(circuits.len(), open, "{circuits:?}");
    }
    assert_eq!(first.asked().len(), 2);
    second.assert_unused();
}

#[tokio::test]
async fn a_transfer_that_waits_when_the_daemon_stops_is_ended_by_shutdown() {
    let (address, asked) = origin(|connections| async move {
        let stream = connections.asked().await;
        reset(stream);
    })
    .await;
    let patient = "dial = { backoff = \"60s\", backoff_limit = \"60s\" }";
    let mut world = World::with(&route("origin.test", address, "tunnel", patient)).await;
    let mut client = world
        .sends("GET http://origin.test/o HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    soon("the origin", asked).await.unwrap();
    assert_eq!(world.next_fault().await.next, "again");
    let stopping = world.stop(Duration::ZERO);
    soon("the daemon's end", stopping).await.unwrap();
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    let last = world.next_fault().await;
    assert_eq!(
        (last.kind.as_str(), last.next.as_str()),
        ("shutdown", "give-up")
    );
}

const PUT: &str = "PUT http://origin.test/o HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";

/// Reads a head and so much of the body.
async fn take(stream: &mut TcpStream, count: usize) {
    read_until(stream, b"\r\n\r\n").await;
    let mut body = vec![0; count];
    soon("the body", stream.read_exact(&mut body))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_only_upstream_that_restarts_in_mid_upload_is_waited_for_while_the_upload_is_kept() {
    // Of a kind that nobody else gets while no listener has it.
    let address = free_address();
    let listener = TcpListener::bind(address).await.unwrap();
    let (gone, away) = tokio::sync::oneshot::channel();
    let (back, returned) = tokio::sync::oneshot::channel();
    let served = tokio::task::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_until(&mut stream, b"\r\n\r\n").await;
        let close = OK.replacen("\r\n", "\r\nconnection: close\r\n", 1);
        stream.write_all(close.as_bytes()).await.unwrap();
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        take(&mut stream, 50_000).await;
        drop(listener);
        reset(stream);
        gone.send(()).unwrap();
        returned.await.unwrap();
        let listener = TcpListener::bind(address).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        take(&mut stream, 100_000).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    });
    let world = World::with(&route("origin.test", address, "tunnel", "replay = true")).await;
    let answer = get(&world, "git-lfs/3.3.0").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut client = world.sends(PUT).await;
    client.send(vec![7; 100_000]).await;
    soon("the restart", away).await.unwrap();
    // One for the reset, and more than `attempts` allows.
    let mut reported = Vec::new();
    for _ in 0..8 {
        reported.push(!world.next_fault().await.repeated);
    }
    // The attempts of `attempts`, and the one with which the wait begins.
    let warned = reported.iter().filter(|reported| **reported).count();
    assert!(
        reported.is_sorted_by(|one, next| one >= next),
        "{reported:?}"
    );
    assert!((2..=5).contains(&warned), "{reported:?}");
    back.send(()).unwrap();
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    soon("the upload", served).await.unwrap();
}

/// The response to a client of a silent hop, and how long it took.
async fn refused(world: &World) -> (String, Duration) {
    let begun = Instant::now();
    let mut client = world
        .sends("CONNECT dead.test:443 HTTP/1.1\r\nHost: dead.test:443\r\n\r\n")
        .await;
    (client.head().await, begun.elapsed())
}

/// A daemon with one hop, which is slow to greet.
async fn behind_a_slow_hop(hop: &Hop, greet_timeout: &str) -> World {
    let route = route_by(&[("silent", &hop.url)], "dead.test", "");
    World::with(&format!("greet_timeout = \"{greet_timeout}\"\n{route}")).await
}

/// A hop that answers nobody until the test says so, and then after `delay`.
fn silent_at_first(delay: Duration) -> (Hop, watch::Sender<bool>) {
    let (answers, watched) = watch::channel(false);
    let hop = Hop::playing(move |mut stream, _| {
        let answers = *watched.borrow();
        async move {
            if answers {
                sleep(delay).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            }
            stream.read_to_end(&mut Vec::new()).await?;
            Ok(())
        }
    });
    (hop, answers)
}

#[tokio::test]
async fn an_only_hop_that_is_known_to_be_dead_costs_each_request_one_short_attempt() {
    let (hop, answers) = silent_at_first(Duration::ZERO);
    let world = behind_a_slow_hop(&hop, "4s").await;
    let (said, first) = refused(&world).await;
    assert!(said.starts_with("HTTP/1.1 504"), "{said}");
    assert!(first >= Duration::from_secs(8), "two attempts: {first:?}");
    let before = hop.asked().len();
    // Of two at once one tries, and the other is answered at once.
    let ((said, one), (also, other)) = tokio::join!(refused(&world), refused(&world));
    for said in [said, also] {
        assert!(said.starts_with("HTTP/1.1 504"), "{said}");
        assert!(said.contains("hop/greeting/timed-out"), "{said}");
    }
    assert_eq!(hop.asked().len() - before, 1, "attempts of both");
    assert!(
        one.max(other) < first,
        "{one:?} {other:?}, at first {first:?}"
    );
    // Whoever mends it is served by the next request.
    answers.send(true).unwrap();
    let (said, _) = refused(&world).await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

/// Reported: over a slow path, or through a slow hop, the attempt of 2 s never came to its end, and the hop stayed dead.
#[tokio::test]
async fn a_slow_hop_that_comes_back_is_found_although_no_request_waits_that_long() {
    let (hop, answers) = silent_at_first(Duration::from_millis(2700));
    let world = behind_a_slow_hop(&hop, "3500ms").await;
    let (said, _) = refused(&world).await;
    assert!(said.starts_with("HTTP/1.1 504"), "{said}");
    answers.send(true).unwrap();
    let begun = Instant::now();
    loop {
        let (said, took) = refused(&world).await;
        if said.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(took < Duration::from_millis(3500), "{took:?}: {said}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{said}");
    }
}
