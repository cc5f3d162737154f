//! The watchdog's checks of a transfer: what they report, and how they end a stalled transfer.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::time::Instant;

use super::{TransferData, TransferHandle, TransferState, WatchedSocket, millis};
use crate::{
    model::{
        Fault, FaultKind, Leg,
        advice::Advice,
        siblings::Sibling,
        stall::{self, Action, Due, Observed, Stall, Verdict, Watchdog},
    },
    track::{
        event::{LateResponse, ResponseAwaited, SmallSegmentsHelped, StallPhase, StallReported},
        redact,
        running::{REST, Watched, tick},
    },
};

impl TransferHandle {
    /// Lets the watchdog monitor the client's socket.
    pub(crate) fn watch_client(&self, socket: WatchedSocket) {
        self.0.state().client = Some(socket);
    }

    /// Sets whether this attempt goes through a hop.
    pub(crate) fn set_through_hop(&self, hop: bool) {
        self.0.state().hop = hop;
    }

    /// Lets the watchdog monitor the socket of this attempt, to the origin or to a hop.
    pub(crate) fn watch_origin(&self, socket: WatchedSocket) {
        self.0.state().origin = Some(socket);
    }

    /// Marks it as an opaque tunnel from here on.
    pub(crate) fn mark_as_tunnel(&self) {
        self.0.state().tunnel = true;
    }

    /// Completes when the transfer must end because of a stall. Never completes where the route only reports stalls.
    pub(crate) async fn stalled(&self) -> Stall {
        loop {
            let notified = self.0.stalled.notified();
            if let Some(stall) = self.0.state().act {
                return stall;
            }
            notified.await;
        }
    }

    /// Reports that the transfer got a response only with small segments.
    pub(crate) fn report_small_segments(&self, max_segment: u32) {
        self.0.ledger.emit(&SmallSegmentsHelped {
            subject: self.subject(),
            max_segment,
        });
    }

    /// True during a stall on which gitferry must act.
    pub(crate) fn is_stalled(&self) -> bool {
        self.0.state().watching.must_act
    }

    /// The number in its log lines.
    pub(crate) fn id(&self) -> u64 {
        self.0.id
    }

    /// The configured action on a stall of this transfer.
    pub(crate) fn stall_action(&self) -> Action {
        self.0.about.stall.action
    }

    /// The stall as a fault. The caller sets whether the request may be repeated.
    pub(crate) fn stall_fault(&self, stall: &Stall) -> Fault {
        let state = self.0.state();
        let mut fault = Fault::new(stall.leg, state.stage, FaultKind::Stalled(stall.verdict));
        if let Some(peer) = state.peer {
            fault = fault.peer(peer);
        }
        let evidence = state
            .watching
            .sample
            .map(|sample| stall::evidence(stall, &sample));
        fault.detail(format!(
            "nothing moved for {:.1} s: {}",
            stall.idle.as_secs_f64(),
            evidence.unwrap_or_default()
        ))
    }

    /// The advice for a stall, with the state of the sibling route.
    pub(super) fn stall_advice(&self, verdict: Verdict) -> Advice {
        let upstream = self.upstream();
        self.0.stall_advice(verdict, upstream.as_deref())
    }

    /// Records a response through the upstream in use.
    pub(crate) fn record_success(&self) {
        if let Some(upstream) = self.upstream() {
            let about = &self.0.about;
            let siblings = self.0.ledger.siblings();
            siblings.record_success(&about.route, about.role, &upstream, Instant::now());
        }
    }
}

