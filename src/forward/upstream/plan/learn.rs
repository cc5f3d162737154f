//! What an exchange reports at its end: to the circuits how its upstreams worked, to the transfer whether small segments helped.

use super::UpstreamPlan;
use crate::model::{attempts::Lesson, health::Success, segment_size::SMALL_SEGMENT};

impl UpstreamPlan {
    /// Reports to the circuits what the exchange learned about an upstream.
    pub(super) fn apply_lesson(&mut self, lesson: Option<(usize, Lesson)>) {
        let Some((place, lesson)) = lesson else {
            return;
        };
        let shared = &self.forwarder.shared;
        let scope = self.scope();
        let Some(upstream) = self.upstream_at(place) else {
            return;
        };
        match &lesson {
            Lesson::Works => {
                scope.note_success(shared, upstream, Success::Head);
                if self.order.len() == 1 {
                    scope.note_sole_success(shared, upstream);
                }
                self.note_success();
            }
            Lesson::Complete => scope.note_success(shared, upstream, Success::Complete),
            Lesson::Failed(cause) => scope.note_failure(shared, upstream, cause),
            Lesson::Doubtful(cause) => scope.note_suspicion(shared, upstream, cause),
        }
        if matches!(lesson, Lesson::Failed(_) | Lesson::Doubtful(_)) {
            self.trial = None;
        }
    }

    fn note_success(&self) {
        self.transfer.record_success();
        if !self.attempts.suspects_large_segments() {
            return;
        }
        let peer = self.transfer.peer().map(|peer| peer.to_string());
        let limit = self.route.dial.max_segment;
        let was_small = limit.is_some_and(|limit| limit <= SMALL_SEGMENT);
        if !was_small && self.attempts.small_segments_helped(peer.as_deref()) {
            self.transfer.report_small_segments(SMALL_SEGMENT);
        }
    }
}
