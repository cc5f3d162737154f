//! Bytes both ways between two streams, with half-close and without memory for what is idle.
//!
//! tokio's `copy_bidirectional` holds two buffers for as long as a tunnel lives. Here each poll reads into one scratch
//! buffer of its thread and keeps only what the other side did not take: an idle tunnel holds no buffer at all, and a
//! slow reader holds the other side back after one scratch buffer.

mod turn;

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

use crate::{
    forward::tunnel::pump::turn::Utterance,
    model::{Fault, FaultKind, Leg, Stage, classify},
};

/// One read's worth where the other side takes all of it: measured over loopback, 256 KiB cost two thirds of the CPU of 64 KiB.
const SCRATCH: usize = 256 * 1024;
/// What reads begin with, and begin with again after the other side fell behind: what is read is what a slow reader makes us keep.
const SLOW: usize = 64 * 1024;
/// How long one half may stay open alone without a byte.
const HALF_CLOSED_LIMIT: Duration = Duration::from_secs(600);
/// How long one half may stay open after the other side hung up.
const HUNG_UP_LIMIT: Duration = Duration::from_secs(5);

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// How a tunnel ended.
#[derive(Debug)]
pub(crate) struct PumpOutcome(Result<(), (Leg, FaultKind, Option<io::Error>)>);

impl PumpOutcome {
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
) -> PumpOutcome
where
    C: AsyncRead + AsyncWrite + Unpin + ?Sized,
    O: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let (mut upward, mut downward) = (Direction::default(), Direction::default());
    let mut limit = None;
    poll_fn(|cx| {
        let before = (upward.progress(), downward.progress());
        let first = upward.advance(cx, client, origin, up, (&mut downward, Leg::Client));
        if let Poll::Ready(Err(error)) = first {
            return Poll::Ready(error.told(Leg::Client, Leg::Origin));
        }
        let second = downward.advance(cx, origin, client, down, (&mut upward, Leg::Origin));
        if let Poll::Ready(Err(error)) = second {
            return Poll::Ready(error.told(Leg::Origin, Leg::Client));
        }
        if first.is_ready() && second.is_ready() {
            return Poll::Ready(PumpOutcome(Ok(())));
        }
        if first.is_pending() && second.is_pending() {
            return Poll::Pending;
        }
        let moved = before != (upward.progress(), downward.progress());
        ready!(half_closed(cx, &mut limit, moved, [&upward, &downward]));
        Poll::Ready(match (downward.lost.take(), upward.lost.take()) {
            (Some(error), _) => PumpError::HungUp(error).told(Leg::Origin, Leg::Client),
            (_, Some(error)) => PumpError::HungUp(error).told(Leg::Client, Leg::Origin),
            _ if first.is_ready() => PumpOutcome::failed(Leg::Origin, FaultKind::TimedOut),
            _ => PumpOutcome::failed(Leg::Client, FaultKind::TimedOut),
        })
    })
    .await
}

/// Ready when one half has been open alone for long enough without a byte.
fn half_closed(
    cx: &mut Context<'_>,
    limit: &mut Option<Pin<Box<Sleep>>>,
    moved: bool,
    directions: [&Direction; 2],
) -> Poll<()> {
    let hung_up = directions.iter().any(|direction| direction.lost.is_some());
    let patience = if hung_up {
        HUNG_UP_LIMIT
    } else {
        HALF_CLOSED_LIMIT
    };
    let timer = limit.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
    if moved {
        timer.as_mut().reset(tokio::time::Instant::now() + patience);
    }
    timer.as_mut().poll(cx)
}

/// A failure of one side of a direction.
enum PumpError {
    Read(io::Error),
    Write(io::Error),
    /// There is more for a writer that hung up before.
    HungUp(io::Error),
}

