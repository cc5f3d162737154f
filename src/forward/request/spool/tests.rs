//! Recorded bytes are returned, in memory and from the file.

use std::future::poll_fn;

use std::{
    sync::Arc,
    task::{Context, Waker},
};
use tokio_util::bytes::Bytes;

use super::{file::SpoolFile, *};

fn budget(directory: &Path, memory: u64, spool: u64) -> Arc<Budget> {
    let budget = Budget::default();
    budget.set(directory.to_owned(), memory, spool);
    Arc::new(budget)
}

async fn append(tape: &mut ReplayBuffer, bytes: &[u8]) -> Result<(), ReplayLoss> {
    tape.append(Bytes::copy_from_slice(bytes))?;
    poll_fn(|cx| tape.poll_settled(cx)).await
}

async fn read_all(tape: &mut ReplayBuffer, mut at: u64) -> Vec<u8> {
    let mut all = Vec::new();
    tape.rewind();
    while at < tape.length() {
        let bytes = poll_fn(|cx| tape.poll_read(at, cx)).await.unwrap();
        assert!(!bytes.is_empty());
        at += bytes.len() as u64;
        all.extend_from_slice(&bytes);
    }
    all
}

fn left(budget: &Budget) -> (u64, u64) {
    let left = |account: &ByteQuota| {
        account.limit.load(Ordering::Acquire) - account.used.load(Ordering::Acquire)
    };
    (left(&budget.memory), left(&budget.spool))
}

#[tokio::test]
async fn bytes_come_back_from_memory_and_file_from_every_place() {
    let directory = tempfile::tempdir().unwrap();
    let budget = budget(directory.path(), 100_000, 10_000_000);
    let mut tape = ReplayBuffer::new(Arc::clone(&budget));
    let mut random = fastrand::Rng::with_seed(7);
    let mut written = Vec::new();
    for _ in 0..40 {
        let size = random.usize(1..30_000);
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(size)
            .collect();
        append(&mut tape, &bytes).await.unwrap();
        written.extend(bytes);
    }
    assert_eq!(tape.length(), written.len() as u64);
    for at in [0, 1, 65_536, written.len() / 2, written.len() - 1] {
        assert!(
            read_all(&mut tape, at as u64).await == written[at..],
            "from {at}"
        );
    }
    let (memory, spool) = left(&budget);
    assert!(memory < 30_000 && spool < 10_000_000, "{memory} {spool}");
    // The file has no name, so nothing can be left behind.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    drop(tape);
    assert_eq!(left(&budget), (100_000, 10_000_000));
}

#[tokio::test]
async fn a_replay_buffer_over_the_budget_says_so_and_returns_its_share() {
    let directory = tempfile::tempdir().unwrap();
    let budget = budget(directory.path(), 10, 10);
    let mut tape = ReplayBuffer::new(Arc::clone(&budget));
    append(&mut tape, b"12345678").await.unwrap();
    append(&mut tape, b"12345678").await.unwrap();
    assert!(matches!(
        append(&mut tape, b"123").await,
        Err(ReplayLoss::Budget)
    ));
    assert_eq!(left(&budget), (2, 2));
    drop(tape);
    assert_eq!(left(&budget), (10, 10));
}

#[tokio::test]
async fn a_spool_that_cannot_be_created_is_reported_and_costs_no_budget() {
    let budget = budget(Path::new("/proc/spool"), 0, 10);
    let mut tape = ReplayBuffer::new(Arc::clone(&budget));
    assert!(matches!(
        append(&mut tape, b"123").await,
        Err(ReplayLoss::Spool(_))
    ));
    assert_eq!(left(&budget), (0, 10));
}

#[tokio::test]
async fn a_full_disk_is_reported_and_costs_no_budget() {
    let directory = tempfile::tempdir().unwrap();
    let budget = budget(directory.path(), 0, 1 << 20);
    let mut tape = ReplayBuffer::new(Arc::clone(&budget));
    tape.append(Bytes::from_static(b"123")).unwrap();
    // Every write to this device ends with ENOSPC (full(4)).
    let full = File::options().write(true).open("/dev/full").unwrap();
    tape.file = Some(SpoolFile::new(full));
    budget.spool.release(3);
    let lost = loop {
        if let Err(lost) = append(&mut tape, &[1; LARGEST_BATCH]).await {
            break lost;
        }
    };
    assert!(
        matches!(lost, ReplayLoss::Spool(error) if error.kind() == io::ErrorKind::StorageFull),
        "the reason"
    );
    assert_eq!(left(&budget), (0, 1 << 20));
}

#[tokio::test]
async fn a_reader_that_was_dropped_in_the_middle_takes_nothing_from_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut tape = ReplayBuffer::new(budget(directory.path(), 0, 1_000_000));
    for byte in 0..4 {
        append(&mut tape, &[byte; 100_000]).await.unwrap();
    }
    // The first reader requests a chunk and is dropped before it arrives.
    let _ = tape.poll_read(150_000, &mut Context::from_waker(Waker::noop()));
    let all = read_all(&mut tape, 0).await;
    assert_eq!(all.len(), 400_000);
    assert!(
        all.chunks(100_000)
            .zip(0..)
            .all(|(chunk, byte)| chunk == [byte; 100_000])
    );
}

/// hyper returns slices of the bytes that it read at once: a few bytes may be the only use of a large buffer.
#[tokio::test]
async fn a_few_bytes_do_not_keep_the_buffer_that_they_came_in() {
    let directory = tempfile::tempdir().unwrap();
    let mut tape = ReplayBuffer::new(budget(directory.path(), 100_000, 0));
    let buffer = Bytes::from(vec![7; 1 << 20]);
    for at in 0..100 {
        tape.append(buffer.slice(at * 100..(at + 1) * 100)).unwrap();
    }
    append(&mut tape, b"last").await.unwrap();
    assert!(buffer.is_unique(), "the tape keeps it");
    assert_eq!(read_all(&mut tape, 0).await.len(), 10_004);
}

#[test]
fn what_a_killed_daemon_left_is_removed_and_nothing_else() {
    let state = tempfile::tempdir().unwrap();
    sweep(state.path());
    let spool = state.path().join(SPOOL_DIRECTORY);
    std::fs::create_dir(&spool).unwrap();
    for name in [".tmpAbC123", "the user's"] {
        std::fs::write(spool.join(name), "x").unwrap();
    }
    sweep(state.path());
    let left: Vec<_> = std::fs::read_dir(&spool)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["the user's"]);
}
