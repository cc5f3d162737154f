//! Detects that a hop speaks another protocol than its `url` says, from its first bytes on a separate connection.
//!
//! Servers of another protocol more often close or stay silent than answer: OpenSSL closes a connection that begins with CONNECT,
//! tinyproxy waits for the end of a SOCKS greeting's line. Only greetings are sent here, without credentials; only an HTTP hop is asked for
//! a tunnel, to itself.
//!
//! A hop that answers in its own protocol never gets this fault: pproxy accepts HTTP and SOCKS5 on one port, and closes the connection
//! where it cannot reach the target.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use super::{DialRequest, direct};
use crate::{
    config::{Hop, HopKindRow, HopProtocol},
    io::Tcp,
    model::{Fault, FaultKind, Leg, Stage},
};

/// How long to wait for the response to a greeting: a server answers within a round trip.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// When a SOCKS or https hop has been silent this long, its protocol is probed.
const SILENCE_LIMIT: Duration = Duration::from_secs(3);

/// A greeting of one protocol, and the test of its response.
struct Protocol {
    greeting: &'static [u8],
    is_reply: fn(&[u8]) -> bool,
    explanation: &'static str,
    /// True for the hop kinds that use these first bytes.
    is_own: fn(&HopKindRow) -> bool,
}

static PROTOCOLS: [&Protocol; 3] = [&HTTP, &SOCKS5, &TLS];

/// SOCKS5: one method, no authentication (RFC 1928, section 3).
static SOCKS5: Protocol = Protocol {
    greeting: &[5, 1, 0],
    is_reply: |bytes| matches!(bytes, [5, 0 | 1 | 2 | 0xff, ..]),
    explanation: "the server speaks SOCKS5: the URL of this hop needs socks5h://",
    is_own: |kind| kind.protocol == HopProtocol::Socks5 && !kind.tls,
};

/// A truncated ClientHello: every TLS server answers with an alert (RFC 8446, section 6).
static TLS: Protocol = Protocol {
    greeting: &[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3],
    is_reply: |bytes| matches!(bytes, [0x15 | 0x16, 3, ..]),
    explanation: "the server speaks TLS: the URL of this hop needs https://",
    is_own: |kind| kind.tls,
};

/// A request that every HTTP server answers, at least with a refusal.
static HTTP: Protocol = Protocol {
    greeting: b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    is_reply: |bytes| bytes.starts_with(b"HTTP/"),
    explanation: "the server speaks HTTP: the URL of this hop needs http://",
    is_own: |kind| kind.protocol == HopProtocol::Http && !kind.tls,
};

/// `fault`, or a better explanation: the hop speaks another protocol than its `url` says.
pub(super) async fn explain(fault: Fault, hop: &Hop, attempt: &DialRequest<'_>) -> Fault {
    match detect(hop, attempt, OwnProtocol::Probe).await {
        Some(explanation) => Fault {
            peer: fault.peer,
            ..wrong_protocol(explanation)
        },
        None => fault,
    }
}

/// Completes only where a hop that has been silent speaks another protocol than its `url` says.
pub(super) async fn detect_if_silent(hop: &Hop, attempt: &DialRequest<'_>, tcp: &Tcp) -> Fault {
    sleep(SILENCE_LIMIT).await;
    if tcp.bytes_read() == 0
        && let Some(explanation) = detect(hop, attempt, OwnProtocol::Skip).await
    {
        return wrong_protocol(explanation).peer(&hop.target);
    }
    std::future::pending().await
}

fn wrong_protocol(explanation: &'static str) -> Fault {
    Fault::new(Leg::Hop, Stage::Greeting, FaultKind::BadAnswer).detail(explanation)
}

async fn detect(hop: &Hop, attempt: &DialRequest<'_>, own: OwnProtocol) -> Option<&'static str> {
    let is_own = |protocol: &&&Protocol| (protocol.is_own)(hop.kind.row());
    if own == OwnProtocol::Probe
        && let Some(its_own) = PROTOCOLS.iter().find(is_own)
        && speaks_own(its_own, hop, attempt).await
    {
        return None;
    }
    for protocol in PROTOCOLS.iter().filter(|protocol| !is_own(protocol)) {
        if speaks(protocol, protocol.greeting, hop, attempt).await {
            return Some(protocol.explanation);
        }
    }
    None
}

/// Whether the protocol of the hop's own `url` is probed first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnProtocol {
    Probe,
    /// The hop has just been silent to it.
    Skip,
}

async fn speaks_own(own: &Protocol, hop: &Hop, attempt: &DialRequest<'_>) -> bool {
    if speaks(own, own.greeting, hop, attempt).await {
        return true;
    }
    // pproxy answers only requests that it can carry out: a tunnel to itself.
    let itself = &hop.target;
    let tunnel = format!("CONNECT {itself} HTTP/1.1\r\nHost: {itself}\r\n\r\n");
    std::ptr::eq(own, &HTTP) && speaks(own, tunnel.as_bytes(), hop, attempt).await
}

async fn speaks(
    protocol: &Protocol,
    greeting: &[u8],
    hop: &Hop,
    attempt: &DialRequest<'_>,
) -> bool {
    let answered = answers(protocol, greeting, hop, attempt);
    timeout(RESPONSE_TIMEOUT, answered).await.unwrap_or(false)
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
    let Ok((mut tcp, _)) = direct::connect(&silent, &hop.target, &[], Leg::Hop).await else {
        return false;
    };
    if tcp.write_all(greeting).await.is_err() {
        return false;
    }
    let mut response = [0; 5];
    let mut length = 0;
    while let Some(rest) = response.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match tcp.read(rest).await {
            Ok(read) if read > 0 => length += read,
            _ => break,
        }
        if response.get(..length).is_some_and(protocol.is_reply) {
            return true;
        }
    }
    false
}
