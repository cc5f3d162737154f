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

async fn append(buffer: &mut ReplayBuffer, bytes: &[u8]) -> Result<(), ReplayLoss> {
    buffer.append(Bytes::copy_from_slice(bytes))?;
    poll_fn(|cx| buffer.poll_ready(cx)).await
}

async fn read_all(buffer: &mut ReplayBuffer, mut at: u64) -> Vec<u8> {
    let mut all = Vec::new();
    buffer.rewind();
    while at < buffer.length() {
        let bytes = poll_fn(|cx| buffer.poll_read(at, cx)).await.unwrap();
        assert!(!bytes.is_empty());
        at += bytes.len() as u64;
        all.extend_from_slice(&bytes);
    }
    all
}

fn left(budget: &Budget) -> (u64, u64) {
    let left = |quota: &ByteQuota| {
        quota.limit.load(Ordering::Acquire) - quota.used.load(Ordering::Acquire)
    };
    (left(&budget.memory), left(&budget.spool))
}

#[tokio::test]
async fn recorded_bytes_are_returned_from_memory_and_file_at_any_offset() {
    let directory = tempfile::tempdir().unwrap();
    let budget = budget(directory.path(), 100_000, 10_000_000);
    let mut buffer = ReplayBuffer::new(Arc::clone(&budget), u64::MAX);
    let mut random = fastrand::Rng::with_seed(7);
    let mut written = Vec::new();
    for _ in 0..200 {
        let size = random.usize(1..30_000);
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
            .take(size)
            .collect();
        append(&mut buffer, &bytes).await.unwrap();
        written.extend(bytes);
    }
    assert_eq!(buffer.length(), written.len() as u64);
    assert!(written.len() > 4 * MAX_BATCH, "several writes");
    for at in [0, 1, 65_536, written.len() / 2, written.len() - 1] {
        assert!(
            read_all(&mut buffer, at as u64).await == written[at..],
            "from {at}"
        );
    }
    let (memory, spool) = left(&budget);
    assert!(memory < 30_000, "{memory}");
    assert!(spool <= 10_100_000 - written.len() as u64, "{spool}");
    // The file has no name, so nothing can be left behind.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    drop(buffer);
    assert_eq!(left(&budget), (100_000, 10_000_000));
}

#[tokio::test]
async fn a_replay_buffer_over_the_budget_fails_and_returns_its_share() {
    let directory = tempfile::tempdir().unwrap();
    let budget = budget(directory.path(), 10, 10);
    let mut buffer = ReplayBuffer::new(Arc::clone(&budget), u64::MAX);
    append(&mut buffer, b"12345678").await.unwrap();
    append(&mut buffer, b"12345678").await.unwrap();
    assert!(matches!(
        append(&mut buffer, b"123").await,
        Err(ReplayLoss::Budget)
    ));
    assert_eq!(left(&budget), (2, 2));
    drop(buffer);
    assert_eq!(left(&budget), (10, 10));
}

#[tokio::test]
async fn a_file_takes_no_more_disk_than_its_upload_has_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let budget = budget(directory.path(), 0, 10_000_000);
    let total = 3 << 20;
    let mut buffer = ReplayBuffer::new(Arc::clone(&budget), total);
    for _ in 0..32 {
        append(&mut buffer, &[7; 3 << 15]).await.unwrap();
        let taken = 10_000_000 - left(&budget).1;
        assert!(taken >= buffer.length() && taken <= total, "{taken}");
    }
    drop(buffer);
    assert_eq!(left(&budget), (0, 10_000_000));
}

#[tokio::test]
async fn uploads_share_the_last_bytes_of_the_budget() {
    let directory = tempfile::tempdir().unwrap();
    let budget = budget(directory.path(), 0, 2_000_000);
    let new = || ReplayBuffer::new(Arc::clone(&budget), 1 << 30);
    let (mut first, mut second) = (new(), new());
    while append(&mut first, &[1; 1000]).await.is_ok()
        | append(&mut second, &[2; 1000]).await.is_ok()
    {}
    // What they have taken is theirs to the last byte.
    for (buffer, byte) in [(&mut first, 1), (&mut second, 2)] {
        while append(buffer, &[byte; 1]).await.is_ok() {}
    }
    assert_eq!(first.length() + second.length(), 2_000_000);
}

#[tokio::test]
async fn a_spool_that_cannot_be_created_fails_and_takes_no_budget() {
    let budget = budget(Path::new("/proc/spool"), 0, 10);
    let mut buffer = ReplayBuffer::new(Arc::clone(&budget), u64::MAX);
    assert!(matches!(
        append(&mut buffer, b"123").await,
        Err(ReplayLoss::Spool(_))
    ));
    assert_eq!(left(&budget), (0, 10));
}

#[tokio::test]
async fn a_full_disk_fails_and_takes_no_budget() {
    let directory = tempfile::tempdir().unwrap();
    let budget = budget(directory.path(), 0, 1 << 20);
    let mut buffer = ReplayBuffer::new(Arc::clone(&budget), u64::MAX);
    buffer.append(Bytes::from_static(b"123")).unwrap();
    // Every write to this device ends with ENOSPC (full(4)).
    let full = File::options().write(true).open("/dev/full").unwrap();
    let reserved = buffer.file.take().unwrap().reserved;
    buffer.file = Some(SpoolFile::new(full, reserved));
    let lost = loop {
        if let Err(lost) = append(&mut buffer, &[1; MAX_BATCH]).await {
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
async fn a_dropped_reader_does_not_affect_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut buffer = ReplayBuffer::new(budget(directory.path(), 0, 1_000_000), u64::MAX);
    for byte in 0..4 {
        append(&mut buffer, &[byte; 100_000]).await.unwrap();
    }
    // The first reader requests a chunk and is dropped before it arrives.
    let _ = buffer.poll_read(150_000, &mut Context::from_waker(Waker::noop()));
    let all = read_all(&mut buffer, 0).await;
    assert_eq!(all.len(), 400_000);
    assert!(
        all.chunks(100_000)
            .zip(0..)
            .all(|(chunk, byte)| chunk == [byte; 100_000])
    );
}

/// hyper returns slices of the bytes that it read at once: a few bytes may be the only use of a large buffer.
#[tokio::test]
async fn recorded_bytes_do_not_keep_the_buffer_they_arrived_in() {
    let directory = tempfile::tempdir().unwrap();
    let mut buffer = ReplayBuffer::new(budget(directory.path(), 100_000, 0), u64::MAX);
    let received = Bytes::from(vec![7; 1 << 20]);
    for at in 0..100 {
        buffer
            .append(received.slice(at * 100..(at + 1) * 100))
            .unwrap();
    }
    append(&mut buffer, b"last").await.unwrap();
    assert!(received.is_unique(), "the replay buffer keeps it");
    assert_eq!(read_all(&mut buffer, 0).await.len(), 10_004);
}

#[test]
fn a_sweep_removes_only_the_files_of_a_killed_daemon() {
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

/// The gauge counts what is taken from the budget, and an operator compares it with the size of the uploads.
#[test]
fn the_metric_says_how_much_is_reserved_ahead() {
    let help = crate::track::metrics::REPLAY_BYTES.help;
    assert!(help.contains(&format!("{} MiB", MAX_STEP >> 20)), "{help}");
}
