//! Copies bytes in both directions between two streams, with half-close, and without memory while idle.
//!
//! tokio's `copy_bidirectional` holds two buffers as long as a tunnel lives. Here each poll reads into a scratch buffer of its thread and
//! keeps only what the other side did not accept: an idle tunnel holds no buffer, and a slow reader exerts back pressure after one scratch
//! buffer.

mod half_closed;
mod turn;

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
};

use half_closed::half_closed;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turn::Turn;

use crate::model::{Fault, FaultKind, Leg, Stage, classify};

/// The read size where the other side accepts everything: measured over loopback, 256 KiB cost two thirds of the CPU time of 64 KiB.
const MAX_READ: usize = 256 * 1024;
/// The initial read size, also after the other side fell behind: the bytes read are what a slow reader makes gitferry keep.
const MIN_READ: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_READ]);
}

/// The end of a tunnel.
#[derive(Debug)]
pub(crate) struct PumpOutcome(Result<(), (Leg, FaultKind, Option<io::Error>)>);

impl PumpOutcome {
    /// Ended by an external event.
    pub(crate) fn failed(leg: Leg, kind: FaultKind) -> Self {
        Self(Err((leg, kind, None)))
    }

    /// The fault; `None` where both sides closed.
    pub(crate) fn fault(self) -> Option<Fault> {
        let (leg, kind, source) = self.0.err()?;
        let mut fault = Fault::new(leg, Stage::ReceivingBody, kind);
        fault.source = source.map(Into::into);
        Some(fault)
    }
}

/// Copies bytes until both sides have closed; `up` counts the client's bytes, `down` the origin's, as they are written.
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
    downward.turn = Turn::after(down.load(Ordering::Relaxed));
    let mut limit = None;
    poll_fn(|cx| {
        let before = (upward.progress(), downward.progress());
        let first = upward.advance(cx, client, origin, up, (&mut downward, Leg::Client));
        if let Poll::Ready(Err(error)) = first {
            return Poll::Ready(error.into_outcome(Leg::Client, Leg::Origin));
        }
        let second = downward.advance(cx, origin, client, down, (&mut upward, Leg::Origin));
        if let Poll::Ready(Err(error)) = second {
            return Poll::Ready(error.into_outcome(Leg::Origin, Leg::Client));
        }
        if first.is_ready() && (second.is_ready() || downward.client_left) {
            return Poll::Ready(PumpOutcome(Ok(())));
        }
        if first.is_pending() && second.is_pending() {
            return Poll::Pending;
        }
        let moved = before != (upward.progress(), downward.progress());
        ready!(half_closed(cx, &mut limit, moved, [&upward, &downward]));
        Poll::Ready(
            match (downward.write_error.take(), upward.write_error.take()) {
                (Some(error), _) => PumpError::HungUp(error).into_outcome(Leg::Origin, Leg::Client),
                (_, Some(error)) => PumpError::HungUp(error).into_outcome(Leg::Client, Leg::Origin),
                _ if first.is_ready() => PumpOutcome::failed(Leg::Origin, FaultKind::TimedOut),
                _ => PumpOutcome::failed(Leg::Client, FaultKind::TimedOut),
            },
        )
    })
    .await
}

/// A failure of one side of a direction.
enum PumpError {
    Read(io::Error),
    Write(io::Error),
    /// There are more bytes for a writer that closed its socket earlier.
    HungUp(io::Error),
}

