//! Uploads that break in the middle and arrive completely, while their client sees one upload.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{OK, World, origin, read_until, reset, route, soon};

const SIZE: usize = 3_000_000;
const HEAD: &[u8] = b"\r\n\r\n";

fn noise() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(11);
    std::iter::repeat_with(|| random.u8(..))
        .take(SIZE)
        .collect()
}

/// Reads a head and `count` bytes of the body.
async fn take(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let head = String::from_utf8(read_until(stream, HEAD).await).unwrap();
    assert!(head.starts_with("PUT /o?X-Amz-Signature=s "), "{head}");
    assert!(
        head.to_lowercase()
            .contains(&format!("content-length: {SIZE}\r\n")),
        "{head}"
    );
    let mut body = vec![0; count];
    soon("the body", stream.read_exact(&mut body))
        .await
        .unwrap();
    body
}

/// Sends one PUT; returns its response.
async fn uploads(world: &World) -> String {
    let head = format!(
        "PUT http://storage.test/o?X-Amz-Signature=s HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"
    );
    let mut client = world.sends(head).await;
    client.send(&noise()).await;
    client.read_until("\r\n\r\nok").await
}

/// Sends one PUT over a path that resets it after each of `breaks` bytes; returns what arrived.
async fn put(budget: &str, breaks: &'static [usize]) -> (String, Vec<u8>, World) {
    let (address, served) = origin(move |connections| async move {
        for at in breaks {
            let mut stream = connections.next().await;
            take(&mut stream, *at).await;
            reset(stream);
        }
        let mut stream = connections.next().await;
        let body = take(&mut stream, SIZE).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        body
    })
    .await;
    let routes = route("storage.test", address, "tunnel", "replay = true");
    let world = World::with(&format!("{budget}\n{routes}")).await;
    let answer = uploads(&world).await;
    let body = soon("the origin", served).await.unwrap();
    world.is_quiet().await;
    (answer, body, world)
}

async fn arrives(budget: &str, breaks: &'static [usize]) {
    let (answer, body, world) = put(budget, breaks).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(body == noise(), "the body arrived changed");
    let left = std::fs::read_dir(world.state().join("spool")).map(Iterator::count);
    assert_eq!(left.unwrap_or(0), 0, "files in the spool");
}

const IN_MEMORY: &str = "[replay]\nmemory = \"8 MiB\"\nspool = \"0 B\"";
const IN_FILES: &str = "[replay]\nmemory = \"0 B\"\nspool = \"8 MiB\"";
const IN_BOTH: &str = "[replay]\nmemory = \"1 MiB\"\nspool = \"8 MiB\"";

#[tokio::test]
async fn an_upload_that_is_reset_at_any_byte_arrives_whole() {
    for budget in [IN_MEMORY, IN_FILES, IN_BOTH] {
        arrives(budget, &[0]).await;
        arrives(budget, &[1]).await;
        arrives(budget, &[64 * 1024]).await;
        arrives(budget, &[SIZE / 2]).await;
        arrives(budget, &[SIZE]).await;
    }
}

#[tokio::test]
async fn three_failures_in_a_row_are_hidden_too() {
    for budget in [IN_MEMORY, IN_FILES, IN_BOTH] {
        arrives(budget, &[SIZE / 2, 1, SIZE - 1]).await;
    }
}

#[tokio::test]
async fn an_upload_over_the_budget_continues_without_its_replay_buffer() {
    let small = "[replay]\nmemory = \"64 KiB\"\nspool = \"256 KiB\"";
    let (answer, body, _world) = put(small, &[]).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(body == noise(), "the body arrived changed");
}

#[tokio::test]
async fn a_break_beyond_the_replay_buffer_is_reported_to_the_client() {
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        take(&mut stream, SIZE / 2).await;
        reset(stream);
        connections.next().await
    })
    .await;
    let small = "[replay]\nmemory = \"64 KiB\"\nspool = \"0 B\"";
    let routes = route("storage.test", address, "tunnel", "replay = true");
    let world = World::with(&format!("{small}\n{routes}")).await;
    let mut client = world.client().await;
    let head = format!(
        "PUT http://storage.test/o?X-Amz-Signature=s HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n\r\n"
    );
    client.send(&head).await;
    // The daemon stops reading when it gives up: the rest may find no reader.
    let _ = soon("the upload", client.0.write_all(&noise())).await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert!(answer.contains("origin/sending-body/reset"), "{answer}");
}

#[tokio::test]
async fn a_post_is_never_kept() {
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.next().await;
        read_until(&mut stream, b"act").await;
        reset(stream);
        connections.next().await
    })
    .await;
    let world = World::with(&route("storage.test", address, "tunnel", "replay = true")).await;
    let mut client = world.sends("POST http://storage.test/r.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nact").await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}

/// The first upstream breaks in the middle and is given up; the second one gets the upload from its first byte.
#[tokio::test]
async fn an_upload_that_breaks_on_one_upstream_arrives_over_the_next() {
    for budget in [IN_MEMORY, IN_FILES, IN_BOTH] {
        let (hop, _served) = origin(|connections| async move {
            for at in [SIZE / 2, SIZE - 1] {
                let mut stream = connections.next().await;
                let head = String::from_utf8(read_until(&mut stream, HEAD).await).unwrap();
                assert!(head.starts_with("PUT http://storage.test/o?"), "{head}");
                let mut body = vec![0; at];
                stream.read_exact(&mut body).await.unwrap();
                reset(stream);
            }
        })
        .await;
        let (address, served) = origin(|connections| async move {
            let mut stream = connections.next().await;
            let body = take(&mut stream, SIZE).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            body
        })
        .await;
        let routes = format!(
            "[hops]\noffice = {{ url = \"http://{hop}\" }}\n[[route]]\nname = \"storage\"\nrole = \"lfs-storage\"\n\
             hosts = [\"storage.test\"]\ntls = \"tunnel\"\nupstreams = [{{ via = \"office\" }}, {{ via = \"direct\" }}]\n\
             resolve = {{ \"storage.test\" = \"{address}\" }}\ndial = {{ attempts = 2 }}\n"
        );
        let world = World::with(&format!("{budget}\n{routes}")).await;
        let answer = uploads(&world).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let body = soon("the origin", served).await.unwrap();
        assert!(body == noise(), "the body arrived changed");
        world.is_quiet().await;
    }
}
