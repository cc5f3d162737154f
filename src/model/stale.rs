//! Whether a reused connection died while it was idle.
//!
//! After a suspend, a VPN or a new Wi-Fi the addresses of this machine, or the state of a NAT, are others: an idle connection is dead,
//! and nobody sends a FIN or an RST. What is sent on it is retransmitted for a quarter of an hour (tcp(7), `tcp_retries2`), while a new
//! connection works at once.
//!
//! Pure: `forward::upstream::stale` brings the samples and the clock.

use std::time::Duration;

use super::stall::Flow;

/// How long nothing may be acknowledged on a reused connection before the request is sent again on a new one.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);
/// The same for a request that cannot be sent again. Its client is told early enough to repeat it.
pub(crate) const PATIENCE_UNREPEATABLE: Duration = Duration::from_secs(8);
/// So many retransmissions in a row: a single lost packet is not a dead connection.
const RETRANSMITS: u32 = 2;

/// Watches a reused connection from the moment when a request is sent on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reuse {
    read: u64,
    acknowledged: u64,
    patience: Duration,
    /// How long bytes have been waiting to be acknowledged.
    waiting: Option<Duration>,
}

/// What one look at a reused connection says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// Not known yet.
    Unknown,
    /// The peer acknowledged something, or sent something.
    Alive,
    /// Nothing was acknowledged for too long.
    Dead,
}

impl Reuse {
    /// `flow` is that of the connection before the request.
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

    /// Judges `flow`, `elapsed` after the beginning.
    pub(crate) fn judge(&mut self, flow: Flow, elapsed: Duration) -> Liveness {
        if flow.read > self.read || flow.acknowledged() > self.acknowledged {
            return Liveness::Alive;
        }
        if !flow.told || flow.queued == 0 {
            return Liveness::Unknown;
        }
        let since = *self.waiting.get_or_insert(elapsed);
        // A peer that closed its window is alive: the kernel probes it and retransmits nothing.
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
            told: true,
            blocked: false,
            kernel: Some(Kernel {
                unacked: u32::from(queued > 0),
                retransmits,
                ..Kernel::default()
            }),
        }
    }

    /// What is said of each sample, one a second.
    fn judged(repeatable: bool, samples: &[Flow]) -> Vec<Liveness> {
        let mut reuse = Reuse::new(flow(500, 0, 0), repeatable);
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
    fn a_connection_is_alive_with_the_first_byte_that_the_peer_has_or_sent() {
        let more = Flow {
            read: 101,
            ..flow(900, 400, 5)
        };
        assert_eq!(judged(true, &[more]), [Liveness::Alive]);
        assert_eq!(judged(true, &[flow(900, 399, 5)]), [Liveness::Alive]);
    }

    #[test]
    fn a_closed_window_a_slow_client_and_a_system_that_says_nothing_are_not_a_dead_connection() {
        let unknown = [Liveness::Unknown; 20];
        assert_eq!(judged(true, &[flow(900, 400, 0); 20]), unknown);
        assert_eq!(judged(true, &[flow(500, 0, 0); 20]), unknown);
        let untold = Flow {
            told: false,
            queued: 0,
            kernel: None,
            ..flow(500, 0, 0)
        };
        assert_eq!(judged(true, &[untold; 20]), unknown);
    }
}