impl TransferState {
    /// Checks the transfer once and reports the result. Returns the time of the next check.
    pub(super) fn check(&self, now: Instant) -> Instant {
        let limits = self.about.stall.limits;
        let tick = tick(&limits);
        let (event, awaited, next) = {
            let mut state = self.state();
            if state.closed {
                return now + tick;
            }
            state.watching.leave_out_lost_time(now);
            let counts = self.counters.moved();
            if self.rests() && state.watching.rest.is_unchanged(counts) && !state.is_probed() {
                return now + REST;
            }
            let sample = match state.watching.is_standing_still() {
                true => state.detailed_sample(self),
                false => state.sample(self),
            };
            state.watching.checked_at = Some(now);
            let ahead = self.counters.ahead.load(Ordering::Relaxed);
            let received = counts[1].saturating_add(ahead);
            state.watching.pace.observe(now, counts[0], received);
            state.watching.sample = Some(sample);
            let watch = state
                .watching
                .watch
                .get_or_insert_with(|| Watchdog::new(&sample, &limits, now));
            let observed = watch.observe(&sample, &limits, now);
            let deadline = watch.deadline(&sample, &limits, now);
            let must_act = watch.overdue(&sample, &limits, now);
            let due = watch.idle_time(now).0;
            let nobody_due = sample.tunnel && due == Due::Nobody;
            let slow = state.watching.pace.rates() == (0, 0);
            state.watching.rest.record(counts, nobody_due && slow);
            let event = self.report_stall(&mut state, &observed);
            self.act(&mut state, must_act);
            let awaited = self.awaited(&state, &observed);
            if let Some(event) = &event {
                state.timeline.note_stall(event.timeline_entry());
            }
            let rests = state.watching.rest.at_rest && self.rest(counts);
            let latest = now + if rests { REST } else { tick };
            let soonest = now + Duration::from_millis(1);
            let next = deadline.unwrap_or(latest).min(latest).max(soonest);
            state.watching.next_check = Some(next);
            (event, awaited, next)
        };
        if let Some(event) = awaited {
            self.ledger.emit(&event);
        }
        if let Some(event) = event {
            self.ledger.record_stall(event);
        }
        next
    }

    /// The notice about a response that has not begun but may still come.
    fn awaited(&self, state: &TransferData, observed: &Observed) -> Option<ResponseAwaited> {
        let (idle, late) = match observed {
            Observed::Waiting(idle) => (*idle, None),
            Observed::Late(stall) => (stall.idle, Some(stall)),
            Observed::Quiet
            | Observed::Stalled(_)
            | Observed::GoesOn(_)
            | Observed::Over { .. } => return None,
        };
        let about = &self.about;
        let late = late
            .zip(state.watching.sample)
            .map(|(stall, sample)| LateResponse {
                verdict: stall.verdict,
                leg: stall.leg,
                stage: state.stage,
                role: about.role,
                evidence: stall::evidence(stall, &sample),
            });
        Some(ResponseAwaited {
            subject: self.subject(state),
            idle_ms: millis(idle),
            limit_ms: millis(about.stall.limits.answer_after),
            action: about.stall.action,
            late,
        })
    }

    /// The end of a stall that lasts until its transfer ends.
    pub(super) fn stall_ends(
        &self,
        state: &mut TransferData,
        now: Instant,
    ) -> Option<StallReported> {
        let (verdict, lasted) = state.watching.watch.as_mut()?.unfinished_stall(now)?;
        let sample = state.sample(self);
        let watch = state.watching.watch.as_mut()?;
        let stall = Stall {
            verdict,
            idle: lasted,
            ..state.watching.reported?
        };
        // Bytes may have moved since the last check.
        let phase = match watch.observe(&sample, &self.about.stall.limits, now) {
            Observed::Over { .. } => StallPhase::Over,
            Observed::Quiet
            | Observed::Waiting(_)
            | Observed::Late(_)
            | Observed::Stalled(_)
            | Observed::GoesOn(_) => StallPhase::Ended,
        };
        Some(self.event(state, phase, &stall))
    }

    /// The beginning and end of a stall during which the client disconnected.
    pub(super) fn stall_at_departure(
        &self,
        state: &mut TransferData,
        now: Instant,
    ) -> Option<[StallReported; 2]> {
        // The client's socket is closed by now, so the last check counts where the other side has not moved since.
        let checked_at = state.watching.sample?;
        let side =
            |sample: &stall::Sample| sample.origin.map(|flow| (flow.read, flow.acknowledged()));
        if side(&checked_at) != side(&state.sample(self)) {
            return None;
        }
        let limits = self.about.stall.limits.at_departure();
        state.watching.leave_out_lost_time(now);
        let watch = state.watching.watch.as_mut()?;
        let observed = watch.observe(&checked_at, &limits, now);
        let Observed::Stalled(stall) = observed else {
            return None;
        };
        let began = self.report_stall(state, &observed)?;
        Some([began, self.event(state, StallPhase::Ended, &stall)])
    }

