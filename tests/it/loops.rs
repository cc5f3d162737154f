//! Two daemons that are each other's hop: a request ends soon, with a fault that says loop.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt as _,
    sync::{Barrier, watch},
};

use crate::{
    support::{ferry::Ferry, process::free_address},
    world::{Hop, OK, Run, World, origin, read_until, route, soon},
};

/// A daemon at `address` whose one way out is the hop at `other`.
fn daemon(directory: &Path, address: SocketAddr, other: SocketAddr, via: bool) -> Ferry {
    let place = directory.join(address.port().to_string());
    fs::create_dir(&place).unwrap();
    let text = format!(
        "[listen]\naddress = \"{address}\"\n[state]\ndirectory = \"state\"\n[log]\nformat = \"json\"\n[built_in]\nroutes = false\n\
         [hops]\nother = {{ url = \"http://{other}\", via = {via} }}\n\
         [other_hosts]\nports = [80, 443]\nupstreams = [{{ via = \"other\" }}]\n\
         [[route]]\nname = \"ended-here\"\nhosts = [\"near.test\"]\ntls = \"terminate\"\nupstreams = [{{ via = \"other\" }}]\n"
    );
    Ferry::run(Run::Binary, &place, &text)
}

fn ask(address: SocketAddr, request: &str) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (
        String::from_utf8_lossy(&answer).into_owned(),
        begun.elapsed(),
    )
}

#[test]
fn two_daemons_that_are_each_others_hop_end_soon_and_say_loop_with_via_and_without() {
    for (first_via, second_via) in [(true, true), (true, false), (false, true), (false, false)] {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (free_address(), free_address());
        let _a = daemon(directory.path(), first, second, first_via);
        let _b = daemon(directory.path(), second, first, second_via);
        for request in [
            "CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\nConnection: close\r\n\r\n",
            "GET http://far.test/x HTTP/1.1\r\nHost: far.test\r\nConnection: close\r\n\r\n",
        ] {
            let (answer, took) = ask(first, request);
            let case = format!("{request:?} with via {first_via}, {second_via}: {answer}");
            assert!(answer.starts_with("HTTP/1.1 508"), "{case}");
            assert!(answer.contains("loop"), "{case}");
            assert!(took < Duration::from_secs(10), "{took:?}: {case}");
        }
    }
}

