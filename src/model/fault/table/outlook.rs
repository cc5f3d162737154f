//! What a fault means for the next attempt.

use super::FaultKind;
use crate::model::stall::Verdict;

/// What a fault means for the next attempt through the same upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It is transient.
    Passing,
    /// It may pass, but an attempt may cost a whole deadline.
    Slow,
    /// It will probably persist.
    Doubtful,
    /// Large segments are lost: smaller ones may get through.
    Lossy,
    /// Nothing moved: another upstream is the better choice.
    Stuck,
    /// It persists on this upstream.
    Lasting,
    /// It is unrelated to the upstream.
    Ours,
}

pub(super) fn passing(_: &FaultKind) -> Outlook {
    Outlook::Passing
}

pub(super) fn doubtful(_: &FaultKind) -> Outlook {
    Outlook::Doubtful
}

pub(super) fn lasting(_: &FaultKind) -> Outlook {
    Outlook::Lasting
}

pub(super) fn ours(_: &FaultKind) -> Outlook {
    Outlook::Ours
}

pub(super) fn stalled(kind: &FaultKind) -> Outlook {
    if *kind == FaultKind::Stalled(Verdict::PathMtu) {
        Outlook::Lossy
    } else {
        Outlook::Stuck
    }
}

/// A gateway error is transient; any other status is the hop's decision.
pub(super) fn hop_refused(kind: &FaultKind) -> Outlook {
    if matches!(kind, FaultKind::HopRefused(502..=504)) {
        Outlook::Passing
    } else {
        Outlook::Lasting
    }
}

/// 6 is an expired time to live; 1 and 3 to 5 mean that the hop did not reach the host.
pub(super) fn socks_refused(kind: &FaultKind) -> Outlook {
    if *kind == FaultKind::SocksRefused(6) {
        Outlook::Passing
    } else if matches!(kind, FaultKind::SocksRefused(1 | 3..=5)) {
        Outlook::Doubtful
    } else {
        Outlook::Lasting
    }
}
