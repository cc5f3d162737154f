//! Downloads over several connections: whatever happens to one of them, the client gets the bytes of the origin.

mod failing;
mod memory;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::world::{World, all_at_once, read_until, reset, route, soon};

const SIZE: usize = 2 << 20;
/// What the slow connections send at once, every `PAUSE`.
const PIECE: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(20);
const CRAWL: Duration = Duration::from_millis(150);
const DOWNLOADS: &str = "[downloads]\nbegin_after = \"100ms\"\n";

fn body() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    let words = std::iter::repeat_with(|| random.u64(..)).take(SIZE / 8);
    words.flat_map(u64::to_le_bytes).collect()
}

/// What goes wrong at the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Nothing,
    /// Of the whole answer: this field in place of a strong validator.
    Head(&'static str),
    Http10,
    /// Of the first range.
    Reset,
    Freeze,
    OtherRange,
    ChangedEtag,
    Whole,
    ShortByOne,
    CutShort,
    Long,
    /// It has a coding that nobody undoes.
    Coded,
    /// Its head has this field too, and its bytes are others.
    Ambiguous(&'static str),
    /// Of every range: a byte now and then.
    AllDrip,
    Status(u16),
    /// Of every range.
    AllReset,
    /// Of every range, after a piece.
    AllResetLater,
    /// Of every range but the first few, and the first connection is slow from then on.
    ForbiddenLater,
    /// Of every range but the first few; a request for all of the rest is answered.
    FreezeLater,
    /// The first connection after a while, and nothing else.
    FirstResets,
    /// The same, without a reset.
    FirstFreezes,
    /// The same, and ranges come slowly.
    FirstFreezesOthersCrawl,
    /// The first connection; then another version is there.
    FirstResetsAndChanges,
}

#[derive(Clone)]
struct Origin {
    address: SocketAddr,
    trouble: Trouble,
    body: Arc<Vec<u8>>,
    ranges: Arc<AtomicUsize>,
    /// Bytes of all ranges that were asked for.
    asked: Arc<AtomicU64>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
    /// Connections in all.
    accepted: Arc<AtomicUsize>,
    changed: Arc<AtomicBool>,
    /// Ranges are as slow as the first connection.
    slow: bool,
    /// Pieces of the first connection before which it pauses for `LONG_PAUSE`.
    long_pauses: Arc<AtomicUsize>,
    /// Requests for all of the rest.
    rests: Arc<AtomicUsize>,
}

/// Ranges that come before those that do not.
const GOOD: usize = 5;
const LONG_PAUSE: Duration = Duration::from_millis(2500);

impl Origin {
    async fn start(trouble: Trouble) -> Self {
        Self::of(trouble, false).await
    }

    async fn of(trouble: Trouble, slow: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            trouble,
            body: Arc::new(body()),
            ranges: Arc::default(),
            asked: Arc::default(),
            open: Arc::default(),
            most_open: Arc::default(),
            accepted: Arc::default(),
            changed: Arc::default(),
            slow,
            long_pauses: Arc::default(),
            rests: Arc::default(),
        };
        let own = origin.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let own = own.clone();
                own.accepted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let open = own.open.fetch_add(1, Ordering::SeqCst) + 1;
                    own.most_open.fetch_max(open, Ordering::SeqCst);
                    own.serve(stream).await;
                    own.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        origin
    }

    async fn serve(&self, mut stream: TcpStream) {
        loop {
            let head = read_until(&mut stream, b"\r\n\r\n").await;
            let head = String::from_utf8_lossy(&head).to_lowercase();
            if head.is_empty() {
                return;
            }
            let sent = match range(&head) {
                None => self.whole(&mut stream).await,
                Some((first, last)) => {
                    assert!(head.contains("\r\nif-range: \"v1\"\r\n"), "{head}");
                    assert!(
                        head.contains("\r\nauthorization: bearer secret\r\n"),
                        "{head}"
                    );
                    let number = self.ranges.fetch_add(1, Ordering::SeqCst);
                    let length = (last - first + 1) as u64;
                    self.asked.fetch_add(length, Ordering::SeqCst);
                    self.range(&mut stream, number, first, last).await
                }
            };
            match sent {
                Some(true) => {}
                Some(false) => return reset(stream),
                None => return,
            }
        }
    }

    async fn whole(&self, stream: &mut TcpStream) -> Option<bool> {
        let (version, field) = match self.trouble {
            Trouble::Head(field) => ("1.1", field),
            Trouble::Http10 => ("1.0", "ETag: \"v1\""),
            _ => ("1.1", "ETag: \"v1\""),
        };
        let head = format!("HTTP/{version} 200 OK\r\nContent-Length: {SIZE}\r\n{field}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        for (at, piece) in self.body.chunks(PIECE).enumerate() {
            let resets = matches!(
                self.trouble,
                Trouble::FirstResets | Trouble::FirstResetsAndChanges
            );
            if resets && at == 12 {
                self.changed.store(
                    self.trouble == Trouble::FirstResetsAndChanges,
                    Ordering::SeqCst,
                );
                return Some(false);
            }
            let freezes = matches!(
                self.trouble,
                Trouble::FirstFreezes | Trouble::FirstFreezesOthersCrawl
            );
            if freezes && at == 12 {
                let _ = stream.read(&mut [0]).await;
                return None;
            }
            stream.write_all(piece).await.ok()?;
            let one_less = |left: usize| left.checked_sub(1);
            let (set, get) = (Ordering::SeqCst, Ordering::SeqCst);
            if self.long_pauses.fetch_update(set, get, one_less).is_ok() {
                tokio::time::sleep(LONG_PAUSE).await;
            }
            pause(stream).await?;
        }
        Some(true)
    }

    async fn range(
        &self,
        stream: &mut TcpStream,
        number: usize,
        first: usize,
        last: usize,
    ) -> Option<bool> {
        let bytes = &self.body[first..=last];
        let length = bytes.len();
        let trouble = match self.trouble {
            Trouble::AllReset => Trouble::Reset,
            Trouble::AllResetLater => Trouble::AllResetLater,
            Trouble::ForbiddenLater if number >= GOOD => {
                if number == GOOD {
                    self.long_pauses.store(5, Ordering::SeqCst);
                }
                Trouble::Status(403)
            }
            Trouble::FreezeLater if last == SIZE - 1 && length > 256 << 10 => {
                self.rests.fetch_add(1, Ordering::SeqCst);
                Trouble::Nothing
            }
            Trouble::FreezeLater if number >= GOOD => Trouble::Freeze,
            Trouble::ForbiddenLater | Trouble::FreezeLater => Trouble::Nothing,
            _ if self.changed.load(Ordering::SeqCst) => Trouble::Whole,
            trouble if number == 0 || trouble == Trouble::AllDrip => trouble,
            _ => Trouble::Nothing,
        };
        let head = |status: &str, more: String| {
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{more}\r\n\r\n")
        };
        let partial = |first: usize, last: usize, etag: &str| {
            let range = format!("Content-Range: bytes {first}-{last}/{SIZE}\r\nETag: \"{etag}\"");
            head("206 Partial Content", range)
        };
        let usual = partial(first, last, "v1");
        let ambiguous = |field: &str| {
            let range = format!("Content-Range: bytes {first}-{last}/{SIZE}\r\nETag: \"v1\"");
            head("206 Partial Content", format!("{range}\r\n{field}"))
        };
        let write = async |stream: &mut TcpStream, head: &str, bytes: &[u8]| {
            stream.write_all(head.as_bytes()).await.ok()?;
            let pieces = bytes.len().div_ceil(PIECE);
            for (at, piece) in bytes.chunks(PIECE).enumerate() {
                stream.write_all(piece).await.ok()?;
                // The next request may come at once after the last one.
                if self.slow && at + 1 < pieces {
                    pause(stream).await?;
                }
                if self.trouble == Trouble::FirstFreezesOthersCrawl {
                    tokio::time::sleep(CRAWL).await;
                }
            }
            Some(true)
        };
        match trouble {
            Trouble::Reset => {
                write(stream, &usual, &bytes[..9_000]).await?;
                Some(false)
            }
            Trouble::AllResetLater => {
                write(stream, &usual, &bytes[..length.min(PIECE + 1000)]).await?;
                Some(false)
            }
            Trouble::Freeze => {
                write(stream, &usual, &bytes[..length.min(9_000)]).await?;
                std::future::pending().await
            }
            Trouble::OtherRange => {
                let other = &self.body[first - 1..last];
                write(stream, &partial(first - 1, last - 1, "v1"), other).await
            }
            Trouble::ChangedEtag => {
                write(stream, &partial(first, last, "v2"), &vec![0; length]).await
            }
            Trouble::Whole => {
                let whole =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nETag: \"v2\"\r\n\r\n");
                write(stream, &whole, &[0; SIZE]).await
            }
            Trouble::ShortByOne => {
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n\
                     Content-Range: bytes {first}-{}/{SIZE}\r\nETag: \"v1\"\r\n\r\n",
                    length - 1,
                    last - 1
                );
                write(stream, &head, &bytes[..length - 1]).await
            }
            Trouble::CutShort => {
                write(stream, &usual, &bytes[..length - 1]).await?;
                None
            }
            Trouble::Long => {
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n\
                     Content-Range: bytes {first}-{last}/{SIZE}\r\nETag: \"v1\"\r\n\r\n{:x}\r\n",
                    length + 100
                );
                let long = [bytes, &[0; 100], b"\r\n0\r\n\r\n"].concat();
                write(stream, &head, &long).await
            }
            Trouble::Coded => {
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: gzip, chunked\r\n\
                     Content-Range: bytes {first}-{last}/{SIZE}\r\nETag: \"v1\"\r\n\r\n{length:x}\r\n"
                );
                let coded = [&vec![0; length][..], b"\r\n0\r\n\r\n"].concat();
                write(stream, &head, &coded).await
            }
            Trouble::Ambiguous(field) => write(stream, &ambiguous(field), &vec![0; length]).await,
            Trouble::AllDrip => {
                stream.write_all(usual.as_bytes()).await.ok()?;
                for byte in bytes {
                    stream.write_all(&[*byte]).await.ok()?;
                    tokio::time::sleep(CRAWL).await;
                }
                Some(true)
            }
            Trouble::Status(status) => {
                let head = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\n");
                write(stream, &head, b"no").await
            }
            _ => write(stream, &usual, bytes).await,
        }
    }
}

