//! What follows an answer, and an answer that broke off.

use std::time::Duration;

use tokio::time::Instant;

use super::{Answered, Attempts, Cause, Lesson, Note, Reaction, State, policy::Decision};
use crate::model::{Fault, FaultKind, Leg, stall::Action};

/// So many bytes since the last renewal give a download its attempts back,
const PROGRESS: u64 = 64 * 1024;

/// and so few where an attempt carried them for this long: a slow path.
pub(super) const SLOW_PROGRESS: (u64, Duration) = (1024, Duration::from_secs(1));

impl Attempts {
    /// An answer is passed on, unless it says that the site is busy or a hop refuses, and asking again costs the client nothing: git-lfs
    /// gives a push up at the first 503 to its batch request, and so does git at `info/refs`.
    pub(super) fn answered(&mut self, answer: &Answered, now: Instant, jitter: f64) -> Reaction {
        let busy = matches!(answer.status, 502..=504);
        let limited = answer.status == 429;
        let by_hop = answer.by_hop.is_some();
        if !busy && !limited && !by_hop {
            return self.deliver(Some(Lesson::Works), now);
        }
        let fault = answer.fault();
        let asked = answer.retry_after.filter(|_| answer.status != 502);
        let patient = asked.is_none_or(|wait| wait <= self.policy.backoff_limit);
        let worth_it = patient && (busy || by_hop || asked.is_some());
        let (small, mut tried) = (answer.request.is_small(), self.tried());
        if limited {
            // The limit is the user's, by whichever upstream the request comes.
            tried.upstreams_left = 0;
        }
        let decision = match worth_it && small {
            true => self.policy.decide(&fault, tried, jitter),
            false => Decision::GiveUp,
        };
        match decision {
            Decision::Again { after } => {
                self.wait(now + after.max(asked.unwrap_or_default()), fault)
            }
            Decision::OtherUpstream => self.next_upstream(fault, None),
            Decision::GiveUp if self.progress.is_some() => self.give_up(fault, None),
            // Told also where nothing can be done about it: the client may keep the reason to itself.
            Decision::GiveUp if busy || by_hop || worth_it && small => {
                self.deliver(None, now).noting(Note::Fault(fault))
            }
            Decision::GiveUp => self.deliver(None, now),
        }
    }

    pub(super) fn broke_off(
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
            // A stall is held against the upstream; a connection that breaks off once is not.
            let lesson = blamed.then(|| (self.at, Lesson::Failed(Cause::of(&fault))));
            return self.give_up(fault, lesson);
        }
        self.renew(got, now);
        self.failed(fault.sent(false), now, jitter)
    }

    /// Gives a download its attempts back where it made progress.
    pub(super) fn renew(&mut self, got: u64, now: Instant) {
        let progress = self.progress.get_or_insert_default();
        let lasted = match self.state {
            State::Delivering { since } => now.saturating_duration_since(since),
            State::Connecting | State::Sending(_) | State::Over => Duration::ZERO,
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
