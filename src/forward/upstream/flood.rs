//! Limits what an origin sends that is no part of a response: a connection with too much of it is closed.
//!
//! hyper and h2 drop interim responses. A server that sends them without end would keep a request alive. Over HTTP/1 hyper's callback
//! counts them; over HTTP/2 there is no callback, so this module counts frame headers as they are read. Interim responses are no progress
//! ([`crate::model::stall`] ends a request that receives nothing else), so a slow server may send them as long as its route waits; only
//! their rate is limited. h2 itself ends a connection with thousands of empty DATA frames (`too_many_data_frames`).

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::{Request, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::head_check::{HeadCheck, MALFORMED};
use crate::{
    forward::request::{body::RequestBody, gate::GateKey},
    sync::Mutex,
};

/// The most interim responses of one request in a burst.
const MAX_INTERIMS: u32 = 50;
/// After this time one more is allowed. Servers that keep a client waiting send one every few seconds.
const REFILL_INTERVAL: Duration = Duration::from_secs(1);
/// The most streams tracked; h2 opens 100 at once by default.
const MAX_STREAMS: usize = 1024;

const TOO_MANY_INTERIMS: &str =
    "more than 50 interim responses (1xx) to one request, and more than one per second";

/// Why a connection was ended, if it was. Clones refer to the same connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flood(Arc<FloodState>);

#[derive(Debug, Default)]
struct FloodState {
    exceeded: OnceLock<&'static str>,
    /// An HTTP/1 request was sent, and its response is not read yet.
    head_expected: AtomicBool,
}

impl Flood {
    /// What exceeded its limit.
    pub(crate) fn exceeded(&self) -> Option<&'static str> {
        self.0.exceeded.get().copied()
    }

    fn mark_exceeded(&self, what: &'static str) {
        let _ = self.0.exceeded.set(what);
    }

    /// Counts the interim responses to an HTTP/1 request; the first `100 Continue` opens the gate of its body.
    pub(crate) fn watch(&self, request: &mut Request<RequestBody>, gate: Option<GateKey>) {
        self.0.head_expected.store(true, Ordering::Release);
        let (flood, allowance) = (
            self.clone(),
            Mutex::new(InterimAllowance::new(MAX_INTERIMS)),
        );
        hyper::ext::on_informational(request, move |interim| {
            if let (Some(gate), StatusCode::CONTINUE) = (&gate, interim.status()) {
                gate.open();
            }
            let mut allowance = allowance.lock();
            if !allowance.take(Instant::now()) {
                flood.mark_exceeded(TOO_MANY_INTERIMS);
            }
        });
    }

    fn check(&self) -> io::Result<()> {
        match self.exceeded() {
            None => Ok(()),
            Some(what) => Err(io::Error::new(io::ErrorKind::InvalidData, what)),
        }
    }
}

/// How many more interim responses are allowed.
#[derive(Debug)]
struct InterimAllowance {
    most: u32,
    left: u32,
    /// When the allowance was last refilled.
    since: Option<Instant>,
}

impl InterimAllowance {
    fn new(most: u32) -> Self {
        Self {
            most,
            left: most,
            since: None,
        }
    }

