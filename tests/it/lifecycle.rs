//! Clients that vanish, reloads and the two steps of stopping, while something is under way.

use std::time::Duration;

use gitferry::testing::Shutdown;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::world::{GET, OK, World, origin, read_until, route, soon};

#[tokio::test]
async fn the_origin_learns_that_a_client_disconnected() {
    let (has_half, half) = tokio::sync::oneshot::channel();
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        read_until(&mut stream, b"12345").await;
        has_half.send(()).unwrap();
        let mut rest = Vec::new();
        let _ = soon("the end at the origin", stream.read_to_end(&mut rest)).await;
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let client = world
        .sends("PUT http://origin.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        .await;
    // The origin has the first half; only now the client goes.
    soon("the first half", half).await.unwrap();
    drop(client);
    soon("the origin", served).await.unwrap();
    world.is_quiet().await;
}

#[tokio::test]
async fn a_reload_is_for_new_requests_and_leaves_running_ones_alone() {
    let (old, first) = origin(|connections| async move {
        let mut stream = connections.next().await;
        read_until(&mut stream, b"half").await;
        (stream, connections)
    })
    .await;
    let (new, second) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let world = World::in_front_of("origin.test", old).await;
    let mut running = world
        .sends("PUT http://origin.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
        .await;
    let (mut stream, _connections) = soon("the old origin", first).await.unwrap();
    world.reload(&route("origin.test", new, "tunnel", ""));
    let mut client = world.sends(GET).await;
    client.read_until("\r\n\r\nok").await;
    soon("the new origin", second).await.unwrap();
    running.send("rest").await;
    assert_eq!(read_until(&mut stream, b"rest").await, b"rest");
    stream.write_all(OK.as_bytes()).await.unwrap();
    assert!(
        running
            .read_until("\r\n\r\nok")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

#[tokio::test]
async fn stopping_lets_a_transfer_finish_within_the_grace() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        read_until(&mut stream, b"half").await;
        stream
    })
    .await;
    let mut world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends("PUT http://origin.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
        .await;
    let mut stream = soon("the origin", served).await.unwrap();
    let (own, shutdown): (_, Shutdown) = (world.address, world.shared().shutdown.clone());
    let stopping = world.stop(Duration::from_secs(15));
    soon("the first step of stopping", shutdown.drained()).await;
    client.send("rest").await;
    read_until(&mut stream, b"rest").await;
    stream.write_all(OK.as_bytes()).await.unwrap();
    assert!(
        client
            .read_until("\r\n\r\nok")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let drained = soon("the end", stopping).await.unwrap();
    assert!(drained.finished && drained.ended == 0, "{drained:?}");
    assert!(
        tokio::net::TcpStream::connect(own).await.is_err(),
        "the port is free again"
    );
}

#[tokio::test]
async fn a_tunnel_that_only_waits_does_not_hold_up_a_stop() {
    let (address, served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        stream.write_all(b"banner\n").await.unwrap();
        stream
    })
    .await;
    let mut world = World::in_front_of("origin.test", address).await;
    let mut client = world
        .sends("CONNECT origin.test:22 HTTP/1.1\r\nHost: origin.test:22\r\n\r\n")
        .await;
    client.read_until("banner\n").await;
    let _held = soon("the origin", served).await.unwrap();
    let stopping = world.stop(Duration::from_secs(600));
    let drained = soon("the end", stopping).await.unwrap();
    assert!(drained.finished && drained.ended == 0, "{drained:?}");
    drop(client);
}

#[tokio::test]
async fn what_outlasts_the_grace_is_ended_with_a_fault_that_names_shutdown() {
    let (address, served) = origin(|connections| async move { connections.asked().await }).await;
    let mut world = World::in_front_of("origin.test", address).await;
    let client = world.sends(GET).await;
    let _held = soon("the origin", served).await.unwrap();
    let stopping = world.stop(Duration::from_millis(50));
    let drained = soon("the end", stopping).await.unwrap();
    assert!(drained.finished && drained.ended > 0, "{drained:?}");
    let fault = world.next_fault().await;
    assert_eq!(
        (fault.kind.as_str(), fault.next.as_str()),
        ("shutdown", "give-up"),
        "{fault:?}"
    );
    assert_eq!(world.next_end().await.result, fault.code);
    drop(client);
}

/// Places are the daemon's, not a config's: what runs goes on counting, and what waits goes by the new limit.
#[tokio::test]
async fn uploads_that_wait_go_by_the_limit_of_a_reload() {
    let (address, served) = origin(|connections| async move {
        let mut uploads = [connections.next().await, connections.next().await];
        for upload in &mut uploads {
            read_until(upload, b"\r\n\r\nab").await;
            upload.write_all(OK.as_bytes()).await.unwrap();
        }
        let mut last = connections.next().await;
        read_until(&mut last, b"\r\n\r\nab").await;
        last.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let limited = |places: usize| {
        let line = format!("uploads = {{ at_once = {places} }}");
        route("origin.test", address, "tunnel", &line)
    };
    let world = World::with(&limited(1)).await;
    let upload =
        "PUT http://origin.test/ HTTP/1.1\r\nHost: origin.test\r\nContent-Length: 2\r\n\r\n";
    let becomes = async |queued: usize, sent: usize| {
        soon("the queue", async {
            loop {
                let running = world.shared().tracker.list();
                let count = |stages: &[&str]| {
                    let stages = running.iter().filter(|one| stages.contains(&one.stage));
                    stages.count()
                };
                if (count(&["queued"]), count(&["sending-head", "sending-body"])) == (queued, sent)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    };
    let (mut one, mut two) = (world.client().await, world.client().await);
    one.send(upload).await;
    two.send(upload).await;
    becomes(1, 1).await;
    world.reload(&limited(1));
    let mut three = world.sends(upload).await;
    becomes(2, 1).await;
    world.reload(&limited(2));
    becomes(1, 2).await;
    for client in [&mut one, &mut two, &mut three] {
        client.send("ab").await;
    }
    for mut client in [one, two, three] {
        assert!(client.head().await.starts_with("HTTP/1.1 200"));
    }
    served.await.unwrap();
}

/// A tunnel holds its place as long as it is open, although hyper is through with the connection.
#[tokio::test]
async fn clients_at_once_are_limited_tunnels_included() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::task::spawn(async move {
                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
            });
        }
    });
    for tls in ["tunnel", "terminate"] {
        let world = World::listening(
            "max_connections = 2",
            &route("origin.test", address, tls, ""),
        )
        .await;
        let connect = "CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test\r\n\r\n";
        let mut open = Vec::new();
        for _ in 0..2 {
            let mut client = world.sends(connect).await;
            assert!(client.head().await.starts_with("HTTP/1.1 200"));
            open.push(client);
        }
        let mut third = world.sends(connect).await;
        let early = tokio::time::timeout(Duration::from_millis(300), third.head()).await;
        assert!(early.is_err(), "{tls}: a third client was served");
        drop(open.pop());
        assert!(third.head().await.starts_with("HTTP/1.1 200"), "{tls}");
    }
}

#[tokio::test]
async fn the_daemon_says_which_one_it_is_and_where_its_ca_is() {
    let world = World::in_front_of("origin.test", "127.0.0.1:9".parse().unwrap()).await;
    let mut client = world
        .sends("GET /-/api/daemon HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        .await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let daemon: serde_json::Value = serde_json::from_str(body).unwrap();
    let directory = std::path::Path::new(daemon["state_directory"].as_str().unwrap());
    assert!(directory.is_absolute() && directory.join("ca.pem").exists());
    assert_eq!(daemon["listen"][0], world.address.to_string());
    assert_eq!(daemon["ca_sha256"].as_str().unwrap().len(), 32 * 3 - 1);
}

#[tokio::test]
async fn the_status_answers_while_every_place_is_taken_and_while_clients_say_nothing() {
    let (address, _served) = origin(|connections| async move {
        let mut held = Vec::new();
        loop {
            held.push(connections.next().await);
        }
    })
    .await;
    let world = World::listening(
        "max_connections = 2",
        &route("origin.test", address, "tunnel", ""),
    )
    .await;
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let client = world.sends(GET).await;
        waiting.push(client);
    }
    for _ in 0..20 {
        waiting.push(world.client().await);
    }
    soon("both places to be taken", async {
        while world.shared().tracker.list().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut status = world
        .sends("GET /-/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .await;
    assert!(status.head().await.starts_with("HTTP/1.1 200 "));
}

/// A CONNECT to a terminated route waits for the client's ClientHello: the end is the daemon's, not the client's.
#[tokio::test]
async fn a_connect_without_a_client_hello_that_is_open_at_the_stop_is_not_called_gone() {
    let (address, _served) = origin(|connections| async move { connections.next().await }).await;
    let routes = route("origin.test", address, "terminate", "");
    let mut world = World::with(&routes).await;
    let mut client = world
        .sends("CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n\r\n")
        .await;
    client.head().await;
    let stopping = world.stop(Duration::from_millis(100));
    let end = world.next_end().await;
    assert!(end.result.ends_with("/shutdown"), "{end:?}");
    drop(soon("the end", stopping).await);
}
