use std::net::{TcpListener, TcpStream as StdStream};

use tokio::{net::TcpStream, task::JoinSet};

use super::*;
use crate::io::Tcp;

/// Of `slots`, where this is all that matters.
fn slots_of(slots: usize) -> Slots {
    Slots::new(SlotLimits::new(slots))
}

/// A client's connection: both ends.
struct ClientSockets {
    slot: Arc<Slot>,
    tcp: Tcp,
    _far: StdStream,
}

fn client(slots: &Slots, user: u32) -> ClientSockets {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, peer) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    let tcp = Tcp::new(TcpStream::from_std(near).unwrap());
    let slot = slots.enter(peer, Some(SocketOwner::User(user)), tcp.monitor());
    ClientSockets {
        slot: Arc::new(slot),
        tcp,
        _far: far,
    }
}

async fn with_slot(slots: &Slots, user: u32) -> ClientSockets {
    let client = client(slots, user);
    client.slot.take().await.unwrap();
    client
}

/// True where a slot is obtained within `seconds`.
async fn gets_slot(client: &ClientSockets, seconds: u64) -> bool {
    let within = Duration::from_secs(seconds);
    timeout(within, client.slot.take()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn one_user_cannot_take_the_reserve() {
    let slots = slots_of(16);
    let mut held = Vec::new();
    for _ in 0..14 {
        held.push(with_slot(&slots, 1).await);
    }
    let (mine, other) = (client(&slots, 1), client(&slots, 2));
    assert!(!gets_slot(&mine, 1).await, "two of sixteen are for others");
    assert!(gets_slot(&other, 1).await);
    held.pop();
    assert!(gets_slot(&mine, 1).await);
}

#[tokio::test(start_paused = true)]
async fn the_holder_with_fewest_slots_gets_the_next_one() {
    let slots = slots_of(4);
    let mut held = vec![with_slot(&slots, 2).await];
    for _ in 0..3 {
        held.push(with_slot(&slots, 1).await);
    }
    let (greedy, modest) = (client(&slots, 1), client(&slots, 2));
    let frees = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        held.pop();
    };
    let (greedy, modest, ()) = tokio::join!(gets_slot(&greedy, 3), gets_slot(&modest, 3), frees);
    assert_eq!((greedy, modest), (false, true));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_for_a_waiting_client_and_a_busy_one_is_not() {
    let slots = slots_of(2);
    let (answered, silent) = (with_slot(&slots, 1).await, with_slot(&slots, 1).await);
    let _busy = answered.slot.mark_busy();
    let waits = client(&slots, 1);
    // In the daemon, closing a connection frees its slot because the connection's task ends.
    let task = async {
        silent.tcp.socket().readable().await.unwrap();
        drop(silent);
    };
    let (obtained, ()) = tokio::join!(gets_slot(&waits, 60), async {
        tokio::time::sleep(MIN_IDLE * 2).await;
        task.await;
    });
    assert!(obtained);
    let still_open = answered.tcp.socket().try_read(&mut [0]).unwrap_err();
    assert_eq!(still_open.kind(), std::io::ErrorKind::WouldBlock);
}

/// The daemon's end of a connection: its task ends when the socket is shut down, and its slot is free.
async fn task_of(client: ClientSockets) {
    client.tcp.socket().readable().await.unwrap();
}

/// Accepts `count` connections of one user that send nothing, each as soon as there is room.
async fn flood(slots: &Slots, tasks: &mut JoinSet<()>, count: usize) {
    for _ in 0..count {
        slots.wait_for_room().await;
        tasks.spawn(task_of(client(slots, 1)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_silent_connections_delays_the_next_client_by_seconds_and_not_by_its_length() {
    // Also where the process may open so few descriptors that few of them are accepted at once.
    for unread in [MIN_UNREAD, 64] {
        let limits = SlotLimits {
            unread,
            ..SlotLimits::new(64)
        };
        let (slots, mut tasks) = (Slots::new(limits), JoinSet::new());
        let start = Instant::now();
        flood(&slots, &mut tasks, unread).await;
        assert_eq!(start.elapsed(), Duration::ZERO, "there is room for these");
        timeout(MIN_AGE_UNREAD / 2, slots.wait_for_room())
            .await
            .expect_err("they are too young to be closed");
        // Half of those that were accepted are closed at a time.
        flood(&slots, &mut tasks, 4 * 64).await;
        slots.wait_for_room().await;
        assert!(
            start.elapsed() < 2 * MAX_AGE_UNREAD,
            "{unread}: {:?}",
            start.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_with_most_silent_connections_loses_them_first() {
    let slots = slots_of(64);
    let others = [client(&slots, 2), client(&slots, 3)];
    let many: Vec<_> = (2..MIN_UNREAD).map(|_| client(&slots, 1)).collect();
    assert!(
        timeout(MIN_AGE_UNREAD * 2, slots.wait_for_room())
            .await
            .is_err()
    );
    let ended = |one: &ClientSockets| one.tcp.socket().try_read(&mut [0]).is_ok();
    assert_eq!(many.iter().filter(|one| ended(one)).count(), MIN_UNREAD / 2);
    assert!(!others.iter().any(ended));
}

#[tokio::test(start_paused = true)]
async fn connections_that_only_request_pages_are_closed_too() {
    let slots = slots_of(64);
    let clients: Vec<_> = (0..MIN_UNREAD).map(|_| client(&slots, 1)).collect();
    for _ in 0..2 * MAX_AGE_UNREAD.as_millis() / EVICTION_INTERVAL.as_millis() {
        clients
            .iter()
            .for_each(|client| drop(client.slot.mark_busy()));
        let _ = timeout(EVICTION_INTERVAL, slots.wait_for_room()).await;
    }
    let table = slots.0.table.lock();
    let closed = table.connections.values().filter(|one| one.closing);
    assert_eq!(closed.count(), MIN_UNREAD / 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_with_an_incomplete_head_is_closed_as_idle() {
    use std::io::Write as _;
    let slots = slots_of(64);
    let mut clients: Vec<_> = (0..MIN_UNREAD).map(|_| client(&slots, 1)).collect();
    let checks = 2 * (MAX_AGE_UNREAD.as_millis() / EVICTION_INTERVAL.as_millis());
    for _ in 0..checks {
        for client in &mut clients {
            let _ = client._far.write_all(b"G");
            let _ = client.tcp.socket().readable().await;
            let _ = tokio::io::AsyncReadExt::read(&mut client.tcp, &mut [0; 8]).await;
        }
        let _ = timeout(EVICTION_INTERVAL, slots.wait_for_room()).await;
    }
    let table = slots.0.table.lock();
    let closed = table.connections.values().filter(|one| one.closing);
    assert_eq!(closed.count(), MIN_UNREAD / 2);
}

#[test]
fn slots_get_descriptors_first_and_unread_connections_half_of_the_rest() {
    let limits = |asked, descriptors| {
        let limits = SlotLimits::within(asked, descriptors);
        (limits.slots, limits.unread, limits.waiting)
    };
    assert_eq!(limits(1024, 0), (1, MIN_UNREAD, MIN_WAITING));
    assert_eq!(limits(1024, 200), (67, MIN_UNREAD, 50));
    assert_eq!(limits(1024, 960), (386, 60, MAX_WAITING));
    assert_eq!(limits(1024, 4032), (1024, 928, MAX_WAITING));
    assert_eq!(limits(1024, 524_288), (1024, MAX_UNREAD, MAX_WAITING));
    assert_eq!(limits(0, 524_288), (1, MAX_UNREAD, MAX_WAITING));
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_are_limited_and_a_dropped_one_no_longer_counts() {
    let slots = slots_of(1);
    let held = with_slot(&slots, 1).await;
    let own = (0..MAX_WAITING / 2).map(|_| client(&slots, 1));
    let waiting: Vec<ClientSockets> = own.collect();
    let mut takes: Vec<_> = waiting
        .iter()
        .map(|one| Box::pin(one.slot.take()))
        .collect();
    for take in &mut takes {
        assert!(timeout(Duration::ZERO, take).await.is_err());
    }
    let late = client(&slots, 1);
    assert!(late.slot.take().await.is_err());
    let other = client(&slots, 2);
    let another_user = timeout(Duration::ZERO, other.slot.take()).await;
    assert!(another_user.is_err(), "another user may wait");
    drop(takes);
    drop((waiting, held));
    late.slot.take().await.unwrap();
}
