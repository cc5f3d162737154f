//! What hops answer, and what clients say first.

use std::sync::atomic::Ordering;

use gitferry::testing::parsers::{self, HOP_PASSWORD};

use crate::{
    fuzz,
    peer::{Peer, runtime},
};

const CONNECT: &[&[u8]] = &[
    b"HTTP/1.1 200 Connection established\r\n\r\nSSH-2.0-OpenSSH\r\n",
    b"HTTP/1.0 200 OK\r\nProxy-Agent: x\r\nContent-Length: 5\r\n\r\n\x16\x03\x01",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm=\"x\", NTLM\r\n\r\n",
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\nX-Squid-Error: ERR 0\r\n\r\n1a\r\n<html><b>no</b> bWU6aHVudGVyMnNlY3JldA==\r\n0\r\n\r\n",
    b"HTTP/1.1 502 Bad\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 30\r\n\r\nthe password was hunter2secret",
];
const WORDS: &[&str] = &[
    "\r\n",
    "\n",
    "\r\n\r\n",
    ":",
    " ",
    "HTTP/1.1 ",
    "100",
    "101",
    "199",
    "200",
    "407",
    "503",
    "Content-Length: 99999999999999999999\r\n",
    "Transfer-Encoding: chunked\r\n",
    "ffffffffffffffff\r\n",
    "<script>",
    "</script>",
    "<!--",
    "-->",
    "<",
    "&amp;",
    "\x1b[2J",
    "\u{202e}",
    "\0",
    "hunter2secret",
    "bWU6aHVudGVyMnNlY3JldA==",
    "hunter2",
    "Content-Type: text/html\r\n",
];

/// A fault as the log shows it has no secret and nothing that a terminal would obey.
fn assert_harmless(error: &str) {
    assert!(!error.contains(HOP_PASSWORD), "{error}");
    assert!(!error.contains("bWU6aHVudGVyMnNlY3JldA=="), "{error}");
    assert!(!error.chars().any(char::is_control), "{error:?}");
    assert!(error.len() < 4096, "{}", error.len());
}

#[test]
fn the_reply_of_an_http_hop_keeps_every_byte_of_the_tunnel_and_shows_no_secret() {
    let runtime = runtime();
    fuzz(CONNECT, WORDS, |reply, u| {
        let step = u.int_in_range(1..=9000)?;
        let whole = runtime.block_on(parsers::greet_http(Peer::new(reply, 1 << 20)));
        let pieces = runtime.block_on(parsers::greet_http(Peer::new(reply, step)));
        match (&whole, &pieces) {
            (Ok(tunnel), Ok(same)) => {
                assert_eq!(tunnel, same);
                let head = reply.strip_suffix(tunnel.as_slice());
                assert!(head.is_some_and(|head| head.ends_with(b"\n")));
            }
            (Err(error), Err(same)) => {
                assert_harmless(error);
                assert_harmless(same);
            }
            _ => panic!("{whole:?} in one piece, {pieces:?} in pieces of {step}"),
        }
        Ok(())
    });
}

#[test]
fn an_endless_reply_of_a_hop_is_read_up_to_a_limit() {
    let runtime = runtime();
    let mut socks: Vec<&[u8]> = vec![&[5, 2, 1, 0, 5, 0, 0, 1], &[5, 0, 5, 5]];
    socks.extend(CONNECT);
    fuzz(&socks, WORDS, |reply, u| {
        if reply.is_empty() {
            return Ok(());
        }
        // In pieces of one byte this would take minutes.
        let step = *u.choose(&[16, 100, 1 << 20])?;
        let endless = reply.repeat((256 << 10) / reply.len() + 1);
        let (http, socks) = (Peer::new(&endless, step), Peer::new(&endless, step));
        let (of_http, of_socks) = (http.bytes_read(), socks.bytes_read());
        if runtime.block_on(parsers::greet_http(http)).is_err() {
            let taken = of_http.load(Ordering::Relaxed);
            assert!(taken <= 192 << 10, "{taken} bytes of an answer were read");
        }
        if runtime.block_on(parsers::greet_socks(socks)).is_err() {
            let taken = of_socks.load(Ordering::Relaxed);
            assert!(taken <= 4 << 10, "{taken} bytes of a reply were read");
        }
        Ok(())
    });
}

#[test]
fn the_reply_of_a_socks_hop_keeps_every_byte_of_the_tunnel() {
    let runtime = runtime();
    let seeds: &[&[u8]] = &[
        &[5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 4, 56, b'S', b'S', b'H'],
        &[
            5, 2, 1, 0, 5, 0, 0, 3, 4, b'a', b'.', b'b', b'c', 0, 80, 22, 3, 1,
        ],
        &[
            5, 2, 5, 0, 5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80,
        ],
        &[5, 2, 1, 1],
        &[5, 0, 5, 5],
        &[5, 255],
        b"HTTP/1.1 400 Bad\r\n\r\n",
    ];
    fuzz(
        seeds,
        &["\x05", "\x05\0", "\0\x01", "\x03\u{7f}"],
        |reply, u| {
            let step = u.int_in_range(1..=20)?;
            let whole = runtime.block_on(parsers::greet_socks(Peer::new(reply, 1 << 20)));
            let pieces = runtime.block_on(parsers::greet_socks(Peer::new(reply, step)));
            match (&whole, &pieces) {
                (Ok(tunnel), Ok(same)) => {
                    assert_eq!(tunnel, same);
                    assert!(reply.ends_with(tunnel));
                    // Method and reply at least.
                    assert!(reply.len() - tunnel.len() >= 2 + 7);
                }
                (Err(error), Err(_)) => assert_harmless(error),
                _ => panic!("{whole:?} in one piece, {pieces:?} in pieces of {step}"),
            }
            Ok(())
        },
    );
}

const FLIGHTS: &[&[u8]] = &[
    b"\x16\x03\x01\0\x05\x01\0\0\x01\0\x14\x03\x03\0\x01\x01",
    b"\x16\x03\x01\0\x02\x01\0\x17\x03\x03\0\x02ab",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x80\x2e\x01\x03\x01",
];

#[test]
fn a_first_flight_keeps_every_byte_and_is_replayed_only_without_a_request() {
    let runtime = runtime();
    fuzz(
        FLIGHTS,
        &["\x16\x03", "\x14\x03\x03\0\x01\x01", "\x17\x03\x03", "SSH-"],
        |flight, u| {
            let step = u.int_in_range(1..=20)?;
            let (kind, read) = runtime.block_on(parsers::first_flight(Peer::new(flight, step)));
            assert_eq!(read, flight);
            let tls = flight.starts_with(&[22, 3]);
            assert_eq!((kind == "tls", kind == "closed"), (tls, flight.is_empty()));
            // A part that may not be replayed is not replayed with more bytes either.
            let cut = u.int_in_range(0..=flight.len())?;
            if !parsers::may_replay(&flight[..cut]) {
                assert!(!parsers::may_replay(flight));
            }
            if parsers::may_replay(flight) && flight.len() > 4 {
                assert!(matches!(flight[0], 20 | 22) || flight.starts_with(b"SSH-"));
            }
            Ok(())
        },
    );
}
