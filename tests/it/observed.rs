//! What the tests see of a daemon is the same in the process and from the binary.

use tokio::io::AsyncWriteExt as _;

use crate::world::{GET, OK, Run, World, origin, read_until, reset, route, soon};

#[tokio::test]
async fn the_binary_reports_the_same_faults_and_ends_as_a_daemon_in_the_process() {
    let mut seen = Vec::new();
    for run in [Run::InProcess, Run::Binary] {
        let (address, served) = origin(|connections| async move {
            let mut stream = connections.next().await;
            read_until(&mut stream, b"\r\n\r\nhello").await;
            reset(stream);
        })
        .await;
        let routes = route("origin.test", address, "tunnel", "");
        let world = World::run(run, "", &routes).await;
        world
            .answer("POST http://origin.test/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            .await;
        soon("the origin", served).await.unwrap();
        let (mut fault, end) = (world.next_fault().await, world.next_end().await);
        assert_eq!(fault.code, "origin/awaiting-head/reset", "{run:?}");
        // The port is another one each time.
        fault.cause = fault.cause.replace(&address.to_string(), "ORIGIN");
        seen.push(format!("{fault:#?} {end:#?}"));
    }
    assert_eq!(seen[0], seen[1]);
}

/// `gitferry status` and `gitferry history` one after the other missed it, and so did the history that is saved at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_no_longer_runs_is_among_those_that_have_ended() {
    const TRANSFERS: usize = 400;
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        loop {
            read_until(&mut stream, b"\r\n\r\n").await;
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    })
    .await;
    let world = World::in_front_of("origin.test", address).await;
    let mut client = world.client().await;
    for ended in 1..=TRANSFERS {
        client.send(GET).await;
        let running = || !world.shared().tracker.list().is_empty();
        soon("its begin", async {
            while !running() && world.ends().len() < ended {
                tokio::task::yield_now().await;
            }
        })
        .await;
        soon("its end", async {
            while running() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(world.ends().len(), ended);
        client.read_until("\r\n\r\nok").await;
    }
}
