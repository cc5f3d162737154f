use hyper_util::rt::TokioIo;
use tokio::{
    io::DuplexStream,
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{io::Tcp, rt::io_thread_number};

/// The properties of a connection that has ended.
pub(crate) async fn connection_info(hop: bool) -> ConnectionInfo {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    let socket = TcpStream::connect(peer).await.unwrap();
    ConnectionInfo {
        peer,
        tcp: Tcp::new(socket).monitor(),
        hop,
        genuine: false,
        absolute_form: None,
        flood: Flood::default(),
        stale_timer: Mutex::default(),
        io_thread: io_thread_number(),
    }
}

/// A connection, and the origin's end of it.
async fn open_connection() -> (Sender, DuplexStream) {
    let (io, far) = tokio::io::duplex(64);
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(io));
    let (sender, connection) = handshake.await.unwrap();
    let sender = Http1::new(sender, async move { drop(connection.await) });
    (Sender::Http1(sender), far)
}

fn pool() -> Pool {
    Pool::new(config::PoolConfig {
        idle_timeout: Duration::from_secs(60),
        idle_per_origin: 8,
    })
}

fn key(host: &str) -> Arc<Key> {
    Arc::new(Key {
        route: "r".into(),
        public_only: false,
        upstream: "direct".into(),
        scheme: Scheme::Https,
        target: Target::parse(host, Some(443)).unwrap(),
        bound_to: None,
    })
}

#[test]
fn at_most_four_spare_connections_are_opened_at_once() {
    let pool = pool();
    let hosts = ["a.test", "b.test", "c.test", "d.test"];
    let mut opening: Vec<_> = hosts
        .iter()
        .map(|host| pool.open_spare(&key(host)).unwrap())
        .collect();
    assert!(pool.open_spare(&key("e.test")).is_none());
    // One failed.
    opening.pop();
    assert!(pool.open_spare(&key("e.test")).is_some());
}

#[tokio::test]
async fn an_old_spare_counts_as_a_reused_connection() {
    let info = connection_info(false).await;
    tokio::time::pause();
    let pool = pool();
    let key = key("git.test");
    let (sender, _far) = open_connection().await;
    let opening = pool.open_spare(&key).unwrap();
    assert!(pool.open_spare(&key).is_none(), "one is being opened");
    opening.insert(sender, info);
    assert!(pool.open_spare(&key).is_none(), "one waits");
    tokio::time::advance(SPARE_LIFETIME + Duration::from_secs(1)).await;
    assert!(pool.open_spare(&key).is_some());
    let lease = pool.take(&key).await.unwrap();
    assert!(lease.reused, "it may have died meanwhile");
}

#[tokio::test]
async fn a_push_takes_a_recent_connection_unless_a_hop_may_close_it_unannounced() {
    let by_hop = AbsoluteForm {
        authorization: None,
        via: true,
    };
    for (absolute_form, taken) in [(None, true), (Some(by_hop), false)] {
        let (pool, key) = (pool(), key("git.test"));
        let (sender, _far) = open_connection().await;
        let info = ConnectionInfo {
            absolute_form,
            ..connection_info(true).await
        };
        pool.lease(Arc::clone(&key), sender, info).return_to_pool();
        assert_eq!(pool.take_recent(&key).await.is_some(), taken);
        // Another request, which may be repeated, takes it in any case.
        assert_eq!(pool.take(&key).await.is_some(), !taken);
    }
}

#[tokio::test]
async fn a_request_takes_a_connection_of_its_own_thread_first() {
    let (pool, key) = (pool(), key("git.test"));
    let (here, elsewhere) = (io_thread_number(), Some(7));
    let mut origin = Vec::new();
    let mut leases = Vec::new();
    // The connection of the other thread is the most recently used one.
    for io_thread in [here, elsewhere] {
        let (sender, far) = open_connection().await;
        let info = ConnectionInfo {
            io_thread,
            ..connection_info(false).await
        };
        leases.push(pool.lease(Arc::clone(&key), sender, info));
        origin.push(far);
    }
    for lease in leases {
        lease.return_to_pool();
    }
    let first = pool.take(&key).await.unwrap();
    let second = pool.take(&key).await.unwrap();
    assert_eq!(first.info.io_thread, here);
    assert_eq!(second.info.io_thread, elsewhere);
}
