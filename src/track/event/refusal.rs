//! Refusals by origins.

use super::{LogEvent, Subject, line};
use crate::{model::refusals::RefusalCount, track::metrics::Metrics};

/// An origin refuses requests. This is no fault, but the user must know it.
#[derive(Clone, Debug)]
pub(crate) struct RequestsRefused {
    /// The transfer of the refused request.
    pub subject: Subject,
    /// The count, by host and status.
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
