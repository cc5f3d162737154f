//! The closing line: written when the owner of a transfer drops it.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::Instant;

use super::{Transfer, TransferData, TransferHandle, TransferOutcome, TransferState, millis};
use crate::{
    model::{Leg, Stage},
    track::event::{EventText, StallReported, TransferEnded},
};

/// The congestion control of a transfer is recorded from this many bytes on.
const LARGE: u64 = 1 << 20;

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.0.close();
    }
}

impl TransferHandle {
    /// Releases the origin's connection: the response is complete, and the connection belongs to other requests from now on.
    pub(crate) fn release_origin(&self) {
        let mut state = self.0.state();
        self.0.note_congestion(&mut state);
        state.origin = None;
        state.segments.clear();
    }
}

impl TransferState {
    /// Records the congestion control of the last connection, where it carried much.
    fn note_congestion(&self, state: &mut TransferData) {
        let counts = [&self.counters.up, &self.counters.down];
        let counts = counts.map(|count| count.load(Ordering::Relaxed));
        let origin = state.origin.as_ref();
        if let Some(origin) = origin.filter(|_| counts.iter().sum::<u64>() >= LARGE) {
            state.timeline.congestion = origin.congestion();
        }
    }

    /// The ends of the current stalls, or the stall during which the client disconnected.
    fn last_stalls(&self, state: &mut TransferData, now: Instant) -> Vec<StallReported> {
        let ended: Vec<_> = self.stall_ends(state, now).into_iter().collect();
        let departs = |outcome: &TransferOutcome| outcome.is_departure();
        if !ended.is_empty() || !state.outcome.as_ref().is_none_or(departs) {
            return ended;
        }
        let waited = self.stall_at_departure(state, now);
        waited.into_iter().flatten().collect()
    }

    fn close(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let stalls = self.last_stalls(&mut state, now);
        state.closed = true;
        self.note_congestion(&mut state);
        // Handles may outlive the transfer, but must not keep its sockets open.
        (state.client, state.origin) = (None, None);
        state.segments.clear();
        let last = state.stage;
        state.add_stage_time(now);
        let outcome = state
            .outcome
            .take()
            .unwrap_or_else(|| TransferOutcome::Broken {
                code: format!("{}/{}/gone", Leg::Client.as_str(), last.as_str()).into(),
            });
        let (status, result) = match &outcome {
            TransferOutcome::Answered(status) => (Some(*status), EventText::Borrowed("answered")),
            TransferOutcome::Refused { status, code } => (Some(*status), code.to_string().into()),
            TransferOutcome::Closed => (None, EventText::Borrowed("closed")),
            TransferOutcome::Broken { code } => (None, code.to_string().into()),
        };
        let stages = Stage::ALL
            .iter()
            .zip(state.stage_times)
            .map(|(stage, stage_times)| (*stage, millis(stage_times)))
            .filter(|(_, ms)| *ms > 0)
            .collect();
        let event = (!state.handed_over).then(|| TransferEnded {
            subject: self.subject(&state),
            front: self.about.front,
            client: self.about.client,
            method: self.about.method.clone(),
            path: Arc::clone(&self.about.path),
            peer: state.peer,
            attempts: state.attempts,
            reused: state.reused,
            status,
            result,
            up: self.counters.up.load(Ordering::Relaxed),
            down: self.counters.down.load(Ordering::Relaxed),
            total_ms: millis(now.saturating_duration_since(self.begun)),
            stages,
            agent: self.about.agent.clone(),
            credentials: self.counters.credentials.load(Ordering::Relaxed),
        });
        for stall in &stalls {
            state.timeline.note_stall(stall.timeline_entry());
        }
        let timeline = std::mem::take(&mut state.timeline);
        drop(state);
        for stall in stalls {
            self.ledger.record_stall(stall);
        }
        if let Some(event) = event {
            self.ledger.record_end(event, self.began, timeline);
        }
        // Last: who no longer finds it among the running ones finds it in the history. The history is saved when none runs.
        self.running.remove(self.id);
    }
}
