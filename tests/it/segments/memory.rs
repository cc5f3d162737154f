//! What downloads in segments cost the daemon in resident memory: ranges wait for a first connection that is slow.

use std::ops::Range;

use crate::world::{Client, Run};

use super::*;

/// Bytes of one download. `MEMORY_OF_ONE` of the daemon is less.
const LENGTH: usize = 40 << 20;
const MIB: u64 = 1 << 20;

/// The byte at `at` of every download.
fn byte(at: usize) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

/// Sends ranges as fast as they are read and whole answers slowly at first, until `ranges` bytes were sent.
async fn serve(mut stream: TcpStream, ranges: Arc<AtomicU64>, enough: u64) -> Option<()> {
    loop {
        let head = read_until(&mut stream, b"\r\n\r\n").await;
        let head = String::from_utf8_lossy(&head).to_lowercase();
        if head.is_empty() {
            return None;
        }
        let part = range(&head).map(|(first, last)| first..last + 1);
        let more = part.as_ref().map(|part| {
            let (first, last) = (part.start, part.end - 1);
            format!("Content-Range: bytes {first}-{last}/{LENGTH}\r\n")
        });
        let (status, slow) = match part {
            Some(_) => ("206 Partial Content", false),
            None => ("200 OK", true),
        };
        let bytes: Range<usize> = part.unwrap_or(0..LENGTH);
        let answer = format!(
            "HTTP/1.1 {status}\r\nETag: \"v1\"\r\nContent-Length: {}\r\n{}\r\n",
            bytes.len(),
            more.unwrap_or_default()
        );
        stream.write_all(answer.as_bytes()).await.ok()?;
        let mut at = bytes.start;
        while at < bytes.end {
            let end = bytes.end.min(at + PIECE);
            let piece: Vec<u8> = (at..end).map(byte).collect();
            stream.write_all(&piece).await.ok()?;
            if slow && ranges.load(Ordering::SeqCst) < enough {
                pause(&stream).await?;
            } else if !slow {
                ranges.fetch_add((end - at) as u64, Ordering::SeqCst);
            }
            at = end;
        }
    }
}

async fn download(mut client: Client, host: String) {
    client
        .send(format!(
            "GET http://{host}/o HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
        .await;
    client.head().await;
    let (mut at, mut piece) = (0, vec![0; 256 << 10]);
    loop {
        let read = soon("a piece", client.0.read(&mut piece)).await.unwrap();
        if read == 0 {
            break;
        }
        let wrong = piece[..read]
            .iter()
            .zip(at..)
            .find(|(got, at)| **got != byte(*at));
        assert_eq!(wrong, None, "other bytes came");
        at += read;
    }
    assert_eq!(at, LENGTH);
}

/// How much memory more than before the daemon needs for so many downloads at once, each from a host of its own, and how many bytes came by
/// ranges while the first connections were slow.
async fn needs(downloads: usize, enough: u64) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sent = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&sent);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&counted), enough));
        }
    });
    let hosts: Vec<String> = (0..downloads).map(|n| format!("d{n}.test")).collect();
    let routes: String = hosts
        .iter()
        .map(|host| route(host, address, "tunnel", ""))
        .collect();
    let world = World::run(Run::Binary, "", &(routes + DOWNLOADS)).await;
    let idle = world.memory("VmRSS");
    world.forget_peak();
    let mut running = tokio::task::JoinSet::new();
    for host in hosts {
        running.spawn(download(world.client().await, host));
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
    let most = world.memory("VmHWM");
    println!("{downloads} downloads: {idle} KiB idle, {most} KiB at most");
    assert!(sent.load(Ordering::SeqCst) >= enough);
    most.saturating_sub(idle) * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_download_in_segments_needs_less_than_32_mib() {
    let needs = needs(1, 16 * MIB).await;
    assert!(needs < 32 * MIB, "{} KiB", needs / 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_downloads_in_segments_need_less_than_the_memory_that_the_config_gives_them() {
    let needs = needs(8, 50 * MIB).await;
    assert!(needs < 64 * MIB, "{} KiB", needs / 1024);
}
