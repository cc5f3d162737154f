//! The slots of clients: how many connections at once, and for whom.
//!
//! One client (a local user, else an address) never holds all of them: a reserve stays for the others. A connection whose request is
//! not read yet needs no slot, so that `/-/` is answered when all are taken; a request that needs one waits for it. While somebody
//! waits, the connection on which nothing has moved for longest is ended, the largest holder's first.

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

/// Connections at once whose first request is not read yet. Enough for `gitferry status` and a status page beside anything else.
pub(crate) const UNREAD: usize = 16;
/// Requests that may wait for a slot.
pub(crate) const WAITING: usize = 64;
/// How long nothing may move on a connection before it is ended for somebody who waits.
const HOLD: Duration = Duration::from_secs(10);
/// The same for one that has not said what it wants.
const HOLD_UNREAD: Duration = Duration::from_secs(2);
/// How often somebody who waits looks for a connection to end.
const LOOK: Duration = Duration::from_millis(500);

/// Whose slots are counted together.
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
    /// What one holder leaves to the others.
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
    /// The log has it since the last time that there was room.
    told: bool,
}

#[derive(Debug)]
struct Connection {
    client: SocketAddr,
    holder: SlotHolder,
    socket: TcpMonitor,
    part: SlotUse,
    /// Its socket was shut down for somebody who waited.
    ended: bool,
    /// Requests that are being answered.
    busy: usize,
    /// Bytes both ways, and since when there are not more.
    moved: (u64, Instant),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotUse {
    /// It has not said what it wants, or only asked for `/-/`.
    Unread,
    /// Its request waits for a slot.
    Waits,
    /// It has a slot.
    Holds,
}

/// No slot can be had.
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

    /// Counts a connection that was accepted.
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

    /// True where `holder` may have one more: there is one, the reserve is left to the others, and nobody with fewer waits.
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

    /// Ends the connection in `part` on which nothing has moved for longest, and for `hold` at least.
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
