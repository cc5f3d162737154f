//! The events of a running transfer: faults with their advice, and what gitferry does about them.

use std::{ops::Deref, sync::atomic::Ordering};

use tokio::time::Instant;

use super::{TransferHandle, millis};
use crate::{
    io::TcpMonitor,
    model::{
        Fault, FaultKind, Leg, Stage,
        advice::{Advice, AdviceContext},
        attempts::Next,
    },
    track::{
        event::{FaultOccurred, ReplayGivenUp, ResponseNotRewritten, Subject, UnservedLinks, line},
        redact,
        timeline::{FaultNote, Segment},
    },
};

/// A logged fault after which no further attempt follows. [`TransferHandle::give_up`] creates it.
#[derive(Debug)]
pub(crate) struct FinalFault(Fault);

impl Deref for FinalFault {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.0
    }
}

impl FinalFault {
    /// The fault, for an error's source.
    pub(crate) fn into_fault(self) -> Fault {
        self.0
    }
}

impl TransferHandle {
    /// The advice for a fault of this transfer.
    pub(crate) fn advice(&self, fault: &Fault) -> Option<Advice> {
        if let FaultKind::Stalled(verdict) = fault.kind {
            return Some(self.stall_advice(verdict));
        }
        let about = &self.0.about;
        let upstream = self.upstream();
        fault.advice(AdviceContext {
            host: &about.target.host.to_string(),
            port: about.target.port,
            route: &about.route,
            upstream: upstream.as_deref().unwrap_or("direct"),
            max_segment: about.max_segment,
        })
    }

    /// The common fields of its events.
    pub(super) fn subject(&self) -> Subject {
        self.0.subject(&self.0.state())
    }

    /// Reports that an upload can no longer be sent again. It continues.
    pub(crate) fn report_replay_given_up(&self, reason: &str) {
        self.0.ledger.emit(&ReplayGivenUp {
            subject: self.subject(),
            reason: reason.to_owned(),
        });
    }

    /// Logs that a pooled connection ended before a response; the request is sent again.
    pub(crate) fn log_idle_connection_death(&self, fault: &Fault) {
        let (code, peer) = (fault.code(), fault.peer.as_deref().map(redact::text));
        let subject = &self.subject();
        if fault.is_stale() {
            // The user waited for seconds; this line says why.
            line!(
                info,
                subject,
                "idle connection died",
                reused = true,
                code,
                peer
            );
        } else {
            line!(
                debug,
                subject,
                "idle connection died",
                reused = true,
                code,
                peer
            );
        }
    }

    /// Logs that a download continues over up to this many connections.
    pub(crate) fn log_segments_begin(&self, connections: usize) {
        line!(
            debug,
            &self.subject(),
            "download in segments",
            connections = connections
        );
    }

    /// Logs that a download in segments continues over its first connection only.
    pub(crate) fn log_segments_end(&self, why: &str) {
        line!(
            debug,
            &self.subject(),
            "segments ended",
            why = redact::text(why)
        );
    }

    /// Logs that a range of a download in segments is incomplete; the missing part is fetched again.
    pub(crate) fn log_segment_failure(&self, why: &str) {
        line!(
            debug,
            &self.subject(),
            "segment failed",
            why = redact::text(why)
        );
    }

    /// Sets the connections that fetch later ranges of a download.
    pub(crate) fn set_segments(&self, sockets: Vec<TcpMonitor>) {
        let mut state = self.0.state();
        if !state.closed {
            state.segments = sockets;
        }
    }

    /// Records that such a connection has ended.
    pub(crate) fn note_segment_end(&self, segment: Segment) {
        let mut state = self.0.state();
        if !state.closed {
            state.timeline.note_segment(segment);
        }
    }

    /// Reports that a response whose URLs the client follows could not be rewritten. It is passed on unchanged.
    pub(crate) fn report_unrewritten(&self, rewrite: &'static str, why: &str) {
        self.0.ledger.emit(&ResponseNotRewritten {
            subject: self.subject(),
            rewrite,
            cause: redact::text(why),
        });
    }

