//! The reaction to a fault: the same upstream again, the next one, or the end.
//!
//! A request that may have acted is never repeated. Any other request is repeated as the kind of its fault permits:
//!
//! | what went wrong | on this upstream |
//! |---|---|
//! | reset, closed-early, http2 errors, stale-connection, hop-refused or answered 502, 503, 504 | again, until the attempts are used up |
//! | unreachable, socks-refused 6 (time to live) | again, until the attempts are used up: routes come back |
//! | answered 429 with `Retry-After` up to `backoff_limit` | again after that time, until the attempts are used up; never the next upstream: the limit is the user's |
//! | timed-out, another upstream is left | once more in a TLS handshake, with smaller segments; in any other stage not again: each try costs a whole deadline |
//! | timed-out on the hop's leg, no other upstream is left | once more: a hop that was silent twice stays silent |
//! | timed-out on the origin's leg, no other upstream is left | again, until the attempts are used up |
//! | stalled-path-mtu | once more, with smaller segments |
//! | stalled by another verdict | not again; once more where no other upstream is left |
//! | refused, name-unknown, target-refused, socks-refused 1, 3, 4, 5 | once more: the server may be restarting, or the resolver busy |
//! | certificates, alerts, no-common-tls, bad-answer | not again; the next upstream, because an intercepting hop may be the cause |
//! | hop-authentication, credentials-withheld, any other hop-refused or socks-refused | not again: the hop or mirror decided so; the next upstream |
//! | everything on the client's leg, gitferry's own decisions and shortages | the end |
//!
//! When the tries of an upstream are used up, the next one follows at once; after the last one the client gets an error. Only small requests
//! (without a body, or with one held in memory) are repeated after a response.

use std::time::Duration;

use crate::model::{Fault, FaultKind, Leg, Stage, fault::Outlook, stall::Verdict};

/// The retry settings of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RetryPolicy {
    /// Tries per upstream before the next one.
    pub attempts: u32,
    /// The first wait between two tries; it doubles.
    pub backoff: Duration,
    /// The longest wait between two tries; it also limits a `Retry-After`.
    pub backoff_limit: Duration,
}

/// The attempts made before a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttemptCounts {
    /// Attempts on this upstream, including the one that just failed.
    pub on_this_upstream: u32,
    /// Upstreams of the route that were not tried yet.
    pub upstreams_left: usize,
}

/// What to do after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryDecision {
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

    /// The decision after `fault`; `jitter` is a random number from 0 to 1.
    pub(crate) fn decide(&self, fault: &Fault, tried: AttemptCounts, jitter: f64) -> RetryDecision {
        if !fault.unsent || fault.leg == Leg::Client {
            return RetryDecision::GiveUp;
        }
        let tries = match fault.kind.outlook() {
            Outlook::Passing => self.attempts,
            Outlook::Slow if tried.upstreams_left > 0 => match suspects_large_segments(fault) {
                true => self.attempts.min(2),
                false => 1,
            },
            Outlook::Slow if fault.leg == Leg::Hop => self.attempts.min(2),
            Outlook::Slow => self.attempts,
            Outlook::Stuck if tried.upstreams_left > 0 => 1,
            Outlook::Doubtful | Outlook::Lossy | Outlook::Stuck => self.attempts.min(2),
            Outlook::Lasting => 1,
            Outlook::Ours => return RetryDecision::GiveUp,
        };
        if tried.on_this_upstream < tries {
            RetryDecision::Again {
                after: self.wait(tried.on_this_upstream, jitter),
            }
        } else if tried.upstreams_left > 0 {
            RetryDecision::OtherUpstream
        } else {
            RetryDecision::GiveUp
        }
    }

    /// A random wait between half and all of `min(backoff * 2^(tried - 1), backoff_limit)`. Never zero: a middlebox that resets one
    /// handshake also resets one that follows at once. The random part keeps transfers that failed together from retrying together.
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

/// True where the next attempt must use small segments: the peer was silent after a ClientHello, which fills the largest segment, or
/// the path loses large segments. (In microsoft/WSL#5346 an MTU of 1350 solved it.)
pub(crate) fn suspects_large_segments(fault: &Fault) -> bool {
    match (&fault.kind, fault.stage) {
        (FaultKind::TimedOut, Stage::Handshaking) => fault.leg != Leg::Client,
        (FaultKind::Stalled(verdict), _) => *verdict == Verdict::PathMtu,
        (_, _) => false,
    }
}

#[cfg(test)]
pub(in crate::model::attempts) mod tests;
