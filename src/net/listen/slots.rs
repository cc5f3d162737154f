//! The slots of clients: how many connections may be open at once, and for which holder.
//!
//! One holder (a local user, else an address) never gets all slots: a reserve stays for the others. A connection whose request has not been
//! read needs no slot, so `/-/` is answered when all slots are taken; a request that needs one waits for it. While a client waits, for a slot
//! or to be accepted, the connections that were idle longest are closed, the largest holder's first.

mod eviction;
mod slot;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use eviction::EvictionReport;
pub(crate) use slot::{BusyGuard, Slot};

use crate::{io::TcpMonitor, model::access::SocketOwner, sync::Mutex};

/// Connections whose first request has not been read that are accepted in any case: enough for `gitferry status` and a status page beside
/// other clients.
pub(crate) const MIN_UNREAD: usize = 16;
/// The most such connections, as many as the kernel queues: a flood of silent connections delays a client by [`MAX_AGE_UNREAD`], not by the
/// whole queue.
pub(crate) const MAX_UNREAD: usize = 1024;
/// The most requests that wait for a slot.
pub(crate) const MAX_WAITING: usize = 128;
/// The fewest, where the process may open few descriptors.
const MIN_WAITING: usize = 8;
/// How long a connection must be idle before it is closed for a waiting request.
const MIN_IDLE: Duration = Duration::from_secs(10);
/// The age at which a connection without a complete request is closed for one that waits to be accepted, where there may be [`MAX_UNREAD`] of
/// them. Where there may be fewer, it is shorter, so that a flood passes as fast.
const MAX_AGE_UNREAD: Duration = Duration::from_secs(2);
/// The shortest such age: a client on this machine sends its request at once.
const MIN_AGE_UNREAD: Duration = Duration::from_millis(100);
/// How often a waiting client looks for connections to close.
const EVICTION_INTERVAL: Duration = Duration::from_millis(500);

/// How many clients are served at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotLimits {
    /// Connections with a slot.
    pub slots: usize,
    /// Connections whose first request has not been read.
    pub unread: usize,
    /// Requests that wait for a slot.
    pub waiting: usize,
}

impl SlotLimits {
    /// With [`MIN_UNREAD`] connections without a request.
    #[cfg(test)]
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            slots: slots.max(1),
            unread: MIN_UNREAD,
            waiting: MAX_WAITING,
        }
    }

    /// The limits for `asked` slots with this many free descriptors. A slot takes two, one for the client and one for its upstream. Half of
    /// the rest is for connections without a request; idle connections to origins need the other half.
    pub(crate) fn within(asked: usize, descriptors: usize) -> Self {
        let waiting = (descriptors / 4).clamp(MIN_WAITING, MAX_WAITING);
        let least_unread = (descriptors / 16).clamp(MIN_UNREAD, MAX_UNREAD);
        let for_slots = descriptors.saturating_sub(least_unread + waiting) / 2;
        let slots = for_slots.clamp(1, asked.max(1));
        let rest = descriptors.saturating_sub(waiting + 2 * slots);
        Self {
            slots,
            unread: (rest / 2).clamp(least_unread, MAX_UNREAD),
            waiting,
        }
    }

    /// The age at which a connection without a complete request may be closed for one that waits to be accepted.
    fn unread_age(self) -> Duration {
        let share = MAX_AGE_UNREAD.mul_f64(self.unread as f64 / MAX_UNREAD as f64);
        share.clamp(MIN_AGE_UNREAD, MAX_AGE_UNREAD)
    }
}

/// The holder whose slots are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SlotHolder {
    User(u32),
    Address(IpAddr),
}

/// Every slot. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<SharedSlots>);

