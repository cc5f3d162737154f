//! The reaction to a response, and to a response that broke off.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Attempts, AttemptsState, Cause, Lesson, Note, Reaction, ResponseHead, policy::RetryDecision,
};
use crate::model::{Fault, FaultKind, Leg, stall::Action};

/// A download gets new attempts when it has received this many bytes since it last got some.
const PROGRESS: u64 = 64 * 1024;

/// On a slow path these bytes are enough, where the attempt lasted this long.
pub(super) const SLOW_PROGRESS: (u64, Duration) = (1024, Duration::from_secs(1));

impl Attempts {
    /// Delivers a response, unless the site is busy or a hop refuses and a repetition costs the client nothing. git-lfs aborts a push at the
    /// first 503 to its batch request, and so does git at `info/refs`.
    pub(super) fn on_response(
        &mut self,
        response: &ResponseHead,
        now: Instant,
        jitter: f64,
    ) -> Reaction {
        let busy = matches!(response.status, 502..=504);
        let limited = response.status == 429;
        let by_hop = response.by_hop.is_some();
        if !busy && !limited && !by_hop {
            return self.deliver(Some(Lesson::Works), now);
        }
        let fault = response.fault();
        let asked = response.retry_after;
        let patient = asked.is_none_or(|wait| wait <= self.policy.backoff_limit);
        let worth_it = patient && (busy || by_hop || asked.is_some());
        let (small, mut tried) = (response.request.is_small(), self.tried());
        if limited {
            // The site limits the user, whatever the upstream.
            tried.upstreams_left = 0;
        }
        let decision = match worth_it && small {
            true => self.policy.decide(&fault, tried, jitter),
            false => RetryDecision::GiveUp,
        };
        match decision {
            RetryDecision::Again { after } => {
                self.wait(now + after.max(asked.unwrap_or_default()), fault)
            }
            RetryDecision::OtherUpstream => self.next_upstream(fault, None),
            RetryDecision::GiveUp if self.progress.is_some() => self.give_up(fault, None),
            // Logged even where no retry is possible: the client may not show the reason.
            RetryDecision::GiveUp if busy || by_hop || worth_it && small => {
                self.deliver(None, now).with_note(Note::Fault(fault))
            }
            RetryDecision::GiveUp => self.deliver(None, now),
        }
    }

    pub(super) fn on_broken_response(
        &mut self,
        fault: Fault,
        (got, resumable): (u64, bool),
        now: Instant,
        jitter: f64,
    ) -> Reaction {
        let stalled = matches!(fault.kind, FaultKind::Stalled(_));
        let blamed = stalled && fault.leg != Leg::Client;
        let wanted = !stalled || self.on_stall == Action::Failover;
        if !resumable || !wanted || fault.leg == Leg::Client {
            // A stall counts against the upstream; a single broken connection does not.
            let lesson = blamed.then(|| (self.at, Lesson::Failed(Cause::of(&fault))));
            return self.give_up(fault, lesson);
        }
        self.renew(got, now);
        self.on_failure(fault.with_unsent(true), now, jitter)
    }

    /// Renews a download's attempts where it made progress.
    pub(super) fn renew(&mut self, got: u64, now: Instant) {
        let progress = self.progress.get_or_insert_default();
        let lasted = match self.state {
            AttemptsState::Delivering { since } => now.saturating_duration_since(since),
            AttemptsState::Connecting | AttemptsState::Sending(_) | AttemptsState::Over => {
                Duration::ZERO
            }
        };
        let (bytes, time) = SLOW_PROGRESS;
        let slowly = lasted >= time && got.saturating_sub(progress.at_break) >= bytes;
        if slowly || got.saturating_sub(progress.at_renewal) >= PROGRESS {
            self.on_this = 1;
            progress.at_renewal = got;
        }
        progress.at_break = got;
    }
}
