//! The policy of one exchange: events in, commands out.
//!
//! Only this module decides whether to try again, on which upstream and after which wait, whether to resume a download, when to give
//! up, and what a circuit learns. `forward` reports what happened ([`Event`]) and carries out the [`Command`] that follows. One state
//! machine serves a request, the rest of a download that broke off, and a tunnel until its origin sends the first byte.
//!
//! Invariants, which `simulation` checks over thousands of scripts:
//!
//! - A request that may have acted is never sent a second time.
//! - Every wait ends within the policy's longest one, and every script ends after a number of attempts that the policy bounds.
//! - A circuit never opens because of a response, the client, or this machine.
//! - Only progress renews the attempts of a download, so its number of bytes bounds the number of attempts.
//! - After the last command no other command follows.

mod event;
pub(crate) mod policy;
mod response;

use std::time::Duration;

use tokio::time::Instant;

use super::{Fault, FaultKind, Leg, Stage, fault::Outlook, stall::Action};
pub(crate) use event::{
    BodyState, Cause, Command, ConnectCommand, ConnectionKind, Event, Lesson, Next, Note, Reaction,
    RequestState, ResponseHead,
};
use policy::{AttemptCounts, RetryDecision, RetryPolicy, suspects_large_segments};

/// An idle connection that fails after it accepted more bytes of an upload than this counts as a fault. Fewer bytes do not prove that
/// it worked: gitferry can write this much before the reset of a peer that closed long ago arrives.
const PASSED_TO_THE_DEAD: u64 = 256 * 1024;
/// The longest wait between two attempts while gitferry waits for an upstream that is down: short, so that it notices soon when the
/// upstream is back.
const PATIENT_WAIT: Duration = Duration::from_secs(1);

/// The position of one exchange in its sequence of upstreams and attempts.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    policy: RetryPolicy,
    on_stall: Action,
    /// The number of upstreams.
    upstreams: usize,
    at: usize,
    /// Attempts on this upstream, and on all upstreams.
    on_this: u32,
    total: u32,
    small_segments: bool,
    /// The upstream and the peer whose failure caused the smaller segments.
    suspect: Option<(usize, Option<Box<str>>)>,
    http1: bool,
    state: AttemptsState,
    progress: Option<DownloadProgress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttemptsState {
    Connecting,
    Sending(ConnectionKind),
    Delivering { since: Instant },
    Over,
}

/// The progress of a response that is being delivered, in bytes passed on to the client.
#[derive(Clone, Copy, Debug, Default)]
struct DownloadProgress {
    /// When the response last broke off.
    at_break: u64,
    /// When its attempts were last renewed.
    at_renewal: u64,
}

impl Attempts {
    /// The initial state.
    pub(crate) fn new(policy: RetryPolicy, on_stall: Action, upstreams: usize) -> Self {
        Self {
            policy,
            on_stall,
            upstreams,
            at: 0,
            on_this: 0,
            total: 0,
            small_segments: false,
            suspect: None,
            http1: false,
            state: AttemptsState::Connecting,
            progress: None,
        }
    }

    /// The first command.
    pub(crate) fn begin(&mut self, connection: ConnectionKind) -> ConnectCommand {
        self.attempt(connection)
    }

    /// The reaction to `event`; `jitter` is a random number from 0 to 1.
    pub(crate) fn on(&mut self, event: Event, now: Instant, jitter: f64) -> Reaction {
        if self.state == AttemptsState::Over {
            return self.after_the_end(event);
        }
        match event {
            Event::Waited => self.connect(),
            Event::Reused => self.send(ConnectionKind::Idle),
            Event::Dialled => self.send(ConnectionKind::New),
            Event::DialFailed(fault) => self.on_failure(fault.with_unsent(true), now, jitter),
            Event::Failed { fault, request } => self.on_send_failure(fault, request, now, jitter),
            Event::Stalled { fault, request } => {
                let again = self.on_stall == Action::Failover && request.may_repeat();
                self.on_failure(fault.with_unsent(again), now, jitter)
            }
            Event::Unusable { fault, request } => {
                self.on_failure(fault.with_unsent(request.may_repeat()), now, jitter)
            }
            Event::Refused(fault) => self.give_up(fault, None),
            Event::Response(response) => self.on_response(&response, now, jitter),
            Event::Spoke => self.deliver(Some(Lesson::Works), now),
            Event::ReplayGone => self.deliver(None, now),
            Event::BrokeOff {
                fault,
                got,
                resumable,
            } => self.on_broken_response(fault, (got, resumable), now, jitter),
            Event::Shutdown(stage) => self.give_up(event::shutdown(stage), None),
        }
    }

