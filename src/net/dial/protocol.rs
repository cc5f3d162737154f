//! What a hop speaks in place of the protocol of its `url`, found by its first bytes on a connection of its own.
//!
//! Servers of another protocol hang up or keep silent more often than they answer: OpenSSL ends a connection that begins with CONNECT,
//! tinyproxy waits for the end of a SOCKS greeting's line. Nothing but greetings is sent here, without credentials; only an HTTP hop is
//! asked for a tunnel to itself.
//!
//! A hop that answers in its own protocol is never said to speak another one: pproxy takes HTTP and SOCKS5 on one port, and hangs up
//! where it cannot reach the target.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use super::{DialRequest, direct};
use crate::{
    config::{Hop, HopKind},
    io::Tcp,
    model::{Fault, FaultKind, Leg, Stage},
};

/// A server answers a greeting within a round trip.
const PATIENCE: Duration = Duration::from_secs(2);
/// A SOCKS or https hop that has said nothing by then is asked what it is.
const SUSPICIOUS: Duration = Duration::from_secs(3);

/// A greeting of one protocol, and the answer to it.
struct Protocol {
    greeting: &'static [u8],
    is_answer: fn(&[u8]) -> bool,
    found: &'static str,
}

/// SOCKS5: one method, no authentication (RFC 1928, section 3).
const SOCKS5: Protocol = Protocol {
    greeting: &[5, 1, 0],
    is_answer: |bytes| matches!(bytes, [5, 0 | 1 | 2 | 0xff, ..]),
    found: "the server speaks SOCKS5: the URL of this hop needs socks5h://",
};

/// A ClientHello that is cut short: each TLS server answers with an alert (RFC 8446, section 6).
const TLS: Protocol = Protocol {
    greeting: &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3],
    is_answer: |bytes| matches!(bytes, [0x15 | 0x16, 3, ..]),
    found: "the server speaks TLS: the URL of this hop needs https://",
};

/// A request that every HTTP server answers, if only with a refusal.
const HTTP: Protocol = Protocol {
    greeting: b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    is_answer: |bytes| bytes.starts_with(b"HTTP/"),
    found: "the server speaks HTTP: the URL of this hop needs http://",
};

/// `fault`, or what explains it better: the hop speaks another protocol than its `url` says.
pub(super) async fn instead_of(fault: Fault, hop: &Hop, attempt: &DialRequest<'_>) -> Fault {
    match recognise(hop, attempt, OwnProtocol::Asked).await {
        Some(found) => Fault {
            peer: fault.peer,
            ..other(found)
        },
        None => fault,
    }
}

/// Comes to an end only where a hop that has not said anything yet speaks another protocol than its `url` says.
pub(super) async fn after_a_while(hop: &Hop, attempt: &DialRequest<'_>, tcp: &Tcp) -> Fault {
    sleep(SUSPICIOUS).await;
    if tcp.bytes_read() == 0
        && let Some(found) = recognise(hop, attempt, OwnProtocol::Silent).await
    {
        return other(found).peer(&hop.target);
    }
    std::future::pending().await
}

fn other(found: &'static str) -> Fault {
    Fault::new(Leg::Hop, Stage::Greeting, FaultKind::BadAnswer).detail(found)
}

async fn recognise(hop: &Hop, attempt: &DialRequest<'_>, own: OwnProtocol) -> Option<&'static str> {
    let candidates: [&Protocol; 2] = match hop.kind {
        HopKind::Http => [&SOCKS5, &TLS],
        HopKind::Socks5 | HopKind::Socks5h => [&HTTP, &TLS],
        HopKind::Https => [&HTTP, &SOCKS5],
    };
    if own == OwnProtocol::Asked && speaks_own(hop, attempt).await {
        return None;
    }
    for protocol in candidates {
        if speaks(protocol, protocol.greeting, hop, attempt).await {
            return Some(protocol.found);
        }
    }
    None
}

/// Whether the hop is asked for the protocol of its `url` first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnProtocol {
    Asked,
    /// It keeps silent to that now.
    Silent,
}

async fn speaks_own(hop: &Hop, attempt: &DialRequest<'_>) -> bool {
    match hop.kind {
        HopKind::Http => speaks_http(hop, attempt).await,
        HopKind::Https => speaks(&TLS, TLS.greeting, hop, attempt).await,
        HopKind::Socks5 | HopKind::Socks5h => speaks(&SOCKS5, SOCKS5.greeting, hop, attempt).await,
    }
}

/// pproxy answers nothing but what it can carry out: a tunnel to itself.
async fn speaks_http(hop: &Hop, attempt: &DialRequest<'_>) -> bool {
    let itself = &hop.target;
    let tunnel = format!("CONNECT {itself} HTTP/1.1\r\nHost: {itself}\r\n\r\n");
    speaks(&HTTP, HTTP.greeting, hop, attempt).await
        || speaks(&HTTP, tunnel.as_bytes(), hop, attempt).await
}

async fn speaks(
    protocol: &Protocol,
    greeting: &[u8],
    hop: &Hop,
    attempt: &DialRequest<'_>,
) -> bool {
    let answered = answers(protocol, greeting, hop, attempt);
    timeout(PATIENCE, answered).await.unwrap_or(false)
}

async fn answers(
    protocol: &Protocol,
    greeting: &[u8],
    hop: &Hop,
    attempt: &DialRequest<'_>,
) -> bool {
    let silent = DialRequest {
        progress: &|_| {},
        ..*attempt
    };
    let Ok((mut tcp, _)) = direct::reach(&silent, &hop.target, &[], Leg::Hop).await else {
        return false;
    };
    if tcp.write_all(greeting).await.is_err() {
        return false;
    }
    let mut answer = [0; 5];
    let mut length = 0;
    while let Some(rest) = answer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match tcp.read(rest).await {
            Ok(read) if read > 0 => length += read,
            _ => break,
        }
        if answer.get(..length).is_some_and(protocol.is_answer) {
            return true;
        }
    }
    false
}