impl PumpError {
    fn told(self, reader: Leg, writer: Leg) -> PumpOutcome {
        let (leg, error) = match self {
            Self::Read(error) => (reader, error),
            Self::Write(error) | Self::HungUp(error) => (writer, error),
        };
        let kind = match leg {
            Leg::Client => classify::client(&error),
            Leg::Hop | Leg::Origin => classify::io(&error),
        };
        PumpOutcome(Err((leg, kind, Some(error))))
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
    /// What was read since the other side last spoke.
    turn: Utterance,
    /// The writer hung up with this error: nothing more is written, and what still comes must be a goodbye.
    lost: Option<io::Error>,
}

impl Direction {
    /// Ready when this direction is over. `other` is the opposite one, and the leg that this one reads from.
    fn advance<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        count: &AtomicU64,
        (other, leg): (&mut Self, Leg),
    ) -> Poll<Result<(), PumpError>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let before = self.progress();
        let polled = loop {
            let polled = self.poll(cx, reader, writer, count);
            if let Some(polled) = self.settle(polled, other, leg) {
                break polled;
            }
        };
        if self.progress() != before {
            other.turn = Utterance::default();
        }
        polled
    }

    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        count: &AtomicU64,
    ) -> Poll<Result<(), PumpError>>
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
                let taken = ready!(Pin::new(&mut *writer).poll_write(cx, rest))
                    .map_err(PumpError::Write)?;
                if taken == 0 {
                    return Poll::Ready(Err(PumpError::Write(io::ErrorKind::WriteZero.into())));
                }
                self.written += taken;
                self.took(taken, count);
            }
            self.kept = Vec::new();
            self.written = 0;
            if self.ended {
                if self.lost.is_none() {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(PumpError::Write)?;
                }
                self.closed = true;
                continue;
            }
            match BUFFER.with_borrow_mut(|scratch| self.pass(cx, reader, writer, scratch, count)) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(PumpError::Write)?;
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
    ) -> Poll<Result<(), PumpError>>
    where
        R: AsyncRead + Unpin + ?Sized,
        W: AsyncWrite + Unpin + ?Sized,
    {
        let room = self.room.clamp(SLOW, SCRATCH);
        let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(reader).poll_read(cx, &mut buffer)).map_err(PumpError::Read)?;
        let filled = buffer.filled();
        if filled.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        self.turn.add(filled);
        if let Some(error) = self.lost.take() {
            if !self.turn.is_goodbye() {
                return Poll::Ready(Err(PumpError::HungUp(error)));
            }
            self.lost = Some(error);
            return Poll::Ready(Ok(()));
        }
        let taken = match Pin::new(writer).poll_write(cx, filled) {
            Poll::Ready(taken) => taken.map_err(PumpError::Write)?,
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

    /// Takes a reset as an end where it is the normal end of a side that is done. `None` where this direction has to be polled again.
    ///
    /// A TLS peer that is done sends close_notify, then closes its socket. Where the other side's close_notify lies unread in it, or arrives
    /// after that, its kernel resets the connection, with or without a FIN before (git with GnuTLS: half of its tunnels). The reset is a
    /// failure where more than a goodbye was on its way to the side that hung up.
    fn settle(
        &mut self,
        polled: Poll<Result<(), PumpError>>,
        other: &mut Self,
        reader: Leg,
    ) -> Option<Poll<Result<(), PumpError>>> {
        match polled {
            // An origin that resets in place of an answer has failed. A client that has all that the origin had to say has not.
            Poll::Ready(Err(PumpError::Read(error)))
                if is_reset(&error)
                    && (other.turn.is_goodbye() || (other.closed && reader == Leg::Client)) =>
            {
                other.lose(error);
                self.ended = true;
                None
            }
            // What is left for a side that had closed its half is nobody's any more.
            Poll::Ready(Err(PumpError::Write(error))) if is_reset(&error) && other.closed => {
                self.closed = true;
                None
            }
            Poll::Ready(Err(PumpError::Write(error)))
                if is_reset(&error) && self.turn.is_goodbye() =>
            {
                self.lose(error);
                None
            }
            polled => Some(polled),
        }
    }

    fn lose(&mut self, error: io::Error) {
        self.lost = Some(error);
        self.kept = Vec::new();
        self.unflushed = false;
    }

    /// Differs after anything was read, written or lost.
    fn progress(&self) -> (u64, usize, bool) {
        (self.moved, self.turn.bytes, self.lost.is_some())
    }

    fn took(&mut self, bytes: usize, count: &AtomicU64) {
        self.unflushed |= bytes > 0;
        self.moved += bytes as u64;
        count.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        classify::io(error),
        FaultKind::Reset | FaultKind::ClosedEarly
    )
}

#[cfg(test)]
mod tests;