    /// The response, or the tunnel, is complete.
    pub(crate) fn complete(&mut self) -> Option<(usize, Lesson)> {
        let delivering = matches!(self.state, AttemptsState::Delivering { .. });
        self.state = AttemptsState::Over;
        delivering.then_some((self.at, Lesson::Complete))
    }

    /// Allows one attempt only: the upstream is known to be dead.
    pub(crate) fn limit_to_one_attempt(&mut self) {
        self.policy.attempts = 1;
    }

    /// True where the exchange may wait for its upstream instead of ending with `fault`: the fault may pass, the upstream is the only one,
    /// and the request may be repeated. Never true once a response is delivered: a download's own progress bounds its attempts.
    pub(crate) fn may_wait_for_upstream(&self, fault: &Fault) -> bool {
        let passing = matches!(
            fault.kind.outlook(),
            Outlook::Passing | Outlook::Slow | Outlook::Doubtful
        );
        let begun = self.progress.is_some();
        self.upstreams == 1 && !begun && fault.unsent && fault.leg != Leg::Client && passing
    }

    /// True where `fault` proves that the only upstream is dead. Resets and refusals by a hop do not prove it: they come and go.
    pub(crate) fn proves_upstream_dead(&self, fault: &Fault) -> bool {
        let dead = match fault.kind.outlook() {
            Outlook::Slow | Outlook::Doubtful => true,
            Outlook::Passing => fault.kind == FaultKind::Unreachable,
            Outlook::Lossy | Outlook::Stuck | Outlook::Lasting | Outlook::Ours => false,
        };
        self.upstreams == 1 && fault.leg != Leg::Client && fault.stage <= Stage::Handshaking && dead
    }

    /// Waits and tries again, or gives up with `fault` where the wait would not end before `until`.
    pub(crate) fn wait_for_upstream(
        &mut self,
        fault: Fault,
        until: Instant,
        now: Instant,
        jitter: f64,
    ) -> Reaction {
        let after = self.policy.wait(self.on_this, jitter).min(PATIENT_WAIT);
        if now + after >= until {
            return self.give_up(fault, None);
        }
        self.wait(now + after, fault)
    }

    /// The index of the upstream in use.
    pub(crate) fn upstream(&self) -> usize {
        self.at
    }

    /// True where attempts use small segments.
    pub(crate) fn small_segments(&self) -> bool {
        self.small_segments
    }

    /// True where the attempt that now works differs from the failed one only in its small segments: same upstream, same `peer`.
    pub(crate) fn small_segments_helped(&self, peer: Option<&str>) -> bool {
        self.suspect
            .as_ref()
            .is_some_and(|(upstream, failed)| *upstream == self.at && failed.as_deref() == peer)
    }

    /// True where an attempt failed in a way that smaller segments may fix.
    pub(crate) fn suspects_large_segments(&self) -> bool {
        self.suspect.is_some()
    }

    /// After a failure, only a new connection shows whether the path works.
    fn connect(&mut self) -> Reaction {
        Reaction::of(Command::Connect(self.attempt(ConnectionKind::New)))
    }

    fn attempt(&mut self, connection: ConnectionKind) -> ConnectCommand {
        self.state = AttemptsState::Connecting;
        self.on_this += 1;
        self.total += 1;
        ConnectCommand {
            upstream: self.at,
            attempt: self.total,
            connection,
            // A spare connection was opened before this exchange, so it shows nothing after a failure.
            spare: self.total == 1,
            small_segments: self.small_segments,
            http1: self.http1,
        }
    }

    fn send(&mut self, connection: ConnectionKind) -> Reaction {
        self.state = AttemptsState::Sending(connection);
        Reaction::of(Command::Send)
    }

