//! The bridge against a daemon of our own on loopback.

use std::{
    net::{IpAddr, Ipv4Addr, TcpListener},
    sync::mpsc,
    thread::JoinHandle,
};

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// A server that reads one request head and then runs a closure.
struct FakeDaemon {
    address: SocketAddr,
    thread: JoinHandle<String>,
}

impl FakeDaemon {
    fn that(act: impl FnOnce(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            act(stream);
            String::from_utf8(head).unwrap()
        });
        Self { address, thread }
    }

    fn answering(answer: &'static [u8]) -> Self {
        Self::that(move |mut stream| stream.write_all(answer).unwrap())
    }

    fn asked(self) -> String {
        self.thread.join().unwrap()
    }
}

/// A port without a listener, reserved as long as the socket lives.
fn closed_port() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

fn greeted(daemon: &FakeDaemon) -> Result<(TcpStream, Vec<u8>), String> {
    let mut stream = reach(&[daemon.address]).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let target = Target::parse("git.example:22", None).unwrap();
    stream.write_all(request(&target, None).as_bytes()).unwrap();
    match reply::read(&mut stream).map_err(|error| error.to_string())? {
        reply::Reply::Tunnel(first) => Ok((stream, first)),
        reply::Reply::Refused(reason, advice) => Err(match advice {
            Some(advice) => format!("{reason}; {advice}"),
            None => reason,
        }),
    }
}

#[test]
fn a_banner_in_the_same_segment_as_the_reply_is_not_lost_and_input_half_closes() {
    let daemon = FakeDaemon::that(|mut stream| {
        stream
            .write_all(
                b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nVia: x\r\n\r\nSSH-2.0-test\r\n",
            )
            .unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        // After the client's end: half-closed, not closed.
        stream.write_all(b"got ").unwrap();
        stream.write_all(&all).unwrap();
    });
    let (stream, first) = greeted(&daemon).unwrap();
    let mut output = Vec::new();
    bridge(&stream, &first, &b"hello"[..], &mut output).unwrap();
    assert_eq!(output, b"SSH-2.0-test\r\ngot hello");
    assert_eq!(
        daemon.asked().lines().next(),
        Some("CONNECT git.example:22 HTTP/1.1")
    );
}

#[test]
fn the_command_ends_with_the_target_although_its_input_is_still_open() {
    struct Open(mpsc::Receiver<()>);
    impl Read for Open {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            // Until the test is over.
            let _ = self.0.recv();
            Ok(0)
        }
    }
    let daemon = FakeDaemon::answering(b"HTTP/1.1 200 OK\r\n\r\nbye");
    let (stream, first) = greeted(&daemon).unwrap();
    let (held, input) = mpsc::channel();
    let mut output = Vec::new();
    bridge(&stream, &first, Open(input), &mut output).unwrap();
    assert_eq!(output, b"bye");
    drop(held);
}

#[test]
fn megabytes_pass_both_ways_unchanged() {
    let sent: Vec<u8> = (0..3_000_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let daemon = FakeDaemon::that(|mut stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let mut from = stream.try_clone().unwrap();
        io::copy(&mut from, &mut stream).unwrap();
    });
    let (stream, first) = greeted(&daemon).unwrap();
    let mut output = Vec::new();
    let input = io::Cursor::new(sent.clone());
    bridge(&stream, &first, input, &mut output).unwrap();
    assert!(output == sent, "{} of {} bytes", output.len(), sent.len());
}

#[test]
fn a_refusal_gives_its_reason() {
    for (answer, reason) in [
        (
            &b"HTTP/1.1 502 Bad Gateway\r\nProxy-Status: gitferry; error=connection_refused\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 9\r\n\r\nno route\n"[..],
            "502 Bad Gateway (gitferry; error=connection_refused): no route",
        ),
        (
            &b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 37\r\n\r\ngitferry: no route\ngitferry: do this\n"[..],
            "no route; do this",
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            "403 Forbidden",
        ),
        (b"HTTP/1.1 407 \x09\r\n\r\n", "407"),
        // Cut off, and with an escape sequence for the terminal.
        (
            b"HTTP/1.1 504 Gateway Timeout\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\na\x1b[2Jb",
            "504 Gateway Timeout: a [2Jb",
        ),
    ] {
        let daemon = FakeDaemon::answering(answer);
        assert_eq!(greeted(&daemon).unwrap_err(), reason);
        daemon.asked();
    }
}

#[test]
fn a_server_that_is_not_a_proxy_or_closes_early_is_an_error() {
    for (answer, reason) in [
        (
            &b"SSH-2.0-OpenSSH\r\n"[..],
            "the server there is not a proxy",
        ),
        (b"HTTP/1.1 20", "unexpected end of file"),
        (b"", "unexpected end of file"),
    ] {
        let daemon = FakeDaemon::answering(answer);
        let error = greeted(&daemon).unwrap_err();
        assert!(error.starts_with(reason), "{error}");
        daemon.asked();
    }
}

#[test]
fn without_a_daemon_the_hint_names_the_command_that_starts_one() {
    let (_reserved, closed) = closed_port();
    let failure = reach(&[closed]).unwrap_err().to_string();
    assert!(
        failure.contains("no daemon answers at 127.0.0.1:"),
        "{failure}"
    );
    assert!(failure.contains("`gitferry run`"), "{failure}");
}

#[test]
fn the_second_address_is_tried_where_the_first_refuses() {
    let daemon = FakeDaemon::answering(b"HTTP/1.1 200 OK\r\n\r\n");
    let (_reserved, closed) = closed_port();
    let mut stream = reach(&[closed, daemon.address]).unwrap();
    stream.write_all(b"\r\n\r\n").unwrap();
    daemon.asked();
}

#[test]
fn the_request_has_the_configured_credentials() {
    let target = Target::new(
        crate::model::Host::Ip(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)),
        22,
    );
    let credentials = Credentials {
        username: "me".into(),
        password: crate::model::Secret::new("open sesame"),
    };
    let request = request(&target, Some(&credentials));
    assert!(request.starts_with("CONNECT [::1]:22 HTTP/1.1\r\nHost: [::1]:22\r\n"));
    assert!(request.contains("\r\nProxy-Authorization: Basic bWU6b3BlbiBzZXNhbWU=\r\n"));
}
