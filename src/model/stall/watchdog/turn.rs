//! Which party is due, and the count that only this party can move.

use super::Watchdog;
use crate::model::{
    Stage,
    stall::{Due, Sample, rules},
};

impl Watchdog {
    /// Records which side spoke last.
    pub(super) fn record_speaker(&mut self, sample: &Sample) {
        let seen = (
            sample.client.read,
            sample.origin.map_or(0, |flow| flow.read),
        );
        if seen.1 > self.seen.1 {
            self.client_last = Some(false);
        } else if seen.0 > self.seen.0 {
            self.client_last = Some(true);
        }
        self.seen = seen;
    }

    pub(super) fn due_of(&self, sample: &Sample) -> Due {
        let origin_pends = sample.origin.is_some_and(|flow| flow.is_pending());
        match sample.stage {
            Stage::Queued => Due::Nobody,
            // An opaque tunnel has no stage between its connection and the first response.
            Stage::Accepted | Stage::Resolving | Stage::Connecting | Stage::Greeting
                if sample.tunnel && sample.origin.is_some() =>
            {
                self.due_in_tunnel(sample, origin_pends)
            }
            Stage::Accepted => Due::ClientSends,
            Stage::Resolving | Stage::Connecting | Stage::Greeting => Due::Connection,
            Stage::Handshaking if sample.origin.is_none() => Due::ClientSends,
            Stage::Handshaking if origin_pends => Due::OriginReads,
            Stage::Handshaking => Due::OriginAnswers,
            Stage::SendingHead | Stage::SendingBody | Stage::AwaitingHead => {
                if origin_pends || !(sample.whole || sample.awaits_client) {
                    Due::OriginReads
                } else if sample.whole {
                    Due::OriginAnswers
                } else {
                    Due::ClientSends
                }
            }
            Stage::ReceivingBody if sample.tunnel => self.due_in_tunnel(sample, origin_pends),
            Stage::ReceivingBody if !sample.whole => Self::due_of_early(sample, origin_pends),
            Stage::ReceivingBody if sample.client.is_pending() || !sample.awaits_origin => {
                Due::ClientReads
            }
            Stage::ReceivingBody => Due::OriginAnswers,
        }
    }

    fn due_in_tunnel(&self, sample: &Sample, origin_pends: bool) -> Due {
        if origin_pends {
            Due::OriginReads
        } else if sample.client.is_pending() {
            Due::ClientReads
        } else if self.client_last == Some(true) {
            Due::OriginAnswers
        } else if rules::is_dead(sample) {
            Due::OriginReads
        } else {
            // The origin spoke last, or neither side has: only the two sides know whether more is to come.
            Due::Nobody
        }
    }

    /// The party due when the response begins while the request is still being sent. Each direction moves independently. Where neither moves,
    /// the client is due only if the origin wants more of the request.
    fn due_of_early(sample: &Sample, origin_pends: bool) -> Due {
        if origin_pends || !sample.awaits_client {
            Due::OriginReads
        } else if sample.refused {
            Due::OriginAnswers
        } else if sample.client.is_pending() {
            Due::ClientReads
        } else {
            Due::ClientSends
        }
    }
}

/// The count that only the due party can move; any movement counts while both directions are active.
pub(super) fn progress_count(due: Due, sample: &Sample) -> u64 {
    let origin = sample.origin.unwrap_or_default();
    if sample.stage == Stage::ReceivingBody && !sample.tunnel && !sample.whole {
        let up = sample.client.read + origin.acknowledged();
        return up + origin.read + sample.client.acknowledged();
    }
    match due {
        Due::Nobody | Due::Connection => 0,
        Due::ClientSends => sample.client.read,
        Due::ClientReads => sample.client.acknowledged(),
        // An early response counts as movement.
        Due::OriginReads => origin.acknowledged() + origin.read,
        Due::OriginAnswers => origin.read,
    }
}