impl PumpError {
    fn into_outcome(self, reader: Leg, writer: Leg) -> PumpOutcome {
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
    /// Bytes read that the other side has not accepted.
    kept: Vec<u8>,
    written: usize,
    /// The size of the next read, between [`MIN_READ`] and [`MAX_READ`].
    room: usize,
    moved: u64,
    unflushed: bool,
    ended: bool,
    closed: bool,
    /// What was read since the other side last sent.
    turn: Turn,
    /// The writer closed its socket with this error: nothing more is written, and only the end of TLS may still arrive.
    write_error: Option<io::Error>,
    /// The writer is a client that had ended TLS.
    client_left: bool,
}

impl Direction {
    /// Ready when this direction is over. `other` is the opposite one, and the leg from which this one reads.
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
            if let Some(polled) = self.resolve_reset(polled, other, leg) {
                break polled;
            }
        };
        if self.progress() != before {
            other.turn.end(self.turn.bytes);
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
                self.count_written(taken, count);
            }
            self.kept = Vec::new();
            self.written = 0;
            if self.ended {
                if self.write_error.is_none() {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(PumpError::Write)?;
                }
                self.closed = true;
                continue;
            }
            match BUFFER
                .with_borrow_mut(|scratch| self.copy_once(cx, reader, writer, scratch, count))
            {
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

    /// One read, and one write of as much as the other side accepts.
    fn copy_once<R, W>(
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
        let room = self.room.clamp(MIN_READ, MAX_READ);
        let mut buffer = ReadBuf::new(scratch.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(reader).poll_read(cx, &mut buffer)).map_err(PumpError::Read)?;
        let filled = buffer.filled();
        if filled.is_empty() {
            self.ended = true;
            return Poll::Ready(Ok(()));
        }
        self.turn.add(filled);
        if let Some(error) = self.write_error.take() {
            if !self.turn.is_dispensable(self.client_left) {
                return Poll::Ready(Err(PumpError::HungUp(error)));
            }
            self.write_error = Some(error);
            return Poll::Ready(Ok(()));
        }
        let taken = match Pin::new(writer).poll_write(cx, filled) {
            Poll::Ready(taken) => taken.map_err(PumpError::Write)?,
            Poll::Pending => 0,
        };
        self.count_written(taken, count);
        if let Some(rest) = filled.get(taken..).filter(|rest| !rest.is_empty()) {
            self.kept = rest.to_vec();
            self.room = MIN_READ;
        } else if filled.len() == room {
            self.room = room * 2;
        }
        Poll::Ready(Ok(()))
    }

    /// Treats a reset as a normal end where the side that reset was done. `None` where this direction must be polled again.
    ///
    /// A TLS peer that is done sends close_notify, then closes its socket. Where the other side's close_notify is unread in that socket, or
    /// arrives later, the peer's kernel resets the connection, with or without a FIN before (git with GnuTLS: half of its tunnels). Some
    /// servers reset it themselves. It is a failure where more than the end of TLS was on its way to the closed side, unless that is a client
    /// that ended TLS and the rest of a small response.
    fn resolve_reset(
        &mut self,
        polled: Poll<Result<(), PumpError>>,
        other: &mut Self,
        reader: Leg,
    ) -> Option<Poll<Result<(), PumpError>>> {
        match polled {
            // An origin that resets instead of answering has failed. A client that has received the origin's whole response has not.
            Poll::Ready(Err(PumpError::Read(error)))
                if is_reset(&error)
                    && (other.turn.is_dispensable(self.has_client_left(reader))
                        || self.is_complete(other, reader)) =>
            {
                other.mark_hung_up(error, self.has_client_left(reader));
                self.ended = true;
                None
            }
            // Remaining bytes for a side that had closed its half are discarded.
            Poll::Ready(Err(PumpError::Write(error))) if is_reset(&error) && other.closed => {
                self.closed = true;
                None
            }
            Poll::Ready(Err(PumpError::Write(error)))
                if is_reset(&error)
                    && self
                        .turn
                        .is_dispensable(other.has_client_left(opposite(reader))) =>
            {
                self.mark_hung_up(error, other.has_client_left(opposite(reader)));
                None
            }
            polled => Some(polled),
        }
    }

    /// True where this direction reads from a client that ended TLS.
    fn has_client_left(&self, reader: Leg) -> bool {
        reader == Leg::Client && self.turn.ends_tls
    }

    /// True where both sides have what they must get from this tunnel, although its `reader` reset the connection.
    fn is_complete(&self, other: &Self, reader: Leg) -> bool {
        match reader {
            Leg::Client => other.closed,
            Leg::Hop | Leg::Origin => self.turn.ends_tls && other.kept.is_empty(),
        }
    }

    fn mark_hung_up(&mut self, error: io::Error, client_left: bool) {
        self.write_error = Some(error);
        self.client_left = client_left;
        self.kept = Vec::new();
        self.unflushed = false;
    }

    /// Differs after anything was read, written or lost.
    fn progress(&self) -> (u64, usize, bool) {
        (self.moved, self.turn.bytes, self.write_error.is_some())
    }

    fn count_written(&mut self, bytes: usize, count: &AtomicU64) {
        self.unflushed |= bytes > 0;
        self.moved += bytes as u64;
        // The watchdog must see these bytes before it lets the tunnel rest.
        count.fetch_add(bytes as u64, Ordering::SeqCst);
    }
}

/// The other end of a tunnel.
fn opposite(leg: Leg) -> Leg {
    match leg {
        Leg::Client => Leg::Origin,
        Leg::Hop | Leg::Origin => Leg::Client,
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