    fn report_stall(&self, state: &mut TransferData, observed: &Observed) -> Option<StallReported> {
        let (phase, stall) = match observed {
            Observed::Quiet | Observed::Waiting(_) | Observed::Late(_) => return None,
            Observed::Stalled(stall) => (StallPhase::Began, *stall),
            Observed::GoesOn(stall) => (StallPhase::GoesOn, *stall),
            Observed::Over { verdict, lasted } => {
                state.act = None;
                let stall = Stall {
                    verdict: *verdict,
                    idle: *lasted,
                    ..state.watching.reported.take()?
                };
                return Some(self.event(state, StallPhase::Over, &stall));
            }
        };
        state.watching.reported = Some(stall);
        if let Some(upstream) = &state.upstream
            && stall.verdict.ending_helps()
        {
            let code = format!("stall/{}", stall.verdict.as_str());
            let (about, siblings) = (&self.about, self.ledger.siblings());
            siblings.record_failure(&about.route, about.role, upstream, &code, Instant::now());
        }
        Some(self.event(state, phase, &stall))
    }

    /// Ends the transfer where it is overdue and the route ends stalls; `idle` is how long nothing moved.
    fn act(&self, state: &mut TransferData, idle: Option<Duration>) {
        state.watching.must_act = idle.is_some();
        if let (Some(idle), Some(reported)) = (idle, state.watching.reported)
            && self.about.stall.action != Action::Report
            && state.act.is_none()
        {
            state.act = Some(Stall { idle, ..reported });
            self.stalled.notify_waiters();
        }
    }

    fn event(&self, state: &TransferData, phase: StallPhase, stall: &Stall) -> StallReported {
        let about = &self.about;
        let sample = state.watching.sample.unwrap_or_else(|| state.sample(self));
        let origin = sample.origin.unwrap_or_default();
        let kernel = match stall.leg {
            Leg::Client => sample.client.kernel,
            Leg::Hop | Leg::Origin => origin.kernel,
        };
        let upstream = state.upstream.as_deref();
        let advice = self.stall_advice(stall.verdict, upstream);
        StallReported {
            phase,
            subject: self.subject(state),
            verdict: stall.verdict,
            leg: stall.leg,
            stage: state.stage,
            due: stall.due,
            idle_ms: millis(stall.idle),
            limit_ms: millis(stall.limit),
            rate: stall.rate,
            role: about.role,
            peer: state.peer,
            attempt: state.attempts,
            up: self.counters.up.load(Ordering::Relaxed),
            down: self.counters.down.load(Ordering::Relaxed),
            written: origin.written,
            acknowledged: origin.reports_acks.then(|| origin.acknowledged()),
            answered: origin.read,
            kernel,
            sibling: self.sibling(upstream).map(|sibling| {
                stall::SiblingText(&sibling, upstream.unwrap_or("direct")).to_string()
            }),
            action: match stall.verdict.ending_helps() {
                true => about.stall.action,
                false => Action::Report,
            },
            evidence: stall::evidence(stall, &sample),
            advice: advice.text,
            remedy: advice.remedy.as_str(),
            at: Instant::now(),
        }
    }

    fn sibling(&self, upstream: Option<&str>) -> Option<Sibling> {
        let about = &self.about;
        let siblings = self.ledger.siblings();
        siblings.sibling_of(&about.route, about.role, upstream?, Instant::now())
    }

    fn stall_advice(&self, verdict: Verdict, upstream: Option<&str>) -> Advice {
        let about = &self.about;
        let sibling = self.sibling(upstream);
        let about = stall::StallContext {
            host: &about.target.host.to_string(),
            route: &about.route,
            upstream: upstream.unwrap_or("direct"),
            max_segment: about.max_segment,
            sibling: sibling.as_ref(),
        };
        let advice = stall::advice(verdict, about);
        Advice {
            text: redact::text(&advice.text),
            ..advice
        }
    }
}
