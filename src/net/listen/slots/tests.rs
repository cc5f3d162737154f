use std::net::{TcpListener, TcpStream as StdStream};

use tokio::net::TcpStream;

use super::*;
use crate::io::Tcp;

/// A client's connection: both ends.
struct ClientSockets {
    slot: Slot,
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
        slot,
        tcp,
        _far: far,
    }
}

async fn with_place(slots: &Slots, user: u32) -> ClientSockets {
    let client = client(slots, user);
    client.slot.take().await.unwrap();
    client
}

/// True where a slot is obtained within `seconds`.
async fn comes(client: &ClientSockets, seconds: u64) -> bool {
    let within = Duration::from_secs(seconds);
    timeout(within, client.slot.take()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn one_user_with_every_place_they_may_have_leaves_the_reserve_to_others() {
    let slots = Slots::new(16);
    let mut held = Vec::new();
    for _ in 0..14 {
        held.push(with_place(&slots, 1).await);
    }
    let (mine, other) = (client(&slots, 1), client(&slots, 2));
    assert!(!comes(&mine, 1).await, "two of sixteen are for others");
    assert!(comes(&other, 1).await);
    held.pop();
    assert!(comes(&mine, 1).await);
}

#[tokio::test(start_paused = true)]
async fn whoever_has_fewest_gets_the_next_place() {
    let slots = Slots::new(4);
    let mut held = vec![with_place(&slots, 2).await];
    for _ in 0..3 {
        held.push(with_place(&slots, 1).await);
    }
    let (greedy, modest) = (client(&slots, 1), client(&slots, 2));
    let frees = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        held.pop();
    };
    let (greedy, modest, ()) = tokio::join!(comes(&greedy, 3), comes(&modest, 3), frees);
    assert_eq!((greedy, modest), (false, true));
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_ended_for_somebody_who_waits_and_a_busy_one_is_not() {
    let slots = Slots::new(2);
    let (answered, silent) = (with_place(&slots, 1).await, with_place(&slots, 1).await);
    let _busy = answered.slot.busy();
    let waits = client(&slots, 1);
    // In the daemon, closing a connection frees its slot because the connection's task ends.
    let task = async {
        silent.tcp.socket().readable().await.unwrap();
        drop(silent);
    };
    let (came, ()) = tokio::join!(comes(&waits, 60), async {
        tokio::time::sleep(HOLD * 2).await;
        task.await;
    });
    assert!(came);
    let still_open = answered.tcp.socket().try_read(&mut [0]).unwrap_err();
    assert_eq!(still_open.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test(start_paused = true)]
async fn connections_that_say_nothing_keep_the_next_one_out_for_a_moment_only() {
    let slots = Slots::new(64);
    let silent: Vec<ClientSockets> = (0..UNREAD).map(|_| client(&slots, 1)).collect();
    let start = Instant::now();
    assert!(timeout(HOLD_UNREAD / 2, slots.room()).await.is_err());
    let mut silent = silent.into_iter();
    let room = timeout(HOLD * 6, slots.room());
    let ends = async {
        tokio::time::sleep(HOLD_UNREAD * 2).await;
        drop(silent.next());
    };
    let (room, ()) = tokio::join!(room, ends);
    room.unwrap();
    assert!(start.elapsed() < HOLD, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn requests_that_wait_are_not_without_number_and_a_dropped_one_is_forgotten() {
    let slots = Slots::new(1);
    let held = with_place(&slots, 1).await;
    let waiting: Vec<ClientSockets> = (0..WAITING).map(|_| client(&slots, 1)).collect();
    let mut takes: Vec<_> = waiting
        .iter()
        .map(|one| Box::pin(one.slot.take()))
        .collect();
    for take in &mut takes {
        assert!(timeout(Duration::ZERO, take).await.is_err());
    }
    let late = client(&slots, 1);
    assert!(late.slot.take().await.is_err());
    drop(takes);
    drop((waiting, held));
    late.slot.take().await.unwrap();
}
