//! The only upstream of a host: how long requests wait after its first failure, and how long it then counts as dead.
//!
//! | state | how it gets there | what a request gets |
//! |---|---|---|
//! | unknown | the start; a new config; `dial.cooldown` after it was declared dead | the attempts of `dial.attempts` |
//! | working | a success | the same, then further attempts, because a VPN may reconnect or a hop restart |
//! | waited for | a request used up its attempts, for the first time since the success | further attempts until `dial.patience` is over, for every request |
//! | dead | a request gave up | one short attempt, then the known reason; the reason at once while another request makes that attempt |
//!
//! The short attempt is the probe: once the upstream works again, the next request succeeds. On a slow path it is too short, so one attempt
//! goes on in the background until the timeouts of `dial`.

use std::{error::Error, fmt, time::Duration};

use tokio::time::Instant;

use super::{
    Health,
    table::{CircuitTable, LIMIT, key},
};
use crate::model::{Fault, FaultKind, Leg, Stage, Target};

/// How long a request waits for an upstream that is known to be dead; its attempt may go on longer.
pub(crate) const SHORT_ATTEMPT: Duration = Duration::from_secs(2);

/// The state of a host's only upstream.
#[derive(Clone, Debug)]
pub(super) enum Sole {
    Working,
    WaitedFor { since: Instant, until: Instant },
    Dead { until: Instant, known: DeadUpstream },
}

/// An attempt to reach a dead upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SoleAttempt {
    /// A request waits for it.
    Short,
    /// No request waits for it any more.
    Long,
}

/// How long a request waits for the only upstream of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SoleWait {
    /// When the wait ends, the same for all requests.
    pub until: Instant,
    /// True for the first request that waits.
    pub first: bool,
}

/// Why an upstream is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadUpstream {
    since: Instant,
    leg: Leg,
    stage: Stage,
    kind: FaultKind,
    peer: Option<Box<str>>,
    cause: Option<Box<str>>,
}

impl DeadUpstream {
    /// `fault`, found at `since`.
    fn of(fault: &Fault, since: Instant) -> Self {
        Self {
            since,
            leg: fault.leg,
            stage: fault.stage,
            kind: fault.kind.clone(),
            peer: fault.peer.clone(),
            cause: fault.cause().map(Into::into),
        }
    }

    /// The fault of a request that is answered from the known reason.
    pub(crate) fn fault(&self, now: Instant) -> Fault {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        let mut fault = Fault::new(self.leg, self.stage, self.kind.clone());
        fault.peer.clone_from(&self.peer);
        fault.detail.clone_from(&self.cause);
        fault.source(KnownFault { seconds })
    }
}

/// The source of a fault that no attempt of this request found.
#[derive(Debug)]
struct KnownFault {
    /// Seconds since it was found.
    seconds: u64,
}

impl fmt::Display for KnownFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "found {} s ago; gitferry keeps trying in the background, and requests fail soon until an attempt succeeds",
            self.seconds
        )
    }
}

impl Error for KnownFault {}

impl Health {
    /// Records a success through the only upstream of `host`. Returns the time without a success, where requests waited for the upstream or
    /// it counted as dead.
    pub(crate) fn note_sole_success(
        &self,
        host: &Target,
        upstream: &str,
        now: Instant,
    ) -> Option<Duration> {
        let mut table = self.table();
        let away = match table.sole(host, upstream) {
            Some(Sole::Working) => return None,
            Some(Sole::WaitedFor { since, .. }) => Some(*since),
            Some(Sole::Dead { known, .. }) => Some(known.since),
            None => None,
        };
        table.insert(host, upstream, Sole::Working);
        away.map(|since| now.saturating_duration_since(since))
    }

    /// The wait of a request that used its attempts up; `None` where nothing succeeded since the last such wait.
    pub(crate) fn sole_wait(
        &self,
        host: &Target,
        upstream: &str,
        patience: Duration,
        now: Instant,
    ) -> Option<SoleWait> {
        let mut table = self.table();
        let (since, until, first) = match table.sole(host, upstream)? {
            Sole::Working => (now, now + patience, true),
            Sole::WaitedFor { since, until } => (*since, *until, false),
            Sole::Dead { .. } => return None,
        };
        table.insert(host, upstream, Sole::WaitedFor { since, until });
        (now < until).then_some(SoleWait { until, first })
    }

    /// A request gave up on the only upstream of `host` before it sent a byte. The upstream counts as dead for `cooldown`.
    pub(crate) fn note_sole_death(
        &self,
        host: &Target,
        upstream: &str,
        fault: &Fault,
        (cooldown, now): (Duration, Instant),
    ) {
        // It was declared dead because of an earlier request.
        if fault
            .source
            .as_ref()
            .is_some_and(|it| it.is::<KnownFault>())
        {
            return;
        }
        let mut table = self.table();
        let since = match table.sole(host, upstream) {
            Some(Sole::WaitedFor { since, .. }) => *since,
            Some(Sole::Working | Sole::Dead { .. }) | None => now,
        };
        let known = DeadUpstream::of(fault, since);
        // The short attempts, which find the same failure, do not prolong it.
        if let Some(Sole::Dead { until, .. }) = table.sole(host, upstream)
            && now < *until
        {
            return;
        }
        let until = now + cooldown;
        table.insert(host, upstream, Sole::Dead { until, known });
    }

