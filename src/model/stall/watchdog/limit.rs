//! How long each party may take before its silence is reported.

use std::time::Duration;

use crate::model::{
    Stage,
    stall::{Due, Sample, StallLimits, rules},
};

/// How long the due party may take.
pub(super) fn limit(due: Due, sample: &Sample, limits: &StallLimits) -> Option<Duration> {
    match due {
        Due::Nobody => None,
        Due::Connection => Some(limits.connect_after),
        Due::ClientSends | Due::ClientReads => Some(limits.client_after),
        Due::OriginReads | Due::OriginAnswers if sample.stage == Stage::Handshaking => {
            Some(limits.connect_after)
        }
        Due::OriginReads => Some(limits.after),
        // An early head does not show that the origin has handled the request; the first byte after it does.
        Due::OriginAnswers if sample.early && sample.origin.is_some_and(|flow| flow.read == 0) => {
            Some(limits.answer_after)
        }
        Due::OriginAnswers if sample.stage == Stage::ReceivingBody && !sample.tunnel => {
            Some(limits.after)
        }
        Due::OriginAnswers if limits.answer_after.is_zero() => None,
        Due::OriginAnswers if awaits_head(due, sample) => Some(reported_after(sample, limits)),
        Due::OriginAnswers => Some(limits.answer_after),
    }
    // "0s" switches a rule off.
    .filter(|limit| !limit.is_zero())
}

/// True while the whole request is sent and its response has not begun.
pub(super) fn awaits_head(due: Due, sample: &Sample) -> bool {
    let later = matches!(sample.stage, Stage::Handshaking | Stage::ReceivingBody);
    due == Due::OriginAnswers && !later && !sample.tunnel
}

/// When a response that does not begin is a stall: early where the connection is dead, else when gitferry acts on it. A slow storage is
/// no stall, so it only gets a notice ([`super::Watchdog::notice`]).
pub(super) fn reported_after(sample: &Sample, limits: &StallLimits) -> Duration {
    if rules::is_dead(sample) && !limits.after.is_zero() {
        late_after(limits).min(limits.answer_after)
    } else {
        limits.answer_after
    }
}

/// When a response that was expected soon is late.
pub(super) fn late_after(limits: &StallLimits) -> Duration {
    limits.after + limits.after / 4
}
