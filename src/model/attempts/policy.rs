//! What follows a fault: the same upstream again, the next one, or the end.
//!
//! A request that may have acted is never repeated. Any other is, as often as its fault promises success:
//!
//! | what went wrong | on this upstream |
//! |---|---|
//! | reset, closed-early, http2 errors, stale-connection, hop-refused or answered 502, 503, 504 | again, until the attempts are used up: such paths fail now and then |
//! | unreachable, socks-refused 6 (time to live) | the same: routes come back |
//! | timed-out | the same, but where another upstream waits only once more in a handshake, with smaller segments, and not again before: each try costs its whole deadline; through one hop once more |
//! | stalled-path-mtu | once more, with smaller segments |
//! | stalled by another verdict | not again; once more where no other upstream waits |
//! | refused, name-unknown, target-refused, socks-refused 1, 3, 4, 5 | once more: a server that restarts, a resolver that was busy |
//! | certificates, alerts, no-common-tls, bad-answer | not again; but it may be an intercepting hop that says so: the next upstream |
//! | hop-authentication, credentials-withheld, any other hop-refused or socks-refused | not again: the hop, or the mirror, means it; the next upstream |
//! | everything on the client's leg, and what gitferry itself decided or ran out of | the end |
//!
//! When an upstream has had its tries, the next one follows at once.

use std::time::Duration;

use crate::model::{Fault, FaultKind, Leg, Stage, fault::Outlook, stall::Verdict};

/// How patient a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// Tries per upstream before the next one.
    pub attempts: u32,
    /// The first wait between two tries; it doubles.
    pub backoff: Duration,
    /// The longest wait, a `Retry-After` that is honoured included.
    pub backoff_limit: Duration,
}

/// How much was tried when a fault came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttemptCounts {
    /// Attempts on this upstream, the one that just failed included.
    pub on_this_upstream: u32,
    /// Upstreams of the route that were not tried yet.
    pub upstreams_left: usize,
}

/// What to do after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The same upstream again, after a wait.
    Again {
        /// The wait.
        after: Duration,
    },
    /// The next upstream of the route, at once.
    OtherUpstream,
    /// The client gets an error.
    GiveUp,
}

impl RetryPolicy {
    /// At least one attempt; waits from `backoff`, doubling, to `backoff_limit`.
    pub(crate) fn new(attempts: u32, backoff: Duration, backoff_limit: Duration) -> Self {
        Self {
            attempts: attempts.max(1),
            backoff,
            backoff_limit,
        }
    }

    /// What comes after `fault`; `jitter`, from 0 to 1, is the caller's random number.
    pub(crate) fn decide(&self, fault: &Fault, tried: AttemptCounts, jitter: f64) -> Decision {
        if !fault.unsent || fault.leg == Leg::Client {
            return Decision::GiveUp;
        }
        let tries = match fault.kind.outlook() {
            Outlook::Passing => self.attempts,
            Outlook::Slow if tried.upstreams_left > 0 => match suspects_large_segments(fault) {
                true => self.attempts.min(2),
                false => 1,
            },
            // A hop that kept silent twice will keep silent, and each time costs a whole deadline.
            Outlook::Slow if fault.leg == Leg::Hop => self.attempts.min(2),
            Outlook::Slow => self.attempts,
            Outlook::Doubtful => self.attempts.min(2),
            // Its second try is made with smaller segments.
            Outlook::Lossy => self.attempts.min(2),
            Outlook::Stuck if tried.upstreams_left > 0 => 1,
            Outlook::Stuck => self.attempts.min(2),
            Outlook::Lasting => 1,
            Outlook::Ours => return Decision::GiveUp,
        };
        if tried.on_this_upstream < tries {
            Decision::Again {
                after: self.wait(tried.on_this_upstream, jitter),
            }
        } else if tried.upstreams_left > 0 {
            Decision::OtherUpstream
        } else {
            Decision::GiveUp
        }
    }

    /// Between half of the doubled wait and all of it: never at once (what resets one handshake resets the next one in the same
    /// moment too), and never in step with the other transfers that failed together.
    pub(super) fn wait(&self, tried: u32, jitter: f64) -> Duration {
        let doubled = 1_u32
            .checked_shl(tried.saturating_sub(1))
            .and_then(|factor| self.backoff.checked_mul(factor))
            .unwrap_or(self.backoff_limit)
            .min(self.backoff_limit);
        let jitter = if jitter.is_finite() {
            jitter.clamp(0.0, 1.0)
        } else {
            1.0
        };
        doubled.mul_f64(0.5 + jitter / 2.0)
    }
}

/// True where the next attempt is to be made with small segments: silence after a ClientHello, which fills the largest one, or large
/// segments that are lost. (microsoft/WSL#5346 was cured by an MTU of 1350.)
pub(crate) fn suspects_large_segments(fault: &Fault) -> bool {
    match (&fault.kind, fault.stage) {
        (FaultKind::TimedOut, Stage::Handshaking) => fault.leg != Leg::Client,
        (FaultKind::Stalled(verdict), _) => *verdict == Verdict::PathMtu,
        (_, _) => false,
    }
}

/// A segment that gets through tunnels within tunnels: IPv6 promises packets of 1280 bytes (RFC 8200, section 5), less two headers.
pub(crate) const SMALL_SEGMENT: u32 = 1200;

#[cfg(test)]
pub(in crate::model::attempts) mod tests;
