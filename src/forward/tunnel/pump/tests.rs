use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::{half_closed::HALF_CLOSED_TIMEOUT, *};

#[tokio::test]
async fn bytes_are_copied_both_ways_and_halves_close_separately() {
    let (mut here, mut client) = duplex(1000);
    let (mut there, mut origin) = duplex(700);
    let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
    let sent: Vec<u8> = (0..500_000u32).map(|n| (n % 251) as u8).collect();
    let ((), (), pumped) = tokio::join!(
        async {
            here.write_all(&sent).await.unwrap();
            here.shutdown().await.unwrap();
            let mut response = Vec::new();
            here.read_to_end(&mut response).await.unwrap();
            assert_eq!(response, b"whole");
        },
        async {
            let mut got = Vec::new();
            there.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, sent);
            there.write_all(b"whole").await.unwrap();
            there.shutdown().await.unwrap();
        },
        pump(&mut client, &mut origin, &up, &down),
    );
    assert!(pumped.0.is_ok());
    assert_eq!((up.into_inner(), down.into_inner()), (500_000, 5));
}

#[tokio::test]
async fn a_peer_that_closed_its_half_may_close_its_socket() {
    let (mut here, mut client) = duplex(1000);
    let (mut there, mut origin) = duplex(1000);
    let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
    let ((), pumped) = tokio::join!(
        async {
            there.write_all(b"whole").await.unwrap();
            there.shutdown().await.unwrap();
            let mut response = Vec::new();
            here.read_to_end(&mut response).await.unwrap();
            assert_eq!(response, b"whole");
            drop(there);
            here.write_all(b"late").await.unwrap();
            here.shutdown().await.unwrap();
        },
        pump(&mut client, &mut origin, &up, &down),
    );
    assert!(pumped.0.is_ok());
}

#[test]
fn a_reset_before_the_peers_half_closed_is_a_failure() {
    let broken = || Poll::Ready(Err(PumpError::Write(io::ErrorKind::BrokenPipe.into())));
    let (mut upward, mut downward) = (Direction::default(), Direction::default());
    assert!(matches!(
        upward.resolve_reset(broken(), &mut downward, Leg::Client),
        Some(Poll::Ready(Err(_)))
    ));
    downward.closed = true;
    assert!(
        upward
            .resolve_reset(broken(), &mut downward, Leg::Client)
            .is_none()
    );
    assert!(upward.closed);
}

#[tokio::test]
async fn reads_grow_while_all_is_written_and_shrink_when_the_writer_falls_behind() {
    let (mut here, mut client) = duplex(4 * MAX_READ);
    let (mut there, mut origin) = duplex(2 * MAX_READ);
    let (mut upward, count) = (Direction::default(), AtomicU64::new(0));
    here.write_all(&vec![7; 4 * MAX_READ]).await.unwrap();
    assert!(
        poll_fn(|cx| Poll::Ready(upward.poll(cx, &mut client, &mut origin, &count)))
            .await
            .is_pending()
    );
    // 64 + 128 + 256 KiB passed, and as much of the next 256 KiB as fitted.
    assert_eq!(count.load(Ordering::Relaxed), 2 * MAX_READ as u64);
    assert_eq!((upward.kept.len(), upward.room), (192 * 1024, MIN_READ));
    there.read_exact(&mut vec![0; 192 * 1024]).await.unwrap();
    assert!(
        poll_fn(|cx| Poll::Ready(upward.poll(cx, &mut client, &mut origin, &count)))
            .await
            .is_pending()
    );
    assert_eq!((upward.kept.len(), upward.room), (MIN_READ, MIN_READ));
}

#[tokio::test(start_paused = true)]
async fn a_half_that_stays_open_alone_ends_at_its_timeout() {
    let (mut here, mut client) = duplex(64);
    let (_there, mut origin) = duplex(64);
    here.shutdown().await.unwrap();
    let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
    let begun = tokio::time::Instant::now();
    let pumped = pump(&mut client, &mut origin, &up, &down).await;
    assert!(matches!(
        pumped.0,
        Err((Leg::Origin, FaultKind::TimedOut, _))
    ));
    assert!(begun.elapsed() >= HALF_CLOSED_TIMEOUT);
}

#[tokio::test]
async fn a_closed_origin_is_the_faults_leg() {
    let (mut here, mut client) = duplex(64);
    let (there, mut origin) = duplex(64);
    here.write_all(b"hello").await.unwrap();
    drop(there);
    let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
    let pumped = pump(&mut client, &mut origin, &up, &down).await;
    assert!(matches!(pumped.0, Err((Leg::Origin, _, _))));
}