#[derive(Debug)]
struct SharedSlots {
    limits: SlotLimits,
    /// The slots that one holder must leave to others.
    reserve: usize,
    table: Mutex<SlotTable>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct SlotTable {
    next: u64,
    connections: HashMap<u64, Connection>,
    held: HashMap<SlotHolder, usize>,
    waiting: HashMap<SlotHolder, usize>,
    unread: usize,
    /// True where the log has reported that the limit is reached, since there was last room.
    full_reported: bool,
    evictions: EvictionReport,
}

#[derive(Debug)]
struct Connection {
    client: SocketAddr,
    holder: SlotHolder,
    socket: TcpMonitor,
    phase: SlotPhase,
    /// True where its socket was shut down for a waiting client.
    closing: bool,
    /// Requests that are being answered.
    requests: usize,
    /// Bytes in both directions when they were last compared.
    bytes: u64,
    /// Since when it is idle.
    idle_since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SlotPhase {
    /// It has sent no request, or only asked for `/-/`.
    Unread,
    /// Its request waits for a slot.
    Waiting,
    /// It has a slot.
    Holding,
}

/// No slot can be obtained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotsFull;

impl Slots {
    /// With these limits.
    pub(crate) fn new(limits: SlotLimits) -> Self {
        let reserve = (limits.slots / 8).min(64);
        Self(Arc::new(SharedSlots {
            limits,
            reserve,
            table: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Waits until another connection may be accepted. May be dropped at any time.
    pub(crate) async fn wait_for_room(&self) {
        let (limit, age) = (self.0.limits.unread, self.0.limits.unread_age());
        loop {
            let changed = self.0.changed.notified();
            {
                let mut table = self.0.table.lock();
                if table.unread < limit {
                    return;
                }
                // Half of them: the next ones in the queue are accepted without a wait.
                table.evict(SlotPhase::Unread, age, limit / 2);
            }
            let _ = timeout(EVICTION_INTERVAL.min(age), changed).await;
        }
    }

    /// Counts an accepted connection.
    pub(crate) fn enter(
        &self,
        client: SocketAddr,
        owner: Option<SocketOwner>,
        socket: TcpMonitor,
    ) -> Slot {
        let holder = match owner {
            Some(SocketOwner::User(uid)) => SlotHolder::User(uid),
            Some(SocketOwner::Closed | SocketOwner::Unknown(_)) | None => {
                SlotHolder::Address(client.ip())
            }
        };
        let mut table = self.0.table.lock();
        table.next += 1;
        let id = table.next;
        let connection = Connection {
            client,
            holder,
            socket,
            phase: SlotPhase::Unread,
            closing: false,
            requests: 0,
            bytes: 0,
            idle_since: Instant::now(),
        };
        table.connections.insert(id, connection);
        table.unread += 1;
        Slot {
            slots: self.clone(),
            id,
        }
    }
}

impl SharedSlots {
    /// True where `holder` may have one more: a slot is free, the reserve stays, and no holder with fewer slots waits.
    fn permits(&self, table: &SlotTable, holder: SlotHolder) -> bool {
        let own = table.held(holder);
        let fewer = |(other, waiting): (&SlotHolder, &usize)| {
            *other != holder && *waiting > 0 && table.held(*other) < own
        };
        table.held.values().sum::<usize>() < self.limits.slots
            && own < self.limits.slots - self.reserve
            && !table.waiting.iter().any(fewer)
    }
}

impl SlotTable {
    fn held(&self, holder: SlotHolder) -> usize {
        self.held.get(&holder).copied().unwrap_or(0)
    }

    fn remove(&mut self, id: u64) {
        match self.connections.remove(&id) {
            Some(one) if one.phase == SlotPhase::Holding => {
                decrement(&mut self.held, one.holder);
                self.full_reported = false;
            }
            Some(one) if one.phase == SlotPhase::Unread => {
                self.unread = self.unread.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn report_full(&mut self) {
        if !std::mem::replace(&mut self.full_reported, true) {
            tracing::warn!(
                advice = "if all these clients are yours, raise `max_connections` of `[listen]`",
                "connection limit reached, clients wait"
            );
        }
    }
}

fn decrement(counts: &mut HashMap<SlotHolder, usize>, holder: SlotHolder) {
    if let Some(count) = counts.get_mut(&holder) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&holder);
        }
    }
}

#[cfg(test)]
mod tests;