/// `None` where the other side closes meanwhile.
async fn pause(stream: &TcpStream) -> Option<()> {
    let mut byte = [0];
    tokio::select! {
        () = tokio::time::sleep(PAUSE) => Some(()),
        _ = stream.peek(&mut byte) => None,
    }
}

fn range(head: &str) -> Option<(usize, usize)> {
    let (_, rest) = head.split_once("\r\nrange: bytes=")?;
    let (range, _) = rest.split_once("\r\n")?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().unwrap(), last.parse().unwrap()))
}

async fn world(origin: &Origin, downloads: &str) -> World {
    World::with(&route("origin.test", origin.address, "tunnel", downloads)).await
}

const GET: &str =
    "GET http://origin.test/o HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n";

async fn download(world: &World) -> Vec<u8> {
    let mut client = world.sends(format!("{GET}Connection: close\r\n\r\n")).await;
    let head = client.head().await;
    assert!(head.contains(" 200 OK\r\n"), "{head}");
    client.rest().await
}

/// The download, and how many ranges it took.
async fn downloaded(trouble: Trouble) -> (bool, usize) {
    let origin = Origin::start(trouble).await;
    let world = world(&origin, DOWNLOADS).await;
    let same = download(&world).await == *origin.body;
    world.is_quiet().await;
    (same, origin.ranges.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_slow_download_goes_on_over_several_connections() {
    let origin = Origin::of(Trouble::Nothing, true).await;
    let world = world(&origin, DOWNLOADS).await;
    assert!(download(&world).await == *origin.body, "other bytes came");
    // The others have brought more than the first one, which is as slow as they are.
    let asked = origin.asked.load(Ordering::SeqCst);
    assert!(asked > SIZE as u64 / 2, "{asked} of {SIZE} bytes");
    assert!(origin.most_open.load(Ordering::SeqCst) >= 5);
}

#[tokio::test]
async fn a_connection_whose_range_was_split_takes_another_one() {
    let origin = Origin::of(Trouble::Nothing, true).await;
    let world = world(&origin, &format!("{DOWNLOADS}memory = \"512 KiB\"\n")).await;
    assert!(download(&world).await == *origin.body, "other bytes came");
    let [ranges, accepted] =
        [&origin.ranges, &origin.accepted].map(|count| count.load(Ordering::SeqCst));
    println!("{ranges} ranges over {accepted} connections");
    assert!(
        accepted <= 10,
        "{ranges} ranges over {accepted} connections"
    );
}

#[tokio::test]
async fn a_download_in_segments_is_byte_exact_whatever_happens_to_a_range() {
    let troubles = [
        Trouble::Reset,
        Trouble::Freeze,
        Trouble::OtherRange,
        Trouble::ChangedEtag,
        Trouble::Whole,
        Trouble::ShortByOne,
        Trouble::CutShort,
        Trouble::Long,
        Trouble::Coded,
        Trouble::Ambiguous("ETag: \"v2\""),
        Trouble::Ambiguous("Content-Range: bytes 0-9/10"),
        Trouble::Ambiguous("Content-Type: multipart/byteranges; boundary=x"),
        Trouble::AllReset,
        Trouble::FirstResets,
    ];
    all_at_once(troubles, |trouble| async move {
        let (same, ranges) = downloaded(trouble).await;
        assert!(same, "{trouble:?}: other bytes came");
        assert!(ranges > 0, "{trouble:?}: no range was asked for");
    })
    .await;
}

#[tokio::test]
async fn a_first_connection_that_freezes_holds_nothing_up() {
    let begun = tokio::time::Instant::now();
    let (same, ranges) = downloaded(Trouble::FirstFreezes).await;
    assert!(same, "other bytes came");
    assert!(ranges > 0);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_refused_range_ends_the_segments_and_not_the_download() {
    let refusals = [401, 403, 404, 410, 416, 429, 500, 503];
    all_at_once(refusals, |status| async move {
        let (same, ranges) = downloaded(Trouble::Status(status)).await;
        assert!(same, "{status}: other bytes came");
        // Those that were on their way already.
        assert!((1..=8).contains(&ranges), "{status}: {ranges} ranges");
    })
    .await;
}

#[tokio::test]
async fn a_download_of_what_changes_in_the_middle_breaks_off_without_a_wrong_byte() {
    let origin = Origin::of(Trouble::FirstResetsAndChanges, true).await;
    let world = world(&origin, DOWNLOADS).await;
    let got = download(&world).await;
    assert!(got.len() < SIZE, "it looks whole");
    assert!(got == origin.body[..got.len()], "other bytes came");
    world.is_quiet().await;
}

#[tokio::test]
async fn what_has_no_strong_validator_is_not_segmented() {
    let troubles = [
        Trouble::Head("ETag: W/\"v1\""),
        Trouble::Head("X-No: etag"),
        Trouble::Head("ETag: \"v1\"\r\nContent-Encoding: gzip"),
        Trouble::Head("ETag: \"v1\"\r\nAccept-Ranges: none"),
        Trouble::Http10,
    ];
    all_at_once(troubles, |trouble| async move {
        assert_eq!(downloaded(trouble).await, (true, 0), "{trouble:?}");
    })
    .await;
}

#[tokio::test]
async fn segments_are_off_where_the_config_says_so() {
    let offs = ["segments = 1", "segments = 0", "memory = \"0 B\""];
    all_at_once(offs, |off| async move {
        let origin = Origin::start(Trouble::Nothing).await;
        let world = world(&origin, &format!("{DOWNLOADS}{off}\n")).await;
        assert!(download(&world).await == *origin.body);
        assert_eq!(origin.ranges.load(Ordering::SeqCst), 0, "{off}");
    })
    .await;
}

#[tokio::test]
async fn a_request_for_a_range_is_left_alone() {
    let origin = Origin::of(Trouble::Nothing, true).await;
    let world = world(&origin, DOWNLOADS).await;
    let mut client = world.client().await;
    let last = SIZE - 1;
    client
        .send(format!(
            "{GET}Range: bytes=0-{last}\r\nIf-Range: \"v1\"\r\nConnection: close\r\n\r\n"
        ))
        .await;
    client.head().await;
    assert!(client.rest().await == *origin.body);
    assert_eq!(origin.ranges.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_reads_late_gets_every_byte() {
    let origin = Origin::start(Trouble::Nothing).await;
    let world = world(&origin, &format!("{DOWNLOADS}memory = \"512 KiB\"\n")).await;
    let mut client = world.sends(format!("{GET}Connection: close\r\n\r\n")).await;
    client.head().await;
    let mut got = vec![0; 200 << 10];
    soon("the first bytes", client.0.read_exact(&mut got))
        .await
        .unwrap();
    let asked = || origin.asked.load(Ordering::SeqCst);
    soon("a range", async {
        while asked() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    got.extend(client.rest().await);
    assert!(got == *origin.body, "other bytes came");
}

#[tokio::test]
async fn every_connection_of_a_download_ends_with_its_client() {
    let origin = Origin::of(Trouble::Nothing, true).await;
    let world = world(&origin, DOWNLOADS).await;
    let mut client = world.sends(format!("{GET}\r\n")).await;
    client.head().await;
    soon("the ranges", async {
        while origin.open.load(Ordering::SeqCst) < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drop(client);
    world.is_quiet().await;
    soon("the end of every connection", async {
        while origin.open.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn downloads_at_once_share_the_connections_to_a_host() {
    let origin = Origin::of(Trouble::Nothing, true).await;
    let world = world(&origin, &format!("{DOWNLOADS}memory = \"1 MiB\"\n")).await;
    let (one, two, three) = tokio::join!(download(&world), download(&world), download(&world));
    for got in [one, two, three] {
        assert!(got == *origin.body, "other bytes came");
    }
    let most = origin.most_open.load(Ordering::SeqCst);
    // The origin may see a new connection before the end of an old one.
    assert!((4..=10).contains(&most), "{most} connections at once");
}

#[tokio::test]
async fn the_history_shows_the_connections_of_a_download() {
    let origin = Origin::of(Trouble::Nothing, true).await;
    let world = world(&origin, DOWNLOADS).await;
    assert!(download(&world).await == *origin.body, "other bytes came");
    let finished = soon("the history", async {
        loop {
            let text = world.page("/-/api/history").await;
            let (_, json) = text.split_once("\r\n\r\n").unwrap();
            let list: serde_json::Value = serde_json::from_str(json).unwrap();
            if list["transfers"][0].is_object() {
                return list["transfers"][0].clone();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let text = finished.to_string();
    let segments = finished["timeline"]["segments"].as_array().unwrap();
    assert!(segments.len() >= 4, "{text}");
    let brought = |segment: &serde_json::Value| segment["received"].as_u64().unwrap();
    let brought: u64 = segments.iter().map(brought).sum();
    assert!((1..=2 * SIZE as u64).contains(&brought), "{text}");
    assert!(
        segments
            .iter()
            .all(|segment| segment["congestion"].is_string()),
        "{text}"
    );
    assert!(finished["timeline"]["congestion"].is_string(), "{text}");
}

/// The first connection delivers nothing for some seconds, while the others bring everything else.
#[tokio::test]
async fn the_time_left_counts_what_every_connection_has_received() {
    let origin = Origin::start(Trouble::FirstFreezesOthersCrawl).await;
    let world = world(&origin, DOWNLOADS).await;
    let mut client = world.sends(format!("{GET}Connection: close\r\n\r\n")).await;
    client.head().await;
    let reading = tokio::spawn(async move { client.rest().await });
    let number = |transfer: &serde_json::Value, field: &str| transfer[field].as_u64().unwrap_or(0);
    soon("the time left", async {
        loop {
            let text = world.page("/-/api/overview").await;
            let (_, json) = text.split_once("\r\n\r\n").unwrap();
            let overview: serde_json::Value = serde_json::from_str(json).unwrap();
            let it = &overview["transfers"][0];
            let rates = it["rates"].as_array().map_or(&[][..], Vec::as_slice);
            let recent = &rates[rates.len().saturating_sub(5)..];
            let moved: u64 = recent.iter().filter_map(serde_json::Value::as_u64).sum();
            let ahead = number(it, "ahead");
            let missing = SIZE as u64 - number(it, "down") - ahead;
            let left = (missing * 1000 * recent.len() as u64).checked_div(moved);
            if ahead > SIZE as u64 / 4 && left.is_some() && it["left_ms"].as_u64() == left {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(reading.await.unwrap() == *origin.body, "other bytes came");
}

#[tokio::test]
async fn the_status_shows_the_connections_of_a_download() {
    let origin = Origin::of(Trouble::Nothing, true).await;
    let world = world(&origin, DOWNLOADS).await;
    let mut client = world.sends(format!("{GET}\r\n")).await;
    client.head().await;
    soon("a transfer with segments", async {
        loop {
            let mut status = world
                .sends(
                    "GET /-/api/transfers HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
                )
                .await;
            let text = String::from_utf8_lossy(&status.rest().await).into_owned();
            if let Some((_, segments)) = text.split_once("\"segments\": [")
                && segments.trim_start().starts_with('{')
                && segments.contains("\"congestion\": \"")
            {
                return;
            }
            // The client reads on: what it does not read holds the download back.
            let mut some = [0; 4096];
            client.0.read_exact(&mut some).await.unwrap();
        }
    })
    .await;
}
