use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::io::Tcp;

/// What is known of a connection that is over.
pub(crate) async fn about(hop: bool) -> About {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = listener.local_addr().unwrap();
    let socket = TcpStream::connect(peer).await.unwrap();
    About {
        peer,
        tcp: Tcp::new(socket).monitor(),
        hop,
        absolute_form: None,
        flood: Flood::default(),
    }
}

#[tokio::test]
async fn a_spare_that_nobody_used_for_long_is_watched_like_a_reused_connection() {
    let about = about(false).await;
    tokio::time::pause();
    let pool = Pool::new(config::Pool {
        idle_timeout: Duration::from_secs(60),
        idle_per_origin: 8,
    });
    let key = Arc::new(Key {
        route: "r".into(),
        public_only: false,
        upstream: "direct".into(),
        scheme: Scheme::Https,
        target: Target::parse("git.test:443", None).unwrap(),
        bound_to: None,
    });
    let (io, _far) = tokio::io::duplex(64);
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    pool.keep_spare(&key, Sender::Http1(sender), about);
    assert!(pool.has_spare(&key));
    tokio::time::advance(SPARE_LIFE + Duration::from_secs(1)).await;
    assert!(!pool.has_spare(&key));
    let lease = pool.take(&key).await.unwrap();
    assert!(lease.reused, "it may have died meanwhile");
}
