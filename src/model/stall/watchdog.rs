//! The watchdog of one transfer: which party is due, since when its count has not changed, and what was already reported.

mod limit;
mod turn;

use std::time::Duration;

use tokio::time::Instant;

use super::{Due, Observed, Sample, Stall, StallLimits, Verdict, rules};
use crate::model::{Stage, rate::Meter};
use limit::{awaits_head, late_after, limit};
use turn::progress_count;

/// The state of one transfer's watchdog.
#[derive(Debug)]
pub(crate) struct Watchdog {
    due: Due,
    attempt: u32,
    stage: Stage,
    mark: u64,
    since: Instant,
    /// Which side of a tunnel spoke last: true for the client; `None` before the first byte.
    client_last: Option<bool>,
    seen: (u64, u64),
    meter: Meter,
    reported: Option<ReportedStall>,
    /// The notice reported so far about a response that does not begin and is not yet a stall.
    awaited: ResponseNotice,
}

/// The notices about a response that does not begin, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ResponseNotice {
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

impl Watchdog {
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
            awaited: ResponseNotice::Nothing,
        };
        watch.record_speaker(sample);
        watch.due = watch.due_of(sample);
        watch.mark = progress_count(watch.due, sample);
        watch.meter.restart(now, watch.mark);
        watch
    }

    /// Checks the transfer at `now`.
    pub(crate) fn observe(
        &mut self,
        sample: &Sample,
        limits: &StallLimits,
        now: Instant,
    ) -> Observed {
        self.record_speaker(sample);
        let due = self.due_of(sample);
        let mark = progress_count(due, sample);
        let same = due == self.due && sample.attempt == self.attempt && sample.stage == self.stage;
        let moved = !same || mark > self.mark;
        if moved {
            self.since = now;
        }
        let rate = self.rate(same, due, mark, limits, now);
        (self.due, self.attempt, self.stage, self.mark) = (due, sample.attempt, sample.stage, mark);
        let idle = now.saturating_duration_since(self.since);
        if !same {
            self.awaited = ResponseNotice::Nothing;
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
        match self.report(stall, moved, now) {
            Observed::Quiet => self.notice(sample, limits, idle),
            observed => observed,
        }
    }

    /// Does not count the last `lost` until `now`, in which this process did not run: nobody could move anything.
    pub(crate) fn not_counting(&mut self, lost: Duration, now: Instant) {
        self.since = (self.since + lost).min(now);
        if let Some(reported) = &mut self.reported {
            reported.since = (reported.since + lost).min(now);
        }
        self.meter.restart(now, self.mark);
    }

    /// The notice about a response that does not begin but may still come: the first after `after`, the second, with the verdict, after
    /// another quarter of `after`.
    fn notice(&mut self, sample: &Sample, limits: &StallLimits, idle: Duration) -> Observed {
        let waits = awaits_head(self.due, sample) && !limits.after.is_zero();
        if !waits || self.reported.is_some() || idle < limits.after {
            return Observed::Quiet;
        }
        let late_after = late_after(limits);
        if self.awaited < ResponseNotice::Waiting {
            self.awaited = ResponseNotice::Waiting;
            Observed::Waiting(idle)
        } else if self.awaited < ResponseNotice::Late && sample.prompt && idle >= late_after {
            self.awaited = ResponseNotice::Late;
            let stall = rules::judge(self.due, sample, idle, late_after, None);
            stall.map_or(Observed::Quiet, Observed::Late)
        } else {
            Observed::Quiet
        }
    }

    /// How long nothing moved, if gitferry must act on the reported stall now. A connection that died before its response began is reported
    /// early, but gitferry acts on it only at `answer_after`.
    pub(crate) fn overdue(
        &self,
        sample: &Sample,
        limits: &StallLimits,
        now: Instant,
    ) -> Option<Duration> {
        let reported = self
            .reported
            .filter(|reported| reported.verdict.ending_helps())?;
        let patience = if awaits_head(self.due, sample) {
            limits.answer_after
        } else {
            Duration::ZERO
        };
        let idle = now.saturating_duration_since(reported.since);
        (idle >= patience).then_some(idle)
    }

    /// The time of the next check, if nothing moves until then.
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
        // The limits that are not reached yet.
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

    /// How long nothing has moved, and which party is due.
    pub(crate) fn idle_time(&self, now: Instant) -> (Due, Duration) {
        (self.due, now.saturating_duration_since(self.since))
    }

    /// The current verdict.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.reported.map(|reported| reported.verdict)
    }

    /// The reported stall that is not over when the transfer ends, and its duration.
    pub(crate) fn unfinished_stall(&self, now: Instant) -> Option<(Verdict, Duration)> {
        let reported = self.reported?;
        Some((
            reported.verdict,
            now.saturating_duration_since(reported.since),
        ))
    }

    /// The rate in bytes per second, where it is below the floor and the client is not the cause.
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

    fn report(&mut self, stall: Option<Stall>, moved: bool, now: Instant) -> Observed {
        let slow = |verdict| verdict == Verdict::Throttled;
        match (stall, self.reported) {
            // A slow transfer that now stands still is a separate stall.
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
                // With more evidence the verdict may change.
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