    /// Uses one up; false where none is left.
    fn take(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since).as_secs() / REFILL_INTERVAL.as_secs();
        if passed > 0 {
            let back = u32::try_from(passed).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(back).min(self.most);
            self.since = Some(now);
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

/// A stream to an origin that returns no more data once a limit is exceeded.
pub(super) struct LimitedStream<S> {
    inner: S,
    flood: Flood,
    /// Set only over HTTP/2.
    frames: Option<FrameScanner>,
    /// Used only over HTTP/1.
    heads: HeadCheck,
}

impl<S> LimitedStream<S> {
    pub(super) fn new(inner: S, flood: Flood, http2: bool) -> Self {
        Self {
            inner,
            flood,
            frames: http2.then(FrameScanner::default),
            heads: HeadCheck::default(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LimitedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.flood.check()?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        let this = &mut *self;
        let exceeded = match &mut this.frames {
            Some(frames) => frames.read(read, Instant::now()),
            None => {
                if this.flood.0.head_expected.swap(false, Ordering::AcqRel) {
                    this.heads = HeadCheck::default();
                }
                this.heads.read(read).then_some(MALFORMED)
            }
        };
        if let Some(what) = exceeded {
            self.flood.mark_exceeded(what);
        }
        Poll::Ready(self.flood.check())
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LimitedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Reads the headers of HTTP/2 frames (RFC 9113, section 4.1) as bytes arrive, and skips payloads.
#[derive(Debug, Default)]
struct FrameScanner {
    head: [u8; HEAD],
    filled: usize,
    /// Bytes of the payload still to skip.
    skip: usize,
    /// How many more HEADERS frames each open stream may receive.
    streams: BTreeMap<u32, InterimAllowance>,
}

const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

impl FrameScanner {
    /// Reads received bytes; returns what exceeded its limit.
    fn read(&mut self, mut bytes: &[u8], now: Instant) -> Option<&'static str> {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            let (next, rest) = bytes.split_first()?;
            if let Some(place) = self.head.get_mut(self.filled) {
                *place = *next;
            }
            self.filled += 1;
            bytes = rest;
            if self.filled < HEAD {
                continue;
            }
            self.filled = 0;
            let [high, middle, low, ..] = self.head.map(usize::from);
            self.skip = high << 16 | middle << 8 | low;
            if let Some(what) = self.frame(now) {
                return Some(what);
            }
        }
        None
    }

    /// Counts the frame whose header was read.
    fn frame(&mut self, now: Instant) -> Option<&'static str> {
        let [_, _, _, kind, flags, a, b, c, d] = self.head;
        let stream = u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff;
        let ends = flags & END_STREAM != 0;
        if kind == HEADERS && !ends {
            // The response's head is itself a HEADERS frame.
            let streams = self.streams.entry(stream);
            let allowance = streams.or_insert_with(|| InterimAllowance::new(MAX_INTERIMS + 1));
            if !allowance.take(now) {
                return Some(TOO_MANY_INTERIMS);
            }
            if self.streams.len() > MAX_STREAMS {
                self.streams.pop_first();
            }
        }
        if matches!(kind, DATA | HEADERS) && ends || kind == RST_STREAM {
            self.streams.remove(&stream);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    /// The result for `frames` read in pieces of `step` bytes.
    fn read(frames: &[Vec<u8>], step: usize) -> Option<&'static str> {
        let (mut reader, now) = (FrameScanner::default(), Instant::now());
        frames
            .concat()
            .chunks(step)
            .find_map(|chunk| reader.read(chunk, now))
    }

    #[test]
    fn fifty_interim_responses_per_stream_are_no_flood() {
        let mut frames = vec![frame(4, 0, 0, &[0; 36])];
        for stream in 0..120 {
            let stream = stream * 2 + 1;
            frames.extend((0..50).map(|_| frame(HEADERS, 4, stream, b"103")));
            frames.push(frame(HEADERS, 4, stream, b"200"));
            frames.push(frame(DATA, 0, stream, b"\0\0\x03\x01\x04"));
            frames.push(frame(DATA, END_STREAM, stream, b""));
        }
        for step in [1, 7, 9, 10, 4096] {
            assert_eq!(read(&frames, step), None, "{step}");
        }
    }

    #[test]
    fn one_interim_response_per_second_is_allowed_for_an_hour() {
        for (pace, most) in [(20, None), (1, None), (0, Some(50))] {
            let mut allowance = InterimAllowance::new(MAX_INTERIMS);
            let begun = Instant::now();
            let refused =
                (0..3600).find(|n| !allowance.take(begun + Duration::from_secs(n * pace)));
            assert_eq!(refused, most, "one every {pace} s");
        }
    }

    #[test]
    fn more_than_fifty_interim_responses_at_once_are_a_flood() {
        let interims: Vec<_> = (0..52).map(|_| frame(HEADERS, 4, 1, b"102")).collect();
        for step in [1, 10, 4096] {
            assert_eq!(read(&interims, step), Some(TOO_MANY_INTERIMS));
        }
    }
}
