use std::{collections::VecDeque, error::Error, sync::Mutex};

use tokio::time::{Instant, timeout};

use super::*;
use crate::model::{Secret, secret::Credentials};

const DEADLINE: Duration = Duration::from_secs(10);

fn listen(addresses: &[SocketAddr], max_connections: usize) -> Listen {
    Listen {
        addresses: addresses.to_vec(),
        max_connections,
        head_timeout: DEADLINE,
        ..crate::config::parsed("").listen
    }
}

fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn one(max_connections: usize, receive_buffer: Option<usize>) -> Acceptor {
    let listen = listen(&[anywhere()], max_connections);
    open_with_buffer(&listen, receive_buffer).unwrap().remove(0)
}

fn open_listeners(listen: &Listen) -> Result<Vec<Acceptor>, ListenError> {
    open_with_buffer(listen, None)
}

fn open_with_buffer(
    listen: &Listen,
    receive_buffer: Option<usize>,
) -> Result<Vec<Acceptor>, ListenError> {
    let limits = SlotLimits::new(listen.max_connections);
    open(
        listen,
        receive_buffer,
        None,
        limits,
        &IoThreads::of_caller(),
    )
}

#[tokio::test]
async fn a_request_over_the_limit_waits_for_a_slot() {
    let acceptor = one(1, None);
    let _clients = (
        TcpStream::connect(acceptor.address()).await.unwrap(),
        TcpStream::connect(acceptor.address()).await.unwrap(),
    );
    let accept = async || timeout(DEADLINE, acceptor.accept()).await.unwrap();
    let ((served, _), (next, _)) = (accept().await, accept().await);
    served.slot.take().await.unwrap();
    {
        let mut waiting = std::pin::pin!(next.slot.take());
        let once = std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx)));
        assert!(once.await.is_pending());
        // Dropped here while it waits: no client is lost.
    }
    drop(served);
    let taken = timeout(DEADLINE, next.slot.take()).await.unwrap();
    taken.unwrap();
}

#[tokio::test]
async fn an_idle_listener_takes_no_slot_from_a_busy_one() {
    let acceptors = open_listeners(&listen(&[anywhere(), anywhere()], 1)).unwrap();
    let [idle, busy] = acceptors.as_slice() else {
        panic!("{acceptors:?}");
    };
    let _client = TcpStream::connect(busy.address()).await.unwrap();
    let served = async {
        tokio::select! {
            biased;
            _ = idle.accept() => panic!("nobody came"),
            (client, _) = busy.accept() => client,
        }
    };
    timeout(DEADLINE, served).await.unwrap();
}

#[tokio::test]
async fn accepted_sockets_have_the_receive_buffer_nodelay_and_keepalive() {
    let acceptor = one(8, Some(32 * 1024));
    let _client = TcpStream::connect(acceptor.address()).await.unwrap();
    let (client, _) = timeout(DEADLINE, acceptor.accept()).await.unwrap();
    let socket = SockRef::from(client.tcp.socket());
    // Linux doubles it for its own bookkeeping.
    assert!(socket.recv_buffer_size().unwrap() <= 64 * 1024);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    #[cfg(target_os = "linux")]
    assert_eq!(
        (
            socket.tcp_keepalive_time().unwrap().as_secs(),
            socket.tcp_keepalive_interval().unwrap().as_secs()
        ),
        (30, 10)
    );
}

#[tokio::test]
async fn an_address_in_use_is_reported_with_advice() {
    let first = one(1, None);
    let error = open_listeners(&listen(&[first.address()], 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {}", first.address())
    );
    assert!(error.source().is_some());
    assert!(error.advice().contains("`gitferry status`"));
}

#[tokio::test]
async fn a_restart_does_not_wait_for_the_last_connections() {
    let first = one(1, None);
    let address = first.address();
    let client = TcpStream::connect(address).await.unwrap();
    // This side closes first, and so keeps the port in TIME_WAIT.
    drop(timeout(DEADLINE, first.accept()).await.unwrap());
    drop((first, client));
    open_listeners(&listen(&[address], 1)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn accept_pauses_while_descriptors_are_missing() {
    // Real sockets are created before the clock matters; accepting is simulated from a list.
    let acceptor = one(8, None);
    let std_client = std::net::TcpStream::connect(acceptor.address()).unwrap();
    std_client.set_nonblocking(true).unwrap();
    let address = acceptor.address();
    let emfile = || Err(io::Error::from_raw_os_error(nix::libc::EMFILE));
    let aborted = || Err(io::ErrorKind::ConnectionAborted.into());
    let socket = TcpStream::from_std(std_client).unwrap();
    let mut script: VecDeque<io::Result<(TcpStream, SocketAddr)>> = VecDeque::new();
    script.extend([aborted(), aborted()]);
    script.extend((0..10).map(|_| emfile()));
    script.push_back(Ok((socket, address)));
    let script = Mutex::new(script);
    let start = Instant::now();
    let next = || std::future::ready(script.lock().unwrap().pop_front().unwrap());
    acceptor.accept_with_retry(next).await;
    // Ten pauses: 5 + 10 + … + 640, then two of a second.
    assert_eq!(start.elapsed().as_millis(), 5 * 255 + 2000);
}

#[test]
fn a_systemd_socket_on_the_network_needs_credentials() {
    let bound = |address: &str| bind(&address.parse().unwrap()).unwrap();
    assert!(check_inherited(&bound("127.0.0.1:0"), false).is_ok());
    let open = bound("0.0.0.0:0");
    assert!(check_inherited(&open, true).is_ok());
    let error = check_inherited(&open, false).unwrap_err();
    let source = error.source().unwrap().to_string();
    assert!(source.contains("`username` of `[listen]`"), "{source}");
    let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    assert!(check_inherited(&other, true).is_err());
}

#[tokio::test]
async fn credentials_in_the_config_are_not_in_an_error() {
    let mut listen = listen(&["192.0.2.77:1".parse().unwrap()], 1);
    listen.credentials = Some(Credentials {
        username: "me".into(),
        password: Secret::new("hunter2"),
    });
    let error = open_listeners(&listen).unwrap_err();
    assert!(!format!("{error} {error:?} {}", error.advice()).contains("hunter2"));
    assert!(error.advice().contains("no interface"));
}
