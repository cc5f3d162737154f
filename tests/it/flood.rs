//! Many connections of one user that send no request: everybody else is still served.

use std::{
    io::{ErrorKind, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use socket2::SockRef;

use crate::support::{ferry::Ferry, world::World};

/// More than the daemon takes at once (1,024 without a request) and the kernel queues behind them.
const FLOOD: usize = 1_100;

/// Connections that send `head` and nothing more.
struct Flood(Vec<TcpStream>);

impl Flood {
    fn open(to: SocketAddr, head: &str) -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(8192)), hard).unwrap();
        let connection = |_| {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        };
        Self((0..FLOOD).map(connection).collect())
    }

    /// How many the daemon has not closed.
    fn still_open(&self) -> usize {
        let open = |stream: &&TcpStream| {
            let error = stream.peek(&mut [0]).err();
            error.is_some_and(|error| error.kind() == ErrorKind::WouldBlock)
        };
        self.0.iter().filter(open).count()
    }
}

/// What delays the others is the time that an idle connection is granted, and not the length of the queue: half of it is still open then.
#[test]
fn status_and_pages_are_served_beside_a_thousand_connections_without_a_request_and_one_line_says_so()
 {
    let world = World::new();
    for head in ["", "GET http://main.test/ HTTP/1.1\r\nHost: main"] {
        let ferry = Ferry::start(&world.settings());
        let flood = Flood::open(ferry.address, head);
        let mut status = Command::new(env!("CARGO_BIN_EXE_gitferry"));
        status.args(["status", "--address", &ferry.address.to_string()]);
        let status = status.output().unwrap();
        assert!(status.status.success(), "{status:?}");
        assert!(ferry.get("/-/healthz").starts_with("HTTP/1.1 200"));
        let open = flood.still_open();
        assert!(open >= FLOOD / 2 - 100, "{open} of {FLOOD} are left");
        let closed = ferry.wait_for_events(
            "closed client connections that sent no request: others wait to be accepted",
            1,
        );
        assert_eq!(closed.len(), 1, "{closed:?}");
        assert!(
            closed[0]["connections"].as_u64().unwrap() > 100,
            "{closed:?}"
        );
        assert_eq!(ferry.fault_codes(), Vec::<String>::new());
    }
}

/// Ctrl-C before the daemon has accepted the connection: no rule of the config denied it.
#[test]
fn a_client_that_closed_before_it_was_accepted_is_gone_and_not_denied() {
    let world = World::new();
    let ferry = Ferry::start(&world.settings());
    ferry.pause();
    for reset in [false, true] {
        let mut client = TcpStream::connect(ferry.address).unwrap();
        client
            .write_all(b"GET http://main.test/ HTTP/1.1\r\nHost: main.test\r\n\r\n")
            .unwrap();
        if reset {
            SockRef::from(&client)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
    }
    ferry.resume();
    let ended = ferry.wait_for_events("transfer ended", 2);
    for line in &ended {
        assert_eq!(line["result"], "client/accepted/gone", "{line}");
    }
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}