    fn on_send_failure(
        &mut self,
        fault: Fault,
        request: RequestState,
        now: Instant,
        jitter: f64,
    ) -> Reaction {
        let idle = self.state == AttemptsState::Sending(ConnectionKind::Idle);
        let hung_up = fault.is_hang_up() && request.passed <= PASSED_TO_THE_DEAD;
        let died = idle && (hung_up || fault.is_stale());
        if died && request.may_repeat() && fault.leg != Leg::Client {
            self.on_this = self.on_this.saturating_sub(1);
            let note = Note::IdleConnectionDied(fault.with_unsent(true));
            return self.connect().with_note(note);
        }
        self.on_failure(fault.with_unsent(request.may_repeat()), now, jitter)
    }

    /// Reacts to a failed attempt; `fault.unsent` is true where another one cannot act twice.
    fn on_failure(&mut self, fault: Fault, now: Instant, jitter: f64) -> Reaction {
        self.http1 |= fault.wants_http1();
        if suspects_large_segments(&fault) && !self.small_segments {
            self.small_segments = true;
            self.suspect = Some((self.at, fault.peer.clone()));
        }
        let tried = self.tried();
        let decision = self.policy.decide(&fault, tried, jitter);
        let lesson = self.lesson(&fault, decision);
        match decision {
            RetryDecision::GiveUp => self.give_up(fault, lesson),
            RetryDecision::Again { after } => self.wait(now + after, fault),
            RetryDecision::OtherUpstream => self.next_upstream(fault, lesson),
        }
    }

    fn tried(&self) -> AttemptCounts {
        AttemptCounts {
            on_this_upstream: self.on_this,
            upstreams_left: self.upstreams.saturating_sub(self.at + 1),
        }
    }

    /// What the circuit of the upstream in use learns of a fault.
    fn lesson(&self, fault: &Fault, decision: RetryDecision) -> Option<(usize, Lesson)> {
        // A mirror that asks for withheld credentials is healthy, and a shortage on this machine is no fault of the path.
        let blameless = matches!(
            fault.kind,
            FaultKind::CredentialsWithheld
                | FaultKind::Local
                | FaultKind::Answered(_)
                // The connection belonged to the previous network.
                | FaultKind::StaleConnection
        );
        let goes_on = matches!(decision, RetryDecision::Again { .. });
        if fault.leg == Leg::Client || blameless || goes_on {
            return None;
        }
        let tries_left = self.on_this < self.policy.attempts;
        let cause = Cause::of(fault);
        Some((
            self.at,
            if !fault.unsent && fault.is_hang_up() && tries_left {
                Lesson::Doubtful(cause)
            } else {
                Lesson::Failed(cause)
            },
        ))
    }

    fn wait(&mut self, until: Instant, fault: Fault) -> Reaction {
        self.state = AttemptsState::Connecting;
        Reaction::of(Command::Wait { until }).with_note(Note::Fault(fault))
    }

    fn next_upstream(&mut self, fault: Fault, lesson: Option<(usize, Lesson)>) -> Reaction {
        self.at += 1;
        self.on_this = 0;
        Reaction {
            lesson,
            ..self.connect().with_note(Note::Fault(fault))
        }
    }

    fn give_up(&mut self, fault: Fault, lesson: Option<(usize, Lesson)>) -> Reaction {
        self.state = AttemptsState::Over;
        Reaction {
            lesson,
            ..Reaction::of(Command::GiveUp(fault))
        }
    }

    /// Delivers the response. Its rest has attempts of its own; the attempt that brought its beginning counts as the first of them.
    fn deliver(&mut self, lesson: Option<Lesson>, now: Instant) -> Reaction {
        if self.progress.is_none() {
            self.progress = Some(DownloadProgress::default());
            self.on_this = 1;
        }
        self.state = AttemptsState::Delivering { since: now };
        Reaction {
            lesson: lesson.map(|lesson| (self.at, lesson)),
            ..Reaction::of(Command::Deliver)
        }
    }

    fn after_the_end(&self, event: Event) -> Reaction {
        let over = || Fault::new(Leg::Client, Stage::Accepted, FaultKind::Local);
        let fault = event.into_fault().unwrap_or_else(over);
        Reaction::of(Command::GiveUp(fault))
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
