//! Ranges that come at first and fail then: the download goes on, and its client hears of it.

use tokio::{io::AsyncReadExt, time::Instant};

use super::*;

/// A download whose ranges are small, so that many are needed.
async fn download_of_many(origin: &Origin) -> (Vec<u8>, Duration) {
    let world = world(origin, &format!("{DOWNLOADS}memory = \"512 KiB\"\n")).await;
    let mut client = world.client().await;
    client.send(format!("{GET}Connection: close\r\n\r\n")).await;
    client.head().await;
    let (mut got, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    loop {
        let read = soon("a piece", client.0.read(&mut piece)).await.unwrap();
        longest = longest.max(last.elapsed());
        last = Instant::now();
        if read == 0 {
            return (got, longest);
        }
        got.extend_from_slice(&piece[..read]);
    }
}

#[tokio::test]
async fn ranges_that_all_break_after_a_piece_are_not_retried_without_end() {
    let (same, ranges) = downloaded(Trouble::AllResetLater).await;
    assert!(same, "other bytes came");
    assert!((1..=24).contains(&ranges), "{ranges} ranges");
}

/// A signed URL that expires: git-lfs gives up where it gets nothing for 30 s.
#[tokio::test]
async fn a_client_gets_bytes_while_the_first_connection_skips_what_ranges_have_delivered() {
    let origin = Origin::start(Trouble::ForbiddenLater).await;
    let (got, longest) = download_of_many(&origin).await;
    assert!(got == *origin.body, "other bytes came");
    assert_eq!(origin.long_pauses.load(Ordering::SeqCst), 0);
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}

#[tokio::test]
async fn where_ranges_stand_still_the_rest_is_requested_at_once() {
    let origin = Origin::start(Trouble::FreezeLater).await;
    let (got, longest) = download_of_many(&origin).await;
    assert!(got == *origin.body, "other bytes came");
    assert_eq!(origin.rests.load(Ordering::SeqCst), 1);
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}

/// One byte now and then was progress for ever: the client waited for hours where the first connection alone took seconds.
#[tokio::test]
async fn ranges_that_drip_are_given_up() {
    let begun = Instant::now();
    let (same, ranges) = downloaded(Trouble::AllDrip).await;
    assert!(same, "other bytes came");
    assert!(ranges > 0);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(40), "{took:?}");
}
