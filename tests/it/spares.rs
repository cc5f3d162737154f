//! Connections to the storage host that an LFS batch answer names, opened before the client asks for it.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;

use crate::world::{DEADLINE, OK, World, origin, read_until, route, soon};

/// An LFS API whose answer sends uploads to `url`, so often.
async fn api(url: &str, answers: usize) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let actions = format!(
        "{{\"verify\":{{\"href\":\"https://site.test/verify\"}},\"upload\":{{\"href\":\"{url}\"}}}}"
    );
    let body = format!("{{\"objects\":[{{\"oid\":\"1\",\"size\":4,\"actions\":{actions}}}]}}");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.git-lfs+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    origin(move |connections| async move {
        for _ in 0..answers {
            let mut stream = connections.next().await;
            read_until(&mut stream, b"{}").await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await
}

/// What git-lfs asks before an upload.
async fn asks_for_a_batch(world: &World) {
    let mut client = world
        .sends(
            "POST http://site.test/r.git/info/lfs/objects/batch HTTP/1.1\r\nHost: x\r\n\
             Content-Length: 2\r\nConnection: close\r\n\r\n{}",
        )
        .await;
    let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
    assert!(answer.contains("\"upload\""), "{answer}");
}

/// A terminated route to a storage that speaks plain HTTP at `address`.
fn storage_route(tls: &str, address: SocketAddr) -> String {
    format!(
        "[[route]]\nname = \"storage\"\nrole = \"lfs-storage\"\nhosts = [\"storage.test\"]\ntls = \"{tls}\"\n\
         upstreams = [{{ via = \"direct\", mirror = \"http://{address}\", credentials = \"pass\" }}]\n"
    )
}

#[tokio::test]
async fn an_upload_uses_the_connection_that_was_opened_when_the_batch_answer_named_its_host() {
    let (storage, stored) = origin(|connections| async move {
        // Before anybody asks for it; there is no second one.
        let mut spare = connections.next().await;
        read_until(&mut spare, b"data").await;
        spare.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let (site, asked) = api("https://storage.test/1?sig=x", 1).await;
    let routes = route("site.test", site, "tunnel", "") + &storage_route("terminate", storage);
    let world = World::with(&routes).await;
    asks_for_a_batch(&world).await;
    soon("the API", asked).await.unwrap();
    // The script of the API has ended, and its connection with it.
    world.keeps_idle(1).await;
    let mut client = world.sends("PUT /storage.test/1?sig=x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\n\r\ndata").await;
    let answer = client.read_until("\r\n\r\nok").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    soon("the storage", stored).await.unwrap();
}

#[tokio::test]
async fn a_storage_host_is_dialled_early_only_where_a_route_names_and_terminates_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let storage = listener.local_addr().unwrap();
    // Another name, an address, another host than the route's; and a tunnel.
    let urls = [
        format!("https://127.0.0.1:{}/1", storage.port()),
        format!("https://localhost:{}/1", storage.port()),
        format!("http://storage.test:{}/1", storage.port()),
        "https://storage.test/1".into(),
    ];
    for url in &urls {
        let (site, asked) = api(url, 1).await;
        let tls = match url.starts_with("https://storage.test") {
            true => "tunnel",
            false => "terminate",
        };
        let routes = match tls {
            // A mirror needs a terminated route.
            "tunnel" => route("storage.test", storage, tls, ""),
            _ => storage_route(tls, storage),
        };
        let mut world = World::with(&(route("site.test", site, "tunnel", "") + &routes)).await;
        asks_for_a_batch(&world).await;
        soon("the API", asked).await.unwrap();
        world.is_quiet().await;
        // Every task that could dial ends before the daemon does.
        soon("the end", world.stop(DEADLINE)).await.unwrap();
    }
    // Whatever was dialled waits in the queue.
    let queued = tokio::time::timeout(std::time::Duration::from_millis(50), listener.accept());
    assert!(queued.await.is_err(), "somebody dialled");
}

#[tokio::test]
async fn a_storage_that_cannot_be_dialled_early_is_nobodys_fault() {
    let (site, asked) = api("https://storage.test/1", 1).await;
    let refused: SocketAddr = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let routes = route("site.test", site, "tunnel", "") + &storage_route("terminate", refused);
    let mut world = World::with(&routes).await;
    asks_for_a_batch(&world).await;
    soon("the API", asked).await.unwrap();
    world.is_quiet().await;
    let tracker = world.shared().tracker.clone();
    let health = std::sync::Arc::clone(&world.shared().health);
    soon("the end", world.stop(DEADLINE)).await.unwrap();
    let faults = serde_json::to_value(tracker.faults()).unwrap();
    assert_eq!(faults, serde_json::json!([]));
    assert!(health.snapshot().is_empty());
}
