//! The text of a stall: the evidence, how the sibling route works, and one sentence of advice.

use std::fmt::Write;

use super::{Due, Sample, Stall, Verdict};
use crate::model::{
    advice::{self, Advice, Remedy},
    segment_size::SMALL_SEGMENT,
    siblings::{Sibling, SiblingOutcome},
    size,
};

/// The circumstances of a stall.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StallContext<'a> {
    /// The requested host.
    pub host: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// The upstream's label.
    pub upstream: &'a str,
    /// `max_segment` of the route, where it is set.
    pub max_segment: Option<u32>,
    /// How the sibling route works through the same upstream, where that is known.
    pub sibling: Option<&'a Sibling>,
}

/// The sibling as a phrase: `hf-main works through office (3 s ago)`.
pub(crate) struct SiblingText<'a>(pub &'a Sibling, pub &'a str);

impl std::fmt::Display for SiblingText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(found, upstream) = self;
        let (route, ago) = (&found.route, found.ago.as_secs());
        match &found.outcome {
            SiblingOutcome::Works => write!(f, "{route} works through {upstream} ({ago} s ago)"),
            SiblingOutcome::Fails(code) => {
                write!(
                    f,
                    "{route} fails through {upstream} too ({code}, {ago} s ago)"
                )
            }
        }
    }
}

/// The evidence as text.
pub(crate) fn evidence(stall: &Stall, sample: &Sample) -> String {
    let mut text = stall.verdict.meaning().to_owned();
    let flow = match stall.due {
        Due::ClientSends | Due::ClientReads => Some(sample.client),
        Due::OriginReads | Due::OriginAnswers => sample.origin,
        Due::Nobody | Due::Connection => None,
    };
    if let Some(rate) = stall.rate {
        let _ = write!(text, ": {rate} B/s over {:?}", stall.idle);
    }
    let Some(flow) = flow else { return text };
    if flow.queued > 0 {
        let _ = write!(text, "; {} B not acknowledged", flow.queued);
    }
    if !flow.reports_acks {
        text.push_str("; this system does not report acknowledged bytes");
    }
    if let Some(kernel) = flow.kernel {
        if kernel.unacked > 0 {
            let _ = write!(
                text,
                "; {} segments in flight, {} consecutive timeouts, RTO {}",
                kernel.unacked,
                kernel.retransmits,
                size::duration(kernel.rto_ms.into())
            );
        }
        if kernel.sacked > 0 {
            let _ = write!(text, "; {} segments behind the gap arrived", kernel.sacked);
        }
        if kernel.probes > 0 {
            let _ = write!(text, "; {} probes unanswered", kernel.probes);
        }
        if flow.queued > 0
            && let Some(window) = kernel.window
        {
            let _ = write!(text, "; window {window} B");
        }
        let _ = write!(
            text,
            "; last ACK {} ago",
            size::duration(kernel.last_ack_ms.into())
        );
    }
    text
}

/// One sentence that names a key or a command.
pub(crate) fn advice(verdict: Verdict, about: StallContext<'_>) -> Advice {
    let StallContext {
        host,
        route,
        upstream,
        ..
    } = about;
    let place = advice::place(route);
    match verdict {
        Verdict::PathDrops => {
            about.other_upstream(format!("packets to {host} get lost through {upstream}: "))
        }
        Verdict::PathMtu => about.smaller_segments(),
        Verdict::PeerNotReading => about.other_upstream(format!(
            "{host} stopped reading: allow fewer uploads at once (`at_once` of `uploads` in {place}), or "
        )),
        Verdict::AnswerStopped => about.other_upstream(format!(
            "if {host} pauses that long, raise `after` of `stall` in {place}; if not, "
        )),
        Verdict::NoAnswer => about.other_upstream(format!(
            "if {host} is only slow, raise `answer_after` of `stall` in {place}; if not, "
        )),
        Verdict::NeverConnected => {
            about.other_upstream(format!("{host} is unreachable through {upstream}: "))
        }
        Verdict::Throttled => about.other_upstream(format!(
            "allow fewer uploads at once (`at_once` of `uploads` in {place}); if {host} is that slow, lower `floor` of `stall`; or "
        )),
        Verdict::ClientIdle => {
            "gitferry waits for the client: check what the client does; `gitferry status` shows the transfer".into()
        }
    }
}

impl StallContext<'_> {
    /// Advises smaller segments, or another upstream where they are small already.
    fn smaller_segments(&self) -> Advice {
        let Self {
            host,
            route,
            upstream,
            ..
        } = self;
        let place = advice::place(route);
        let lost = format!("large packets to {host} get lost through {upstream}");
        match self.max_segment {
            None => format!(
                "{lost}: set `max_segment` in `dial` of {place}, such as `dial = {{ max_segment = \"{SMALL_SEGMENT} B\" }}`"
            )
            .into(),
            Some(limit) if limit > SMALL_SEGMENT => format!(
                "{lost}: `max_segment` of {place} is {limit} B, lower it, such as `dial = {{ max_segment = \"{SMALL_SEGMENT} B\" }}`"
            )
            .into(),
            Some(limit) => self.other_upstream(format!(
                "{lost}, although `max_segment` of {place} is {limit} B: "
            )),
        }
    }

    /// `begin`, then the advice to use another upstream, with what the sibling route shows about this one.
    fn other_upstream(&self, begin: String) -> Advice {
        let Self {
            route,
            upstream,
            sibling,
            ..
        } = self;
        let place = advice::place(route);
        let text = match sibling.map(|sibling| (&sibling.route, &sibling.outcome)) {
            None => return Advice::other_upstream(&begin, route),
            Some((works, SiblingOutcome::Works)) => format!(
                "{begin}add another upstream to `upstreams` of {place}: {works} works through {upstream}, {route} does not"
            ),
            Some((other, SiblingOutcome::Fails(_))) => format!(
                "{begin}put another upstream before {upstream} in `upstreams` of {place}: {other} fails through {upstream} too"
            ),
        };
        Advice {
            text,
            remedy: Remedy::OtherUpstream,
        }
    }
}
