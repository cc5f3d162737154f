//! The slot of one connection.

use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::{
    Connection, EVICTION_INTERVAL, MIN_IDLE, SlotHolder, SlotPhase, SlotTable, Slots, SlotsFull,
    decrement,
};

/// A connection's slot, or its claim to one; released when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) slots: Slots,
    pub(super) id: u64,
}

impl Slot {
    /// Releases the slot while the connection stays open: event streams are counted elsewhere.
    pub(crate) fn release(&self) {
        self.slots.0.table.lock().remove(self.id);
        self.slots.0.changed.notify_waiters();
    }

    /// Waits for a slot, where the connection has none yet. Fails where too many wait already.
    pub(crate) async fn take(&self) -> Result<(), SlotsFull> {
        if self.begin()? {
            return Ok(());
        }
        let waiting = SlotWaiter(self);
        let inner = &self.slots.0;
        loop {
            let changed = inner.changed.notified();
            if waiting.try_take() {
                return Ok(());
            }
            let _ = timeout(EVICTION_INTERVAL, changed).await;
            let mut table = inner.table.lock();
            let wanted = table.waiting.values().sum();
            table.evict(SlotPhase::Holding, MIN_IDLE, wanted);
        }
    }

    /// Marks a request as being answered as long as the guard lives: a client that waits for its response, or for the rest of it, is not idle.
    pub(crate) fn mark_busy(self: &Arc<Self>) -> BusyGuard {
        if let Some(connection) = self.slots.0.table.lock().connections.get_mut(&self.id) {
            connection.requests += 1;
        }
        BusyGuard(Arc::clone(self))
    }

    /// Since when no request is being answered; `None` while one is.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let table = self.slots.0.table.lock();
        let connection = table.connections.get(&self.id)?;
        (connection.requests == 0).then_some(connection.idle_since)
    }

    /// True where the connection has its slot; false where it now waits.
    fn begin(&self) -> Result<bool, SlotsFull> {
        let mut table = self.slots.0.table.lock();
        let Some((phase, holder)) = table
            .connections
            .get(&self.id)
            .map(Connection::phase_and_holder)
        else {
            return Ok(true);
        };
        if phase == SlotPhase::Holding {
            return Ok(true);
        }
        if self.slots.0.permits(&table, holder) {
            self.hold(&mut table, holder);
            return Ok(true);
        }
        table.report_full();
        let all: usize = table.waiting.values().sum();
        let own = table.waiting.get(&holder).copied().unwrap_or(0);
        let limit = self.slots.0.limits.waiting;
        // Half of them for one holder, so that others may wait too.
        if own >= limit / 2 || all >= limit {
            return Err(SlotsFull);
        }
        table.waiting.insert(holder, own + 1);
        self.set_phase(&mut table, SlotPhase::Waiting);
        Ok(false)
    }

    fn hold(&self, table: &mut SlotTable, holder: SlotHolder) {
        *table.held.entry(holder).or_default() += 1;
        self.set_phase(table, SlotPhase::Holding);
    }

    fn set_phase(&self, table: &mut SlotTable, phase: SlotPhase) {
        if let Some(connection) = table.connections.get_mut(&self.id) {
            let before = std::mem::replace(&mut connection.phase, phase);
            if before == SlotPhase::Unread {
                table.unread = table.unread.saturating_sub(1);
            }
        }
        // Where many connections had sent no request, one more may now be accepted.
        self.slots.0.changed.notify_waiters();
    }
}

impl Connection {
    fn phase_and_holder(&self) -> (SlotPhase, SlotHolder) {
        (self.phase, self.holder)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.release();
    }
}

/// A request that waits for its connection's slot.
struct SlotWaiter<'p>(&'p Slot);

impl SlotWaiter<'_> {
    /// True where the slot is available now.
    fn try_take(&self) -> bool {
        let inner = &self.0.slots.0;
        let mut table = inner.table.lock();
        match table
            .connections
            .get(&self.0.id)
            .map(Connection::phase_and_holder)
        {
            Some((SlotPhase::Waiting, holder)) if inner.permits(&table, holder) => {
                self.0.hold(&mut table, holder);
                true
            }
            Some((SlotPhase::Waiting, _)) => false,
            _ => true,
        }
    }
}

impl Drop for SlotWaiter<'_> {
    fn drop(&mut self) {
        let mut table = self.0.slots.0.table.lock();
        if let Some(holder) = table.connections.get(&self.0.id).map(|one| one.holder) {
            decrement(&mut table.waiting, holder);
        }
    }
}

/// Keeps a connection from being treated as idle.
#[derive(Debug)]
pub(crate) struct BusyGuard(Arc<Slot>);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        if let Some(connection) = self.0.slots.0.table.lock().connections.get_mut(&self.0.id) {
            connection.requests = connection.requests.saturating_sub(1);
            if connection.phase != SlotPhase::Unread {
                connection.idle_since = Instant::now();
            }
        }
    }
}