#[test]
fn a_loop_of_what_is_not_tls_on_a_terminated_host_ends_after_one_round_with_via_and_without() {
    for (first_via, second_via) in [(true, true), (true, false), (false, true), (false, false)] {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (free_address(), free_address());
        let _a = daemon(directory.path(), first, second, first_via);
        let _b = daemon(directory.path(), second, first, second_via);
        let (answer, took) = ask(
            first,
            "CONNECT near.test:443 HTTP/1.1\r\nHost: near.test:443\r\n\r\nSSH-2.0-x\r\n",
        );
        let case = format!("via {first_via}, {second_via}");
        assert!(answer.starts_with("HTTP/1.1 200"), "{case}: {answer}");
        assert!(took < Duration::from_secs(10), "{case}: {took:?}");
        let (history, _) = ask(
            first,
            "GET /-/api/history HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        );
        let rounds = history.matches("\"host\": \"near.test\"").count();
        // Each attempt of the first tunnel goes round once.
        assert!((2..=8).contains(&rounds), "{case}: {rounds}: {history}");
    }
}

/// A proxy that leaves out what it does not know, as most do of a CONNECT, and connects to the daemon whose address the test sends.
fn forgetful(grants_first: bool) -> (Hop, watch::Sender<SocketAddr>) {
    let (tell, daemon) = watch::channel(SocketAddr::from(([127, 0, 0, 1], 1)));
    let hop = Hop::playing(move |mut client, _| {
        let daemon = *daemon.borrow();
        async move {
            if grants_first {
                client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            }
            let mut next = tokio::net::TcpStream::connect(daemon).await?;
            next.write_all(b"CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n")
                .await?;
            if grants_first {
                read_until(&mut next, b"\r\n\r\n").await;
            }
            tokio::io::copy_bidirectional(&mut client, &mut next).await?;
            Ok(())
        }
    });
    (hop, tell)
}

fn through(hop: impl std::fmt::Display, via: bool) -> String {
    format!(
        "[hops]\nhop = {{ url = \"http://{hop}\", via = {via} }}\n[[route]]\nname = \"far\"\nrole = \"other\"\n\
         hosts = [\"far.test\"]\ntls = \"tunnel\"\nupstreams = [{{ via = \"hop\" }}]\n"
    )
}

#[tokio::test]
async fn a_loop_through_a_proxy_that_forgets_where_a_request_has_been_ends_soon() {
    for (grants_first, via) in [(false, true), (false, false), (true, true)] {
        let (hop, tell) = forgetful(grants_first);
        let world = World::listening("max_connections = 512", &through(hop.address(), via)).await;
        tell.send(world.address).unwrap();
        let begun = Instant::now();
        let mut client = world.client().await;
        client
            .send("CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n")
            .await;
        let answer = client.rest().await;
        let answer = String::from_utf8_lossy(&answer);
        let case = format!("granted first: {grants_first}, via {via}: {answer}");
        let loops = || {
            let faults = world.faults().into_iter();
            faults.filter(|fault| fault.kind == "loop").count()
        };
        assert!(grants_first || answer.starts_with("HTTP/1.1 508"), "{case}");
        while loops() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{case}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(client);
        world.is_quiet().await;
    }
}

/// Reported: the sixty-fifth of as many slow requests through a hop with `via = false` got 508.
#[tokio::test]
async fn a_hundred_slow_requests_through_one_hop_are_no_loop() {
    const CROWD: usize = 100;
    for request in [
        "GET http://far.test/x HTTP/1.1\r\nHost: far.test\r\nConnection: close\r\n\r\n",
        "CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\n\r\n",
    ] {
        // It answers nobody before all are there.
        let all_there = Arc::new(Barrier::new(CROWD));
        let hop = Hop::playing(move |mut stream, _| {
            let all_there = Arc::clone(&all_there);
            async move {
                all_there.wait().await;
                let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";
                stream.write_all(answer).await
            }
        });
        let world = World::listening("max_connections = 300", &through(hop.address(), false)).await;
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..CROWD {
            let mut client = world.client().await;
            client.send(request).await;
            clients.spawn(async move { client.rest().await });
        }
        while let Some(answer) = clients.join_next().await {
            let answer = String::from_utf8(answer.unwrap()).unwrap();
            assert!(answer.contains(" 200 OK\r\n"), "{answer}");
            assert!(answer.ends_with("hello"), "{answer}");
        }
    }
}

/// The marks are for other daemons that are hops; to an origin they say that somebody uses gitferry.
#[tokio::test]
async fn the_marks_of_a_loop_reach_hops_and_no_origin() {
    const MARKED: &str = "Gitferry-Trail: 0123\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
                          2\r\nok\r\n0\r\nGitferry-Trail: 4567\r\n\r\n";
    let asked = || {
        origin(|connections| async move {
            let mut stream = connections.next().await;
            let request = read_until(&mut stream, b"\r\n0\r\n").await;
            let trailers = read_until(&mut stream, b"\r\n").await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            String::from_utf8([request, trailers].concat())
                .unwrap()
                .to_lowercase()
        })
    };
    for target in ["http://near.test/x", "/near.test:80/x"] {
        let (address, seen) = asked().await;
        let world = World::with(&route("near.test", address, "tunnel", "")).await;
        let mut client = world
            .sends(format!(
                "PUT {target} HTTP/1.1\r\nHost: {}\r\n{MARKED}",
                world.address
            ))
            .await;
        client.rest().await;
        let request = soon("the request", seen).await.unwrap();
        assert!(request.starts_with("put /x "), "{request}");
        assert!(!request.contains("gitferry-trail"), "{request}");
    }
    for via in [true, false] {
        let (hop, seen) = asked().await;
        let world = World::with(&through(hop, via)).await;
        let mut client = world
            .sends(format!(
                "PUT http://far.test/x HTTP/1.1\r\nHost: far.test\r\n{MARKED}"
            ))
            .await;
        client.rest().await;
        let request = soon("the request", seen).await.unwrap();
        assert!(request.contains("gitferry-trail: 0123\r\n"), "{request}");
        let own = request.matches("gitferry-trail: ").count();
        assert_eq!(own, if via { 1 } else { 2 }, "{request}");
    }
}

#[tokio::test]
async fn a_target_that_is_the_daemon_by_another_form_of_its_address_is_a_loop() {
    let world = World::with("").await;
    let port = world.address.port();
    for host in [
        "127.0.0.1",
        "127.0.0.2",
        "localhost",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
    ] {
        let connect = format!("CONNECT {host}:{port} HTTP/1.1\r\nConnection: close\r\n\r\n");
        let answer = world.answer(&connect).await;
        assert!(answer.starts_with("HTTP/1.1 508"), "{host}: {answer}");
    }
}
