//! The slots of clients: how many connections may be open at once, and for which holder.
//!
//! One holder (a local user, else an address) never gets all slots: a reserve stays for the others. A connection whose request has not been
//! read needs no slot, so `/-/` is answered when all slots are taken; a request that needs one waits for it. While a request waits, the
//! connection that was idle longest is closed, the largest holder's first.

mod slot;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

pub(crate) use slot::Slot;

use crate::{io::TcpMonitor, model::access::SocketOwner};

/// The most connections whose first request has not been read: enough for `gitferry status` and a status page beside other clients.
pub(crate) const UNREAD: usize = 16;
/// Requests that may wait for a slot.
pub(crate) const WAITING: usize = 64;
/// How long a connection must be idle before it is closed for a waiting request.
const HOLD: Duration = Duration::from_secs(10);
/// The same for a connection that has not sent a request.
const HOLD_UNREAD: Duration = Duration::from_secs(2);
/// How often a waiting request looks for a connection to close.
const LOOK: Duration = Duration::from_millis(500);

/// The holder whose slots are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SlotHolder {
    User(u32),
    Address(IpAddr),
}

/// Every slot. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<SlotsState>);

#[derive(Debug)]
struct SlotsState {
    capacity: usize,
    /// The slots that one holder must leave to others.
    reserve: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    connections: HashMap<u64, Connection>,
    held: HashMap<SlotHolder, usize>,
    waiting: HashMap<SlotHolder, usize>,
    unread: usize,
    /// True where the log has reported it since there was last room.
    told: bool,
}

#[derive(Debug)]
struct Connection {
    client: SocketAddr,
    holder: SlotHolder,
    socket: TcpMonitor,
    part: SlotUse,
    /// True where its socket was shut down for a waiting request.
    ended: bool,
    /// Requests that are being answered.
    busy: usize,
    /// Bytes in both directions, and since when they have not changed.
    moved: (u64, Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotUse {
    /// It has sent no request, or only asked for `/-/`.
    Unread,
    /// Its request waits for a slot.
    Waits,
    /// It has a slot.
    Holds,
}

/// No slot can be obtained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotsFull;

impl Slots {
    /// `capacity` slots.
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let reserve = (capacity / 8).min(64);
        Self(Arc::new(SlotsState {
            capacity,
            reserve,
            state: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// Waits until another connection may be accepted. May be dropped at any time.
    pub(crate) async fn room(&self) {
        loop {
            let changed = self.0.changed.notified();
            let now = Instant::now();
            {
                let mut state = self.0.lock();
                if state.unread < UNREAD {
                    return;
                }
                state.end_one(now, SlotUse::Unread, HOLD_UNREAD);
            }
            let _ = timeout(LOOK, changed).await;
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
            Some(SocketOwner::Unknown(_)) | None => SlotHolder::Address(client.ip()),
        };
        let mut state = self.0.lock();
        state.next += 1;
        let id = state.next;
        let connection = Connection {
            client,
            holder,
            socket,
            part: SlotUse::Unread,
            ended: false,
            busy: 0,
            moved: (0, Instant::now()),
        };
        state.connections.insert(id, connection);
        state.unread += 1;
        Slot {
            slots: self.clone(),
            id,
        }
    }
}

impl SlotsState {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True where `holder` may have one more: a slot is free, the reserve stays, and no holder with fewer slots waits.
    fn permits(&self, state: &State, holder: SlotHolder) -> bool {
        let own = state.held(holder);
        let fewer = |(other, waiting): (&SlotHolder, &usize)| {
            *other != holder && *waiting > 0 && state.held(*other) < own
        };
        state.held.values().sum::<usize>() < self.capacity
            && own < self.capacity - self.reserve
            && !state.waiting.iter().any(fewer)
    }
}

impl State {
    fn held(&self, holder: SlotHolder) -> usize {
        self.held.get(&holder).copied().unwrap_or(0)
    }

    /// Closes the connection in `part` that was idle longest, and at least for `hold`.
    fn end_one(&mut self, now: Instant, part: SlotUse, hold: Duration) {
        for connection in self.connections.values_mut() {
            connection.look(now);
        }
        let held = &self.held;
        let still = |one: &Connection| now.saturating_duration_since(one.moved.1);
        let worst = self
            .connections
            .values_mut()
            .filter(|one| one.part == part && !one.ended && one.busy == 0 && still(one) >= hold)
            .max_by_key(|one| (held.get(&one.holder).copied(), still(one)));
        if let Some(worst) = worst {
            worst.ended = true;
            worst.socket.end();
            tracing::warn!(
                client = %worst.client,
                still_s = still(worst).as_secs(),
                "a client's idle connection was closed: others wait for a slot"
            );
        }
    }

    fn forget(&mut self, id: u64) {
        match self.connections.remove(&id) {
            Some(one) if one.part == SlotUse::Holds => {
                take_one(&mut self.held, one.holder);
                self.told = false;
            }
            Some(one) if one.part == SlotUse::Unread => self.unread = self.unread.saturating_sub(1),
            _ => {}
        }
    }

    fn tell_full(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                advice = "if all these clients are yours, raise `max_connections` of `[listen]`",
                "connection limit reached, clients wait"
            );
        }
    }
}

impl Connection {
    fn look(&mut self, now: Instant) {
        let bytes = self.socket.tcp().map_or(0, |tcp| {
            tcp.bytes_read().saturating_add(tcp.bytes_written())
        });
        if bytes != self.moved.0 || self.busy > 0 {
            self.moved = (bytes, now);
        }
    }
}

fn take_one(counts: &mut HashMap<SlotHolder, usize>, holder: SlotHolder) {
    if let Some(count) = counts.get_mut(&holder) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&holder);
        }
    }
}

#[cfg(test)]
mod tests;
