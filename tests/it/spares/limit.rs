//! How many connections batch responses open ahead: one host a response, four in all.

use std::net::TcpListener as Listening;

use super::*;

/// How long a spare counts among the four.
const SPARE_LIFE: Duration = Duration::from_secs(4);

/// An LFS API whose responses name the storage hosts of each of `batches`.
async fn names(batches: Vec<Vec<String>>) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    origin(move |connections| async move {
        for hosts in batches {
            let mut stream = connections.next().await;
            read_until(&mut stream, b"{}").await;
            let object = |host: &String| {
                format!("{{\"actions\":{{\"upload\":{{\"href\":\"https://{host}/1\"}}}}}}")
            };
            let objects: Vec<_> = hosts.iter().map(object).collect();
            let body = format!("{{\"objects\":[{}]}}", objects.join(","));
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.git-lfs+json\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    })
    .await
}

/// How many have dialled each of the storages, after so many batches; `None` where this machine was too slow to tell.
async fn dialled(storages: usize, batches: Vec<Vec<String>>) -> Option<Vec<usize>> {
    let begun = Instant::now();
    let asks = batches.len();
    let (site, asked) = names(batches).await;
    let mut routes = route("site.test", site, "tunnel", "");
    let mut listeners = Vec::new();
    for number in 0..storages {
        let listener = Listening::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let name = format!("s{number}");
        let of_number = storage_route("terminate", listener.local_addr().unwrap())
            .replace("storage.test", &format!("{name}.test"))
            .replace("\"storage\"", &format!("\"{name}\""));
        routes += &of_number;
        listeners.push(listener);
    }
    let mut world = World::with(&routes).await;
    for _ in 0..asks {
        asks_for_a_batch(&world, "site.test").await;
    }
    soon("the API", asked).await.unwrap();
    world.is_quiet().await;
    // Every task that could dial ends before the daemon does.
    soon("the end", world.stop(DEADLINE)).await.unwrap();
    let queued = |listener: &Listening| std::iter::from_fn(|| listener.accept().ok()).count();
    let counts = listeners.iter().map(queued).collect();
    (begun.elapsed() < SPARE_LIFE).then_some(counts)
}

#[tokio::test]
async fn batch_responses_open_four_connections_ahead_and_one_host_each() {
    for _ in 0..20 {
        // Each names a second host, which is nobody's first.
        let batches = (0..6).map(|number| vec![format!("s{number}.test"), "s6.test".into()]);
        if let Some(counts) = dialled(7, batches.collect()).await {
            assert_eq!(counts, [1, 1, 1, 1, 0, 0, 0]);
            return;
        }
    }
    panic!("this machine is too slow to tell");
}
