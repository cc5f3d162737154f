//! Whether a reused connection died while it was idle.
//!
//! After a suspend, a VPN start or a new Wi-Fi, this machine has other addresses, or a NAT has lost its state. An idle connection is then
//! dead, but no FIN or RST arrives. The kernel retransmits for a quarter of an hour (tcp(7), `tcp_retries2`), while a new connection works
//! at once.
//!
//! `forward::upstream::stale` supplies the samples and the clock.

use std::time::Duration;

use super::stall::Flow;

/// How long a reused connection may acknowledge nothing before the request is sent again on a new one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// The same for a request that cannot be sent again: short enough that its client can still repeat it.
pub(crate) const PATIENCE_UNREPEATABLE: Duration = Duration::from_secs(8);
/// A dead connection has this many retransmissions in a row; one may be a lost packet.
const RETRANSMITS: u32 = 2;

/// Watches a reused connection from the moment that a request is sent on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReusedConnection {
    read: u64,
    acknowledged: u64,
    patience: Duration,
    /// How long bytes have waited for an acknowledgement.
    waiting: Option<Duration>,
}

/// What a check of a reused connection shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// Not known yet.
    Unknown,
    /// The peer acknowledged something, or sent something.
    Alive,
    /// Nothing was acknowledged for too long.
    Dead,
}

impl ReusedConnection {
    /// `flow` is the connection's state before the request.
    pub(crate) fn new(flow: Flow, repeatable: bool) -> Self {
        Self {
            read: flow.read,
            acknowledged: flow.acknowledged(),
            patience: match repeatable {
                true => PATIENCE,
                false => PATIENCE_UNREPEATABLE,
            },
            waiting: None,
        }
    }

    /// The liveness of the connection, from its state `flow` at `elapsed` after the start.
    pub(crate) fn judge(&mut self, flow: Flow, elapsed: Duration) -> Liveness {
        if flow.read > self.read || flow.acknowledged() > self.acknowledged {
            return Liveness::Alive;
        }
        if !flow.reports_acks || flow.queued == 0 {
            return Liveness::Unknown;
        }
        let since = *self.waiting.get_or_insert(elapsed);
        // A peer with a closed window is alive: the kernel probes it and retransmits nothing.
        let lost = flow
            .kernel
            .is_none_or(|kernel| kernel.retransmits >= RETRANSMITS);
        match lost && elapsed.saturating_sub(since) >= self.patience {
            true => Liveness::Dead,
            false => Liveness::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stall::Kernel;

    fn flow(written: u64, queued: u64, retransmits: u32) -> Flow {
        Flow {
            read: 100,
            written,
            queued,
            reports_acks: true,
            blocked: false,
            kernel: Some(Kernel {
                unacked: u32::from(queued > 0),
                retransmits,
                ..Kernel::default()
            }),
        }
    }

    /// The verdicts on a series of samples, one a second.
    fn judged(repeatable: bool, samples: &[Flow]) -> Vec<Liveness> {
        let mut reuse = ReusedConnection::new(flow(500, 0, 0), repeatable);
        let seconds = 0..;
        let judge =
            |(second, sample): (u64, &Flow)| reuse.judge(*sample, Duration::from_secs(second));
        seconds.zip(samples).map(judge).collect()
    }

    #[test]
    fn a_connection_on_which_nothing_is_acknowledged_for_three_seconds_is_dead() {
        use Liveness::{Dead, Unknown};
        let samples: Vec<Flow> = (0..4)
            .map(|retransmits| flow(900, 400, retransmits))
            .collect();
        assert_eq!(judged(true, &samples), [Unknown, Unknown, Unknown, Dead]);
        assert_eq!(judged(false, &samples), [Unknown; 4]);
        let samples: Vec<Flow> = (0..9)
            .map(|retransmits| flow(900, 400, retransmits))
            .collect();
        assert_eq!(judged(false, &samples).last(), Some(&Dead));
    }

    #[test]
    fn a_connection_is_alive_once_the_peer_acknowledged_or_sent_a_byte() {
        let more = Flow {
            read: 101,
            ..flow(900, 400, 5)
        };
        assert_eq!(judged(true, &[more]), [Liveness::Alive]);
        assert_eq!(judged(true, &[flow(900, 399, 5)]), [Liveness::Alive]);
    }

    #[test]
    fn a_closed_window_a_slow_client_and_a_kernel_without_reports_prove_no_dead_connection() {
        let unknown = [Liveness::Unknown; 20];
        assert_eq!(judged(true, &[flow(900, 400, 0); 20]), unknown);
        assert_eq!(judged(true, &[flow(500, 0, 0); 20]), unknown);
        let untold = Flow {
            reports_acks: false,
            queued: 0,
            kernel: None,
            ..flow(500, 0, 0)
        };
        assert_eq!(judged(true, &[untold; 20]), unknown);
    }
}
