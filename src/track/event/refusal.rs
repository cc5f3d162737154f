//! What an origin refuses.

use super::{LogEvent, Subject, line};
use crate::{model::refusals::RefusalCount, track::metrics::Metrics};

/// An origin refuses requests: what a user must know, and no fault.
#[derive(Clone, Debug)]
pub(crate) struct RequestsRefused {
    /// Whose request it was.
    pub subject: Subject,
    /// By host and status.
    pub refused: RefusalCount,
}

impl LogEvent for RequestsRefused {
    fn emit(&self, _: &Metrics) {
        let refused = &self.refused;
        line!(
            info,
            &self.subject,
            "the site refuses requests",
            status = refused.status,
            count = refused.count,
            summary = refused.to_string()
        );
    }
}