    /// Reports that a response on the reverse front links to hosts that are not served there.
    pub(crate) fn report_unserved_links(&self, hosts: &[Box<str>]) {
        self.0.ledger.emit(&UnservedLinks {
            subject: self.subject(),
            to: hosts.iter().map(|host| redact::text(host)).collect(),
        });
    }

    /// Reports a fault. A disconnect of the client (Ctrl-C) is no failure: only the closing line reports it.
    pub(crate) fn report_fault(&self, fault: &Fault, next: &Next) {
        if fault.kind == FaultKind::Gone {
            return;
        }
        let event = self.fault_event(fault, next);
        self.emit_fault(event, next);
    }

    /// Reports a further fault of an upstream that gitferry waits for; its first fault was reported.
    pub(crate) fn report_repeated_fault(&self, fault: &Fault, next: &Next) {
        let repeated = FaultOccurred {
            repeated: true,
            ..self.fault_event(fault, next)
        };
        self.emit_fault(repeated, next);
    }

    fn fault_event(&self, fault: &Fault, next: &Next) -> FaultOccurred {
        let (advice, remedy) = match self.advice(fault) {
            Some(advice) => (Some(advice.text), Some(advice.remedy.as_str())),
            None => (None, None),
        };
        let (subject, attempt, advised) = {
            let mut state = self.0.state();
            let rescue = self.rescue(fault, next);
            state.timeline.note_rescue(next, rescue);
            let advised = state.advised == advice;
            state.advised.clone_from(&advice);
            (self.0.subject(&state), state.attempts, advised)
        };
        let (next_step, wait_ms, next_upstream) = match next {
            Next::Again { after } => ("again", Some(millis(*after)), None),
            Next::OtherUpstream { label } => ("next-upstream", None, Some(label.to_string())),
            Next::GiveUp => ("give-up", None, None),
        };
        FaultOccurred {
            subject,
            code: fault.code(),
            leg: fault.leg,
            stage: fault.stage,
            kind: fault.kind.as_str().into_owned(),
            peer: fault.peer.as_deref().map(redact::text),
            attempt,
            elapsed_ms: millis(self.0.begun.elapsed()),
            next: next_step,
            wait_ms,
            next_upstream,
            rescue: self.rescue(fault, next),
            cause: redact::text(&fault.chain()),
            advice,
            remedy,
            advised,
            repeated: false,
            at: Instant::now(),
        }
    }

    fn emit_fault(&self, event: FaultOccurred, next: &Next) {
        if let (Some(upstream), true) = (&event.subject.upstream, event.leg != Leg::Client) {
            let (siblings, now) = (self.0.ledger.siblings(), Instant::now());
            let about = &self.0.about;
            siblings.record_failure(&about.route, about.role, upstream, &event.code, now);
        }
        self.0.state().timeline.note_fault(FaultNote {
            code: event.code.clone(),
            at_ms: event.elapsed_ms,
            cause: event.cause.clone(),
            next: described(next),
            advice: event.advice.clone(),
        });
        self.0.ledger.record_fault(event);
    }

    /// Logs a fault after which no further attempt follows.
    pub(crate) fn give_up(&self, fault: Fault) -> FinalFault {
        self.report_fault(&fault, &Next::GiveUp);
        FinalFault(fault)
    }

    /// How the transfer continues if that takes more than another attempt: `replay` sends the request again, `resume` requests the rest of the
    /// response.
    fn rescue(&self, fault: &Fault, next: &Next) -> Option<&'static str> {
        let sent = || self.counters().up.load(Ordering::Relaxed) > 0;
        match (next, fault.stage) {
            (Next::GiveUp, _) => None,
            (_, Stage::ReceivingBody) => Some("resume"),
            (_, Stage::SendingHead | Stage::SendingBody | Stage::AwaitingHead) => {
                sent().then_some("replay")
            }
            (
                _,
                Stage::Accepted
                | Stage::Queued
                | Stage::Resolving
                | Stage::Connecting
                | Stage::Greeting
                | Stage::Handshaking,
            ) => None,
        }
    }
}

/// The reaction to a fault, for people.
fn described(next: &Next) -> String {
    match next {
        Next::Again { after } => format!("tries again in {} ms", after.as_millis()),
        Next::OtherUpstream { label } => format!("next upstream: {label}"),
        Next::GiveUp => "gives up".into(),
    }
}
