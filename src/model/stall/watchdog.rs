//! The watchdog of one transfer: whose turn it is, since when its count stands still, and what was reported of it already.

mod limit;
mod turn;

use std::time::Duration;

use tokio::time::Instant;

use super::{Due, Observed, Sample, Stall, StallLimits, Verdict, rules};
use crate::model::{Stage, rate::Meter};
use limit::{awaits_head, late_after, limit};
use turn::mark;

/// The memory of one transfer's watchdog.
#[derive(Debug)]
pub(crate) struct Watch {
    due: Due,
    attempt: u32,
    stage: Stage,
    mark: u64,
    since: Instant,
    /// Who spoke last in a tunnel, once somebody has: true for the client.
    client_last: Option<bool>,
    seen: (u64, u64),
    meter: Meter,
    reported: Option<ReportedStall>,
    /// What was reported of a response that does not begin, before it is a stall.
    awaited: AnswerNotice,
}

/// The notices about a response that does not begin, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum AnswerNotice {
    Nothing,
    Waiting,
    Late,
}

#[derive(Clone, Copy, Debug)]
struct ReportedStall {
    verdict: Verdict,
    since: Instant,
    again_at: Duration,
}

impl Watch {
    /// Begins to watch at `now`.
    pub(crate) fn new(sample: &Sample, limits: &StallLimits, now: Instant) -> Self {
        let mut watch = Self {
            due: Due::Nobody,
            attempt: sample.attempt,
            stage: sample.stage,
            mark: 0,
            since: now,
            client_last: None,
            seen: (0, 0),
            meter: Meter::new(limits.floor_over),
            reported: None,
            awaited: AnswerNotice::Nothing,
        };
        watch.turn(sample);
        watch.due = watch.due_of(sample);
        watch.mark = mark(watch.due, sample);
        watch.meter.restart(now, watch.mark);
        watch
    }

    /// Looks at the transfer at `now`.
    pub(crate) fn observe(
        &mut self,
        sample: &Sample,
        limits: &StallLimits,
        now: Instant,
    ) -> Observed {
        self.turn(sample);
        let due = self.due_of(sample);
        let mark = mark(due, sample);
        let same = due == self.due && sample.attempt == self.attempt && sample.stage == self.stage;
        let moved = !same || mark > self.mark;
        if moved {
            self.since = now;
        }
        let rate = self.rate(same, due, mark, limits, now);
        (self.due, self.attempt, self.stage, self.mark) = (due, sample.attempt, sample.stage, mark);
        let idle = now.saturating_duration_since(self.since);
        if !same {
            self.awaited = AnswerNotice::Nothing;
        }
        let limit = limit(due, sample, limits);
        let stall = if limit.is_some_and(|limit| idle >= limit) {
            rules::judge(due, sample, idle, limit.unwrap_or_default(), None)
        } else if let Some(rate) = rate {
            rules::judge(
                due,
                sample,
                limits.floor_over,
                limits.floor_over,
                Some(rate),
            )
        } else {
            None
        };
        match self.tell(stall, moved, now) {
            Observed::Quiet => self.notice(sample, limits, idle),
            observed => observed,
        }
    }

    /// What is reported of a response that does not begin and may still come: after as long as nothing may move elsewhere, and a
    /// quarter later with the verdict where one was due by now.
    fn notice(&mut self, sample: &Sample, limits: &StallLimits, idle: Duration) -> Observed {
        let waits = awaits_head(self.due, sample) && !limits.after.is_zero();
        if !waits || self.reported.is_some() || idle < limits.after {
            return Observed::Quiet;
        }
        let late_after = late_after(limits);
        if self.awaited < AnswerNotice::Waiting {
            self.awaited = AnswerNotice::Waiting;
            Observed::Waiting(idle)
        } else if self.awaited < AnswerNotice::Late && sample.prompt && idle >= late_after {
            self.awaited = AnswerNotice::Late;
            let stall = rules::judge(self.due, sample, idle, late_after, None);
            stall.map_or(Observed::Quiet, Observed::Late)
        } else {
            Observed::Quiet
        }
    }

