//! The events of a daemon as values, for a daemon in the test's process and for the binary.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
};

use gitferry::testing::{EndSeen, Events, FaultSeen, Observation, StallSeen};
use serde_json::Value;

use super::script::soon;

/// The faults, stalls and ends of one daemon, and how many of them the test has consumed.
pub(crate) struct Observations {
    events: Events,
    faults: AtomicUsize,
    stalls: AtomicUsize,
    ends: AtomicUsize,
}

/// Waits for `event` in a test that is not async: `wait(ferry.next_fault())`.
pub(crate) fn wait<T>(event: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(event)
}

impl Observations {
    /// Everything in `events`, from the first one.
    pub(crate) fn of(events: Events) -> Self {
        Self {
            events,
            faults: AtomicUsize::new(0),
            stalls: AtomicUsize::new(0),
            ends: AtomicUsize::new(0),
        }
    }

    async fn next<T>(
        &self,
        taken: &AtomicUsize,
        what: &str,
        pick: impl Fn(Observation) -> Option<T>,
    ) -> T {
        let n = taken.fetch_add(1, Ordering::Relaxed);
        soon(what, self.events.nth(n, pick)).await
    }

    /// Every fault so far.
    pub(crate) fn faults(&self) -> Vec<FaultSeen> {
        self.events.so_far(fault)
    }

    /// Every line of a stall so far.
    pub(crate) fn stalls(&self) -> Vec<StallSeen> {
        self.events.so_far(stall)
    }

    /// Every end of a transfer so far.
    pub(crate) fn ends(&self) -> Vec<EndSeen> {
        self.events.so_far(end)
    }

    /// The next fault that was not consumed yet.
    pub(crate) async fn next_fault(&self) -> FaultSeen {
        self.next(&self.faults, "a fault", fault).await
    }

    /// The next line of a stall that was not consumed yet.
    pub(crate) async fn next_stall(&self) -> StallSeen {
        self.next(&self.stalls, "a stall", stall).await
    }

    /// The next end of a transfer that was not consumed yet.
    pub(crate) async fn next_end(&self) -> EndSeen {
        self.next(&self.ends, "the end of a transfer", end).await
    }
}

fn fault(event: Observation) -> Option<FaultSeen> {
    match event {
        Observation::Fault(fault) => Some(fault),
        Observation::Stall(_) | Observation::Ended(_) => None,
    }
}

fn stall(event: Observation) -> Option<StallSeen> {
    match event {
        Observation::Stall(stall) => Some(stall),
        Observation::Fault(_) | Observation::Ended(_) => None,
    }
}

fn end(event: Observation) -> Option<EndSeen> {
    match event {
        Observation::Ended(end) => Some(end),
        Observation::Fault(_) | Observation::Stall(_) => None,
    }
}

/// The event in a line of the JSON log, where there is one.
pub(super) fn of_line(line: &str) -> Option<Observation> {
    let line: Value = serde_json::from_str(line).ok()?;
    let some = |name: &str| line[name].as_str().map(str::to_owned);
    let text = |name: &str| some(name).unwrap_or_default();
    let number = |name: &str| line[name].as_u64();
    let small = |name: &str| number(name).and_then(|n| u32::try_from(n).ok());
    match line["message"].as_str()? {
        "fault" => Some(Observation::Fault(FaultSeen {
            host: text("host"),
            upstream: some("upstream"),
            code: text("code"),
            leg: text("leg"),
            stage: text("stage"),
            kind: text("kind"),
            attempt: small("attempt")?,
            next: text("next"),
            repeated: line["level"] == "debug",
            cause: text("cause"),
            advice: some("advice"),
        })),
        "transfer ended" => Some(Observation::Ended(EndSeen {
            host: text("host"),
            method: text("method"),
            status: number("status").and_then(|status| u16::try_from(status).ok()),
            result: text("result"),
            attempts: small("attempts")?,
            rerouted: some("circuit").is_some(),
            up: number("up")?,
            down: number("down")?,
        })),
        stall => Some(Observation::Stall(StallSeen {
            host: text("host"),
            phase: match stall {
                "stall" => "began",
                "stall goes on" => "goes on",
                "stall over" => "over",
                "stall ended with its transfer" => "ended with its transfer",
                _ => return None,
            }
            .to_owned(),
            verdict: text("verdict"),
            // The line of a stall's end does not say where it was.
            leg: text("leg"),
            stage: text("stage"),
        })),
    }
}