    /// True for the one request that may try the dead upstream of `host` now; the caller then calls [`Health::end_sole_attempt`].
    pub(crate) fn begin_sole_attempt(
        &self,
        host: &str,
        upstream: &str,
        attempt: SoleAttempt,
    ) -> bool {
        let tried = (key(host, upstream), attempt);
        self.table().sole_attempts.insert(tried)
    }

    /// The attempt is over.
    pub(crate) fn end_sole_attempt(&self, host: &str, upstream: &str, attempt: SoleAttempt) {
        let tried = (key(host, upstream), attempt);
        self.table().sole_attempts.remove(&tried);
    }

    /// Why the only upstream of `host` is known to be dead.
    pub(crate) fn known_dead(
        &self,
        host: &Target,
        upstream: &str,
        now: Instant,
    ) -> Option<DeadUpstream> {
        let table = self.table();
        match table.sole(host, upstream)? {
            Sole::Dead { until, known } if now < *until => Some(known.clone()),
            Sole::Dead { .. } | Sole::Working | Sole::WaitedFor { .. } => None,
        }
    }
}

impl CircuitTable {
    fn sole(&self, host: &Target, upstream: &str) -> Option<&Sole> {
        let mut known = self.soles.get(host)?.iter();
        known
            .find(|(label, _)| **label == *upstream)
            .map(|(_, sole)| sole)
    }

    fn insert(&mut self, host: &Target, upstream: &str, sole: Sole) {
        if self.soles.len() >= LIMIT && !self.soles.contains_key(host) {
            self.soles.clear();
        }
        let known = self.soles.entry(host.clone()).or_default();
        known.retain(|(label, _)| **label != *upstream);
        known.push((upstream.into(), sole));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Target {
        Target::parse(text, None).unwrap()
    }

    fn refused() -> Fault {
        Fault::new(Leg::Hop, Stage::Connecting, FaultKind::Refused)
            .peer("192.0.2.1:3128")
            .source(std::io::Error::from_raw_os_error(111))
    }

    #[test]
    fn the_first_failure_after_a_success_is_waited_out_once_for_all_requests() {
        let (health, now) = (Health::default(), Instant::now());
        let second = Duration::from_secs(1);
        let wait = |at| health.sole_wait(&host("a:443"), "office", 20 * second, at);
        assert_eq!(wait(now), None, "nothing worked yet");
        let waits_until = |until, first| Some(SoleWait { until, first });
        let worked = |at| health.note_sole_success(&host("a:443"), "office", at);
        assert_eq!(worked(now), None, "it was never away");
        assert_eq!(wait(now), waits_until(now + 20 * second, true));
        assert_eq!(
            wait(now + 5 * second),
            waits_until(now + 20 * second, false)
        );
        assert_eq!(wait(now + 20 * second), None, "it is used up");
        assert_eq!(worked(now + 30 * second), Some(30 * second));
        assert_eq!(worked(now + 31 * second), None, "said once");
        let later = now + 60 * second;
        assert_eq!(wait(later), waits_until(later + 20 * second, true));
        assert_eq!(
            health.sole_wait(&host("b:443"), "office", second, now),
            None
        );
    }

    #[test]
    fn a_dead_upstream_is_known_until_a_success_or_the_end_of_its_cooldown() {
        let (health, now) = (Health::default(), Instant::now());
        let second = Duration::from_secs(1);
        let dead = |at| health.known_dead(&host("a:443"), "office", at);
        assert_eq!(dead(now), None);
        let dies = |fault: &Fault, at| {
            health.note_sole_death(&host("a:443"), "office", fault, (30 * second, at));
        };
        dies(&refused(), now);
        let fault = dead(now + 5 * second).unwrap().fault(now + 5 * second);
        assert_eq!(
            fault.chain(),
            "hop/connecting/refused with 192.0.2.1:3128 (Connection refused): found 5 s ago; gitferry keeps trying in the background, \
             and requests fail soon until an attempt succeeds"
        );
        // A short attempt that also fails does not restart the cooldown, and neither does the known fault.
        dies(&refused(), now + 20 * second);
        dies(&fault, now + 30 * second);
        assert_eq!(dead(now + 30 * second), None);
        dies(&refused(), now + 31 * second);
        assert!(dead(now + 32 * second).is_some());
        let away = health.note_sole_success(&host("a:443"), "office", now + 32 * second);
        assert_eq!(away, Some(second), "since it was found");
        assert_eq!(dead(now + 32 * second), None);
    }
}
