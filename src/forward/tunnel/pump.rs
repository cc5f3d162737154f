//! Bytes both ways between two streams, with half-close and without memory for what is idle.
//!
//! tokio's `copy_bidirectional` holds two buffers for as long as a tunnel lives. Here each poll reads into one scratch
//! buffer of its thread and keeps only what the other side did not take: an idle tunnel holds no buffer at all, and a
//! slow reader holds the other side back after one scratch buffer.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use crate::model::{Fault, FaultKind, Leg, Stage, classify};

/// One read's worth where the other side takes all of it: measured over loopback, 256 KiB cost two thirds of the CPU of 64 KiB.
const SCRATCH: usize = 256 * 1024;
/// What reads begin with, and begin with again after the other side fell behind: what is read is what a slow reader makes us keep.
const SLOW: usize = 64 * 1024;
/// How long one half may stay open alone without a byte.
const HALF_CLOSED_LIMIT: Duration = Duration::from_secs(600);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// How a tunnel ended.
#[derive(Debug)]
pub(crate) struct Pumped(Result<(), (Leg, FaultKind, Option<io::Error>)>);

impl Pumped {
    /// Ended from outside.
    pub(crate) fn failed(leg: Leg, kind: FaultKind) -> Self {
        Self(Err((leg, kind, None)))
    }

    /// What it failed with; `None` where both sides closed.
    pub(crate) fn fault(self) -> Option<Fault> {
        let (leg, kind, source) = self.0.err()?;
        let mut fault = Fault::new(leg, Stage::ReceivingBody, kind);
        fault.source = source.map(Into::into);
        Some(fault)
    }
}

/// Moves bytes until both sides have closed; `up` counts the client's, `down` the origin's, as they are written.
pub(crate) async fn pump<C, O>(
    client: &mut C,
    origin: &mut O,
    up: &AtomicU64,
    down: &AtomicU64,
) -> Pumped
where
    C: AsyncRead + AsyncWrite + Unpin + ?Sized,
    O: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let (mut upward, mut downward) = (Direction::default(), Direction::default());
    let mut limit = None;
    poll_fn(|cx| {
        let before = (upward.moved, downward.moved);
        let first = upward.poll(cx, client, origin, up);
        let first = upward.forgive(first, &downward);
        if let Poll::Ready(Err(error)) = first {
            return Poll::Ready(error.told(Leg::Client, Leg::Origin));
        }
        let second = downward.poll(cx, origin, client, down);
        let second = downward.forgive(second, &upward);
        if let Poll::Ready(Err(error)) = second {
            return Poll::Ready(error.told(Leg::Origin, Leg::Client));
        }
        if first.is_ready() && second.is_ready() {
            return Poll::Ready(Pumped(Ok(())));
        }
        if first.is_pending() && second.is_pending() {
            return Poll::Pending;
        }
        let timer: &mut Pin<Box<Sleep>> =
            limit.get_or_insert_with(|| Box::pin(tokio::time::sleep(HALF_CLOSED_LIMIT)));
        if before != (upward.moved, downward.moved) {
            timer
                .as_mut()
                .reset(tokio::time::Instant::now() + HALF_CLOSED_LIMIT);
        }
        ready!(timer.as_mut().poll(cx));
        let leg = if first.is_ready() {
            Leg::Origin
        } else {
            Leg::Client
        };
        Poll::Ready(Pumped::failed(leg, FaultKind::TimedOut))
    })
    .await
}

/// A failure of one side of a direction.
enum Side {
    Read(io::Error),
    Write(io::Error),
}

impl Side {
    fn told(self, reader: Leg, writer: Leg) -> Pumped {
        let (leg, error) = match self {
            Self::Read(error) => (reader, error),
            Self::Write(error) => (writer, error),
        };
        Pumped(Err((leg, classify::io(&error), Some(error))))
    }
}

#[derive(Default)]
struct Direction {
    /// Read, and not taken by the other side yet.
    kept: Vec<u8>,
    written: usize,
    /// How much the next read may take, between [`SLOW`] and [`SCRATCH`].
    room: usize,
    moved: u64,
    unflushed: bool,
    ended: bool,
    closed: bool,
}

