//! Idle connections are closed while other clients wait.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use tokio::time::Instant;

use super::{Connection, EVICTION_INTERVAL, SlotHolder, SlotPhase, SlotTable};
use crate::model::unit::millis;

/// The shortest time between two lines of the log, so that a flood of connections does not flood the log.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// When connections were last closed for others, and how many closed ones the log has not reported.
#[derive(Debug, Default)]
pub(super) struct EvictionReport {
    /// The last check, by the phase of the connections.
    last: HashMap<SlotPhase, Instant>,
    reported: Option<Instant>,
    /// Closed since the log last reported any.
    unreported: usize,
}

impl SlotTable {
    /// Closes up to `wanted` connections in `phase` that are idle for at least `hold`: those of the largest holder first, the longest idle
    /// first. Looks at most once in [`EVICTION_INTERVAL`], or in `hold` where that is shorter, however many clients wait.
    pub(super) fn evict(&mut self, phase: SlotPhase, hold: Duration, wanted: usize) {
        let now = Instant::now();
        let last = self.evictions.last.get(&phase);
        if last
            .is_some_and(|last| now.saturating_duration_since(*last) < EVICTION_INTERVAL.min(hold))
        {
            return;
        }
        self.evictions.last.insert(phase, now);
        let mut of_holder = HashMap::<SlotHolder, usize>::new();
        let (mut idle, mut closing) = (Vec::<&mut Connection>::new(), 0);
        for connection in self.connections.values_mut() {
            connection.update(now);
            if connection.phase != phase {
                continue;
            }
            if connection.closing {
                closing += 1;
            } else {
                *of_holder.entry(connection.holder).or_default() += 1;
                if connection.requests == 0 && connection.idle(now) >= hold {
                    idle.push(connection);
                }
            }
        }
        idle.sort_by_key(|connection| connection.idle_since);
        // Closing a connection makes its holder smaller, so another holder may become the largest.
        let mut ranked: Vec<_> = idle
            .into_iter()
            .map(|connection| {
                let size = of_holder.entry(connection.holder).or_default();
                let rank = *size;
                *size = size.saturating_sub(1);
                (rank, connection)
            })
            .collect();
        ranked.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        ranked.truncate(wanted.saturating_sub(closing));
        for (_, connection) in &mut ranked {
            connection.closing = true;
            connection.socket.end();
        }
        if let Some((_, longest)) = ranked.first() {
            let longest = (longest.client, longest.holder, longest.idle(now));
            let closed = ranked.len();
            self.evictions.report(now, phase, closed, longest);
        }
    }
}

impl EvictionReport {
    fn report(
        &mut self,
        now: Instant,
        phase: SlotPhase,
        closed: usize,
        (client, holder, idle): (SocketAddr, SlotHolder, Duration),
    ) {
        self.unreported += closed;
        let reported = self.reported;
        if reported.is_some_and(|at| now.saturating_duration_since(at) < REPORT_INTERVAL) {
            return;
        }
        self.reported = Some(now);
        let connections = std::mem::take(&mut self.unreported);
        let user = match holder {
            SlotHolder::User(uid) => Some(uid),
            SlotHolder::Address(_) => None,
        };
        let idle_ms = millis(idle);
        if phase == SlotPhase::Unread {
            tracing::warn!(
                connections, %client, user, idle_ms,
                "closed client connections that sent no request: others wait to be accepted"
            );
        } else {
            tracing::warn!(
                connections, %client, user, idle_ms,
                "closed idle client connections: others wait for a slot"
            );
        }
    }
}

impl Connection {
    /// Bytes and requests end the idle time of a connection with a slot. One without a slot counts as idle from its start: an incomplete
    /// head is no request, and a client that only requests `/-/` keeps others out too.
    fn update(&mut self, now: Instant) {
        let bytes = self.socket.tcp().map_or(0, |tcp| {
            tcp.bytes_read().saturating_add(tcp.bytes_written())
        });
        let moved = bytes != self.bytes || self.requests > 0;
        if moved && self.phase != SlotPhase::Unread {
            self.idle_since = now;
        }
        self.bytes = bytes;
    }

    fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.idle_since)
    }
}
