//! The slot of one connection.

use tokio::time::{Instant, timeout};

use super::{
    Connection, HOLD, LOOK, SlotHolder, SlotUse, Slots, SlotsFull, State, WAITING, take_one,
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
        let mut state = self.slots.0.lock();
        state.forget(self.id);
        drop(state);
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
            if waiting.done() {
                return Ok(());
            }
            let _ = timeout(LOOK, changed).await;
            inner.lock().end_one(Instant::now(), SlotUse::Holds, HOLD);
        }
    }

    /// Marks a request as being answered as long as the guard lives: a client that waits for its answer is not idle.
    pub(crate) fn busy(&self) -> BusyGuard<'_> {
        if let Some(connection) = self.slots.0.lock().connections.get_mut(&self.id) {
            connection.busy += 1;
        }
        BusyGuard(self)
    }

    /// True where the connection has its slot; false where it now waits.
    fn begin(&self) -> Result<bool, SlotsFull> {
        let mut state = self.slots.0.lock();
        let Some((part, holder)) = state.connections.get(&self.id).map(Connection::standing) else {
            return Ok(true);
        };
        if part == SlotUse::Holds {
            return Ok(true);
        }
        if self.slots.0.permits(&state, holder) {
            self.hold(&mut state, holder);
            return Ok(true);
        }
        state.tell_full();
        if state.waiting.values().sum::<usize>() >= WAITING {
            return Err(SlotsFull);
        }
        *state.waiting.entry(holder).or_default() += 1;
        self.set(&mut state, SlotUse::Waits);
        Ok(false)
    }

    fn hold(&self, state: &mut State, holder: SlotHolder) {
        *state.held.entry(holder).or_default() += 1;
        self.set(state, SlotUse::Holds);
    }

    fn set(&self, state: &mut State, part: SlotUse) {
        if let Some(connection) = state.connections.get_mut(&self.id) {
            let before = std::mem::replace(&mut connection.part, part);
            if before == SlotUse::Unread {
                state.unread = state.unread.saturating_sub(1);
            }
        }
        // Where many connections had sent no request, one more may now be accepted.
        self.slots.0.changed.notify_waiters();
    }
}

impl Connection {
    fn standing(&self) -> (SlotUse, SlotHolder) {
        (self.part, self.holder)
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
    fn done(&self) -> bool {
        let inner = &self.0.slots.0;
        let mut state = inner.lock();
        match state.connections.get(&self.0.id).map(Connection::standing) {
            Some((SlotUse::Waits, holder)) if inner.permits(&state, holder) => {
                self.0.hold(&mut state, holder);
                true
            }
            Some((SlotUse::Waits, _)) => false,
            _ => true,
        }
    }
}

impl Drop for SlotWaiter<'_> {
    fn drop(&mut self) {
        let mut state = self.0.slots.0.lock();
        if let Some(holder) = state.connections.get(&self.0.id).map(|one| one.holder) {
            take_one(&mut state.waiting, holder);
        }
    }
}

/// Keeps a connection from being treated as idle.
#[derive(Debug)]
pub(crate) struct BusyGuard<'p>(&'p Slot);

impl Drop for BusyGuard<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0.slots.0.lock().connections.get_mut(&self.0.id) {
            connection.busy = connection.busy.saturating_sub(1);
            connection.moved.1 = Instant::now();
        }
    }
}