impl Direction {
    /// Ready when this direction is over.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        count: &AtomicU64,
    ) -> Poll<Result<(), Side>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        loop {
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            while let Some(rest) = self
                .kept
                .get(self.written..)
                .filter(|rest| !rest.is_empty())
            {
                let taken =
                    ready!(Pin::new(&mut *writer).poll_write(cx, rest)).map_err(Side::Write)?;
                if taken == 0 {
                    return Poll::Ready(Err(Side::Write(io::ErrorKind::WriteZero.into())));
                }
                self.written += taken;
                self.took(taken, count);
            }
            self.kept = Vec::new();
            self.written = 0;
            if self.ended {
                ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(Side::Write)?;
                self.closed = true;
                continue;
            }
            match BUFFER.with_borrow_mut(|scratch| self.pass(cx, reader, writer, scratch, count)) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(Side::Write)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    /// One read, and the write of as much of it as the other side takes.
    fn pass<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        scratch: &mut [u8],
        count: &AtomicU64,
    ) -> Poll<Result<(), Side>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let room = self.room.clamp(SLOW, SCRATCH);
        let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(reader).poll_read(cx, &mut buffer)).map_err(Side::Read)?;
        let filled = buffer.filled();
        if filled.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        let taken = match Pin::new(writer).poll_write(cx, filled) {
            Poll::Ready(taken) => taken.map_err(Side::Write)?,
            Poll::Pending => 0,
        };
        self.took(taken, count);
        if let Some(rest) = filled.get(taken..).filter(|rest| !rest.is_empty()) {
            self.kept = rest.to_vec();
            self.room = SLOW;
        } else if filled.len() == room {
            self.room = room * 2;
        }
        Poll::Ready(Ok(()))
    }

    /// No failure where the writer hangs up after it had said all it had to say, and all of that was delivered: a TLS peer that is done sends
    /// close_notify and FIN, closes its socket, and answers what still comes with a reset. What is left for it is nobody's any more.
    fn forgive(
        &mut self,
        polled: Poll<Result<(), Side>>,
        from_writer: &Self,
    ) -> Poll<Result<(), Side>> {
        match polled {
            Poll::Ready(Err(Side::Write(error)))
                if from_writer.closed
                    && matches!(
                        classify::io(&error),
                        FaultKind::Reset | FaultKind::ClosedEarly
                    ) =>
            {
                self.closed = true;
                Poll::Ready(Ok(()))
            }
            polled => polled,
        }
    }

    fn took(&mut self, bytes: usize, count: &AtomicU64) {
        self.unflushed |= bytes > 0;
        self.moved += bytes as u64;
        count.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_arrive_as_sent_and_one_half_may_close_before_the_other() {
        let (mut here, mut client) = duplex(1000);
        let (mut there, mut origin) = duplex(700);
        let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
        let sent: Vec<u8> = (0..500_000u32).map(|n| (n % 251) as u8).collect();
        let ((), (), pumped) = tokio::join!(
            async {
                here.write_all(&sent).await.unwrap();
                here.shutdown().await.unwrap();
                let mut answer = Vec::new();
                here.read_to_end(&mut answer).await.unwrap();
                assert_eq!(answer, b"whole");
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
    async fn a_peer_that_said_all_and_then_hangs_up_is_no_failure() {
        let (mut here, mut client) = duplex(1000);
        let (mut there, mut origin) = duplex(1000);
        let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
        let ((), pumped) = tokio::join!(
            async {
                there.write_all(b"whole").await.unwrap();
                there.shutdown().await.unwrap();
                let mut answer = Vec::new();
                here.read_to_end(&mut answer).await.unwrap();
                assert_eq!(answer, b"whole");
                drop(there);
                here.write_all(b"late").await.unwrap();
                here.shutdown().await.unwrap();
            },
            pump(&mut client, &mut origin, &up, &down),
        );
        assert!(pumped.0.is_ok());
    }

    #[test]
    fn a_peer_that_hangs_up_before_it_said_all_is_a_failure() {
        let broken = || Poll::Ready(Err(Side::Write(io::ErrorKind::BrokenPipe.into())));
        let (mut upward, mut downward) = (Direction::default(), Direction::default());
        assert!(matches!(
            upward.forgive(broken(), &downward),
            Poll::Ready(Err(_))
        ));
        downward.closed = true;
        assert!(matches!(
            upward.forgive(broken(), &downward),
            Poll::Ready(Ok(()))
        ));
    }

    #[tokio::test]
    async fn reads_grow_while_all_is_taken_and_are_small_again_after_a_side_fell_behind() {
        let (mut here, mut client) = duplex(4 * SCRATCH);
        let (mut there, mut origin) = duplex(2 * SCRATCH);
        let (mut upward, count) = (Direction::default(), AtomicU64::new(0));
        here.write_all(&vec![7; 4 * SCRATCH]).await.unwrap();
        assert!(
            poll_fn(|cx| Poll::Ready(upward.poll(cx, &mut client, &mut origin, &count)))
                .await
                .is_pending()
        );
        // 64 + 128 + 256 KiB went through, and of the next 256 KiB what had room.
        assert_eq!(count.load(Ordering::Relaxed), 2 * SCRATCH as u64);
        assert_eq!((upward.kept.len(), upward.room), (192 * 1024, SLOW));
        there.read_exact(&mut vec![0; 192 * 1024]).await.unwrap();
        assert!(
            poll_fn(|cx| Poll::Ready(upward.poll(cx, &mut client, &mut origin, &count)))
                .await
                .is_pending()
        );
        assert_eq!((upward.kept.len(), upward.room), (SLOW, SLOW));
    }

    #[tokio::test(start_paused = true)]
    async fn a_half_that_stays_open_alone_ends_at_its_limit() {
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
        assert!(begun.elapsed() >= HALF_CLOSED_LIMIT);
    }

    #[tokio::test]
    async fn a_side_that_vanishes_is_named() {
        let (mut here, mut client) = duplex(64);
        let (there, mut origin) = duplex(64);
        here.write_all(b"hello").await.unwrap();
        drop(there);
        let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
        let pumped = pump(&mut client, &mut origin, &up, &down).await;
        assert!(matches!(pumped.0, Err((Leg::Origin, _, _))));
    }
}
