//! Answers that only the end of the connection ends: with close_notify they are whole, without it nobody knows.

use std::{fs, net::SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    background::Background,
    ca::Flaw,
    ferry::Ferry,
    world::{MAIN, World},
};

/// More than fits into any buffer of gitferry's own.
const SIZE: usize = 3_000_000;

/// An origin that ends its answer by the end of the connection: with close_notify at `/whole`, without at any other path; at `/known`
/// the answer ends before its length.
fn origin(world: &World, background: &Background) -> SocketAddr {
    let acceptor = world.ca.leaf(&[MAIN], Flaw::None).acceptor(&[]);
    background.serve(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let length = match head.starts_with(b"GET /known") {
                true => format!("content-length: {}\r\n", SIZE + 1),
                false => String::new(),
            };
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{length}\r\n");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.write_all(&vec![b'x'; SIZE]).await;
            let _ = stream.flush().await;
            if head.starts_with(b"GET /whole") {
                let _ = stream.shutdown().await;
            } else {
                let (tcp, _) = stream.get_mut();
                let _ = tcp.shutdown().await;
            }
            let _ = stream.read(&mut [0; 1]).await;
        }
    })
}

#[test]
fn an_answer_that_ends_without_close_notify_ends_so_for_the_client_with_all_its_bytes() {
    let world = World::new();
    let background = Background::new();
    let address = origin(&world, &background);
    let ferry = Ferry::start(
        &world
            .settings()
            .route(MAIN, "terminate", &["direct"], address),
    );
    let got = world.path("got");
    // What curl ends with, and how many bytes it has.
    let curl = |own: &[&str], url: &str| {
        let _ = fs::remove_file(&got);
        let common = ["-o", got.to_str().unwrap(), url];
        let ended = world.git().curl(&[own, &common[..]].concat());
        (
            ended.status.code(),
            fs::read(&got).unwrap_or_default().len(),
        )
    };
    let resolve = format!("{MAIN}:443:{}", address.ip());
    let connect = format!("{MAIN}:443:{address}");
    let ca = world.ca.pem_file();
    let ca = ca.to_str().unwrap();
    let direct = [
        "--resolve",
        &resolve,
        "--connect-to",
        &connect,
        "--cacert",
        ca,
    ];
    let (proxy, bundle) = (ferry.proxy(), ferry.bundle());
    let bundle = bundle.to_str().unwrap();
    let terminated = ["--proxy", &proxy, "--cacert", bundle];
    for path in ["whole", "cut", "known"] {
        let url = format!("https://{MAIN}/{path}");
        let reverse = format!("http://{}/{MAIN}/{path}", ferry.address);
        let expected = curl(&direct, &url);
        assert_eq!(expected.1, SIZE, "{path}");
        // curl with OpenSSL takes an end without close_notify where no length was promised.
        assert_eq!(expected.0 == Some(0), path != "known", "{path}");
        let log = || ferry.log();
        for round in 0..3 {
            assert_eq!(
                curl(&terminated, &url),
                expected,
                "{path} {round}\n{}",
                log()
            );
            // Without TLS the same is said by a reset.
            let (code, bytes) = curl(&[], &reverse);
            assert_eq!(bytes, SIZE, "{path} {round}\n{}", log());
            assert_eq!(
                code == Some(0),
                path == "whole",
                "{path} {round}\n{}",
                log()
            );
        }
    }
}