    /// For how long nothing moved, where the stall that was reported is to be acted upon: a connection that died under a response that does not begin
    /// is reported early, and has until `answer_after`.
    pub(crate) fn acts(
        &self,
        sample: &Sample,
        limits: &StallLimits,
        now: Instant,
    ) -> Option<Duration> {
        let reported = self.reported.filter(|reported| reported.verdict.acts())?;
        let patience = if awaits_head(self.due, sample) {
            limits.answer_after
        } else {
            Duration::ZERO
        };
        let idle = now.saturating_duration_since(reported.since);
        (idle >= patience).then_some(idle)
    }

    /// When the next look is worth its while, if nothing moves until then.
    pub(crate) fn deadline(
        &self,
        sample: &Sample,
        limits: &StallLimits,
        now: Instant,
    ) -> Option<Instant> {
        let limit = limit(self.due, sample, limits)?;
        let idle = now.saturating_duration_since(self.since);
        let reported = self.reported.map(|reported| reported.again_at.max(limit));
        let waits = awaits_head(self.due, sample);
        // Those that are still to come.
        [
            Some(reported.unwrap_or(limit)),
            waits.then_some(limits.after),
            waits.then(|| late_after(limits)),
            waits.then_some(limits.answer_after),
        ]
        .into_iter()
        .flatten()
        .filter(|wait| *wait > idle)
        .min()
        .map(|wait| self.since + wait)
    }

    /// Since when nothing has moved, and whose turn it is.
    pub(crate) fn idle(&self, now: Instant) -> (Due, Duration) {
        (self.due, now.saturating_duration_since(self.since))
    }

    /// The verdict in force.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.reported.map(|reported| reported.verdict)
    }

    /// The stall that was reported and has not ended, at the transfer's end.
    pub(crate) fn ends(&self, now: Instant) -> Option<(Verdict, Duration)> {
        let reported = self.reported?;
        Some((
            reported.verdict,
            now.saturating_duration_since(reported.since),
        ))
    }

    /// Bytes per second where they are below the floor and it is not the client that is slow.
    fn rate(
        &mut self,
        same: bool,
        due: Due,
        mark: u64,
        limits: &StallLimits,
        now: Instant,
    ) -> Option<u64> {
        let slow = match due {
            Due::OriginReads | Due::OriginAnswers => true,
            Due::Nobody | Due::Connection | Due::ClientSends | Due::ClientReads => false,
        };
        if !same || !slow {
            self.meter.restart(now, mark);
            return None;
        }
        let rate = self.meter.observe(now, mark)?;
        (limits.floor > 0 && rate > 0 && rate < limits.floor).then_some(rate)
    }

    fn tell(&mut self, stall: Option<Stall>, moved: bool, now: Instant) -> Observed {
        let slow = |verdict| verdict == Verdict::Throttled;
        match (stall, self.reported) {
            // What was slow and now stands still is a stall of its own.
            (Some(stall), reported)
                if reported
                    .is_none_or(|reported| slow(reported.verdict) && !slow(stall.verdict)) =>
            {
                self.reported = Some(ReportedStall {
                    verdict: stall.verdict,
                    since: now.checked_sub(stall.idle).unwrap_or(now),
                    again_at: stall.idle.max(stall.limit) * 2,
                });
                Observed::Stalled(stall)
            }
            (Some(stall), reported) => {
                let Some(reported) = reported else {
                    return Observed::Quiet;
                };
                let whole = now.saturating_duration_since(reported.since);
                if whole < reported.again_at {
                    return Observed::Quiet;
                }
                // Evidence grows: the verdict may have become another one.
                self.reported = Some(ReportedStall {
                    verdict: stall.verdict,
                    again_at: reported.again_at * 2,
                    ..reported
                });
                Observed::GoesOn(Stall {
                    idle: whole,
                    ..stall
                })
            }
            (None, Some(reported)) if moved || !slow(reported.verdict) => {
                self.reported = None;
                Observed::Over {
                    verdict: reported.verdict,
                    lasted: now.saturating_duration_since(reported.since),
                }
            }
            (None, _) => Observed::Quiet,
        }
    }
}
