//! What is told of a transfer while it runs: faults, with their advice, and what was done about them.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{Outcome, Transfer, millis};
use crate::{
    model::{Fault, FaultKind, Leg, Stage, Target, advice::Context, attempts::Next},
    track::{
        event::{AnswerLedAway, AnswerLeft, FaultOccurred},
        redact,
    },
};

impl Transfer {
    /// The advice for a fault of this transfer.
    pub(crate) fn advice(&self, fault: &Fault) -> Option<String> {
        if let FaultKind::Stalled(verdict) = fault.kind {
            return Some(self.stall_advice(verdict));
        }
        let about = &self.0.about;
        let upstream = self.upstream();
        fault.advice(Context {
            host: &about.target.host.to_string(),
            port: about.target.port,
            route: &about.route,
            upstream: upstream.as_deref().unwrap_or("direct"),
        })
    }

    /// An upload goes on, but can no longer be sent again.
    pub(crate) fn replay_given_up(&self, reason: &str) {
        let about = &self.0.about;
        tracing::info!(
            id = self.0.id,
            host = %about.target.host,
            route = %about.route,
            reason,
            "upload is no longer kept"
        );
    }

    /// A pooled connection ended before it answered; the request goes out again.
    pub(crate) fn idle_connection_died(&self, fault: &Fault) {
        tracing::debug!(
            id = self.0.id,
            code = fault.code(),
            peer = fault.peer.as_deref().map(redact::text),
            "idle connection died"
        );
    }

    /// An answer whose URLs a client follows could not be rewritten; it goes on as it came.
    pub(crate) fn left_as_it_came(&self, rewrite: &'static str, why: &str) {
        self.0.registry.left(&AnswerLeft {
            id: self.0.id,
            host: self.0.about.target.host.to_string(),
            route: self.0.about.route.to_string(),
            rewrite,
            cause: redact::text(why),
        });
    }

    /// An answer on the reverse front points to hosts that are not served there.
    pub(crate) fn leads_away(&self, targets: &[Target]) {
        self.0.registry.led_away(&AnswerLedAway {
            id: self.0.id,
            host: self.0.about.target.host.to_string(),
            route: self.0.about.route.to_string(),
            to: targets.iter().map(ToString::to_string).collect(),
        });
    }

    /// Writes the fault's event and counts it.
    pub(crate) fn fault(&self, fault: &Fault, next: &Next) {
        let advice = self.advice(fault);
        let about = &self.0.about;
        let (attempts, upstream, circuit, advised) = {
            let mut state = self.0.state();
            let circuit = state.circuit.as_deref().map(ToOwned::to_owned);
            let advised = state.advised == advice;
            state.advised.clone_from(&advice);
            (state.attempts, state.upstream.clone(), circuit, advised)
        };
        let event = FaultOccurred {
            id: self.0.id,
            code: fault.code(),
            leg: fault.leg,
            stage: fault.stage,
            kind: fault.kind.as_str().into_owned(),
            peer: fault.peer.as_deref().map(redact::text),
            host: about.target.host.to_string(),
            port: about.target.port,
            route: about.route.to_string(),
            upstream: upstream.map(Into::into),
            attempt: attempts,
            elapsed_ms: millis(self.0.begun.elapsed()),
            next: match next {
                Next::Again { after } => format!("again in {} ms", after.as_millis()),
                Next::OtherUpstream { label } => format!("next upstream {label}"),
                Next::GiveUp => "give up".into(),
            },
            circuit,
            rescue: self.rescue(fault, next),
            cause: redact::text(&fault.chain()),
            advice,
            advised,
            at: Instant::now(),
        };
        if let (Some(upstream), true) = (&event.upstream, fault.leg != Leg::Client) {
            let (siblings, now) = (self.0.registry.siblings(), Instant::now());
            siblings.failed(&about.route, about.role, upstream, &event.code, now);
        }
        self.0.registry.fault(event);
    }

    /// A fault after which nothing is tried any more.
    pub(crate) fn gives_up(&self, fault: &Fault) {
        self.fault(fault, &Next::GiveUp);
    }

    /// The same, and it ends so: nobody is answered.
    pub(crate) fn breaks(&self, fault: &Fault) {
        self.gives_up(fault);
        self.finish(Outcome::Broken {
            code: fault.code().into(),
        });
    }

    /// How it goes on, where that takes more than another attempt: the request is sent again, or the rest of the answer asked for.
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
