//! The table of verdicts and their evidence.

use std::time::Duration;

use super::{Due, Flow, Kernel, Sample, Stall};
use crate::model::named::named;
use crate::model::{Leg, Stage};

named! {
/// Why nothing moves.
pub(crate) enum Verdict {
    /// Bytes move, but below the floor.
    Throttled = "throttled",
    /// The name look-up, TCP, the hop or TLS did not complete.
    NeverConnected = "never-connected",
    /// Large segments are lost, small ones are not.
    PathMtu = "path-mtu",
    /// Sent segments are lost.
    PathDrops = "path-drops",
    /// The peer's window is closed: it reads no more.
    PeerNotReading = "peer-not-reading",
    /// A response began and then stopped.
    AnswerStopped = "answer-stopped",
    /// The peer acknowledged everything and sends nothing.
    NoAnswer = "no-answer",
    /// The client neither sends nor reads.
    ClientIdle = "client-idle",
}
}

/// One entry of [`STALL_RULES`].
#[derive(Debug)]
pub(crate) struct StallRule {
    /// The verdict.
    pub verdict: Verdict,
    /// The meaning of the verdict, for people.
    pub meaning: &'static str,
    /// True where ending the transfer can help, because another attempt may succeed.
    pub ending_helps: bool,
    /// True where the evidence for the verdict is present.
    holds: fn(&RuleInput<'_>) -> bool,
}

/// The evidence that a rule reads.
struct RuleInput<'a> {
    due: Due,
    sample: &'a Sample,
    slow: bool,
    /// The other side's connection.
    origin: Flow,
    kernel: Option<Kernel>,
}

/// Every verdict, the most specific first: the first match counts.
pub(crate) const STALL_RULES: &[StallRule] = &[
    StallRule {
        verdict: Verdict::Throttled,
        meaning: "data moves, but below the floor",
        ending_helps: false,
        holds: |input| input.slow,
    },
    StallRule {
        verdict: Verdict::NeverConnected,
        meaning: "no connection was established",
        ending_helps: false,
        holds: |input| input.due == Due::Connection,
    },
    StallRule {
        verdict: Verdict::PathMtu,
        meaning: "the path drops large segments",
        ending_helps: true,
        holds: loses_large_segments,
    },
    StallRule {
        verdict: Verdict::PathDrops,
        meaning: "the path drops what is sent",
        ending_helps: true,
        holds: loses_segments,
    },
    StallRule {
        verdict: Verdict::PeerNotReading,
        meaning: "the peer stopped reading",
        ending_helps: true,
        holds: |input| input.due == Due::OriginReads,
    },
    StallRule {
        verdict: Verdict::AnswerStopped,
        meaning: "the response stopped midway",
        ending_helps: true,
        holds: |input| {
            let receives = input.sample.stage == Stage::ReceivingBody && !input.sample.tunnel;
            input.due == Due::OriginAnswers && receives
        },
    },
    StallRule {
        verdict: Verdict::NoAnswer,
        meaning: "the peer has the complete request and does not answer",
        ending_helps: true,
        holds: |input| input.due == Due::OriginAnswers,
    },
    StallRule {
        verdict: Verdict::ClientIdle,
        meaning: "the client neither sends nor reads",
        ending_helps: false,
        holds: |input| matches!(input.due, Due::ClientSends | Due::ClientReads),
    },
];

impl Verdict {
    /// The table entry.
    pub(crate) fn rule(self) -> Option<&'static StallRule> {
        STALL_RULES.iter().find(|rule| rule.verdict == self)
    }

    /// True where ending the transfer can help.
    pub(crate) fn ending_helps(self) -> bool {
        self.rule().is_some_and(|rule| rule.ending_helps)
    }

    /// The meaning, for people.
    pub(crate) fn meaning(self) -> &'static str {
        self.rule().map_or("", |rule| rule.meaning)
    }
}

/// The first rule whose evidence is present.
pub(super) fn judge(
    due: Due,
    sample: &Sample,
    idle: Duration,
    limit: Duration,
    rate: Option<u64>,
) -> Option<Stall> {
    let origin = sample.origin.unwrap_or_default();
    let input = RuleInput {
        due,
        sample,
        slow: rate.is_some(),
        origin,
        kernel: origin.kernel,
    };
    let rule = STALL_RULES.iter().find(|rule| (rule.holds)(&input))?;
    Some(Stall {
        verdict: rule.verdict,
        leg: leg(rule.verdict, sample),
        due,
        idle,
        limit,
        rate,
    })
}

/// The kernel retransmits, and no large segment was ever acknowledged; or segments arrived that were sent after a lost large one.
fn loses_large_segments(input: &RuleInput<'_>) -> bool {
    let Some(kernel) = input.kernel else {
        return false;
    };
    let mss = u64::from(kernel.mss.max(1));
    match input.due {
        Due::OriginReads => {
            let lost = kernel.unacked > 0 && kernel.retransmits > 1;
            let large = input.origin.queued >= mss;
            // A handshake and a request's head need not fill a segment.
            let only_small = input.origin.acknowledged() < 4 * mss;
            lost && large && (kernel.sacked > 0 || only_small)
        }
        // The peer's certificates fill segments. The segments that arrived after the gap were the small rest of its flight.
        Due::OriginAnswers if input.sample.stage == Stage::Handshaking => {
            kernel.out_of_order.is_some_and(|segments| segments > 0)
        }
        Due::OriginAnswers
        | Due::Nobody
        | Due::Connection
        | Due::ClientSends
        | Due::ClientReads => false,
    }
}

/// True where the kernel probes a waiting connection and gets no response.
pub(super) fn is_dead(sample: &Sample) -> bool {
    let kernel = sample.origin.and_then(|origin| origin.kernel);
    kernel.is_some_and(|kernel| kernel.probes > 1)
}

/// The kernel retransmits or probes, and gets no response.
fn loses_segments(input: &RuleInput<'_>) -> bool {
    let Some(kernel) = input.kernel else {
        return false;
    };
    // The kernel also probes a closed window, but the peer answers these probes.
    let unheard = kernel.probes > 1;
    match input.due {
        Due::OriginReads => unheard || kernel.unacked > 0 && kernel.retransmits > 0,
        Due::OriginAnswers => unheard,
        Due::Nobody | Due::Connection | Due::ClientSends | Due::ClientReads => false,
    }
}

/// The leg to blame. The kernel's reports about a connection to a hop end at the hop.
fn leg(verdict: Verdict, sample: &Sample) -> Leg {
    let nearest = if sample.hop { Leg::Hop } else { Leg::Origin };
    match verdict {
        Verdict::ClientIdle => Leg::Client,
        Verdict::NeverConnected
        | Verdict::PathMtu
        | Verdict::PathDrops
        | Verdict::PeerNotReading => nearest,
        Verdict::AnswerStopped | Verdict::NoAnswer | Verdict::Throttled => Leg::Origin,
    }
}
