//! What a hop speaks in place of the protocol of its `url`, found by its first bytes on a connection of its own.
//!
//! Servers of another protocol hang up or keep silent more often than they answer: OpenSSL ends a connection that begins with CONNECT,
//! tinyproxy waits for the end of a SOCKS greeting's line. Nothing but greetings is sent here, without credentials.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{sleep, timeout},
};

use super::{Attempt, direct};
use crate::{
    config::{Hop, HopKind},
    io::Tcp,
    model::{Fault, FaultKind, Leg, Stage},
};

/// A server answers a greeting within a round trip.
const PATIENCE: Duration = Duration::from_secs(2);
/// A SOCKS hop that has not chosen a method by then is asked what it is.
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
pub(super) async fn instead_of(fault: Fault, hop: &Hop, attempt: &Attempt<'_>) -> Fault {
    match recognise(hop, attempt).await {
        Some(found) => Fault {
            peer: fault.peer,
            ..other(found)
        },
        None => fault,
    }
}

/// Comes to an end only where a hop that has not said anything yet speaks another protocol than its `url` says.
pub(super) async fn after_a_while(hop: &Hop, attempt: &Attempt<'_>, tcp: &Tcp) -> Fault {
    sleep(SUSPICIOUS).await;
    if tcp.bytes_read() == 0
        && let Some(found) = recognise(hop, attempt).await
    {
        return other(found).peer(&hop.target);
    }
    std::future::pending().await
}

fn other(found: &'static str) -> Fault {
    Fault::new(Leg::Hop, Stage::Greeting, FaultKind::BadAnswer).detail(found)
}

async fn recognise(hop: &Hop, attempt: &Attempt<'_>) -> Option<&'static str> {
    let candidates: &[Protocol] = match hop.kind {
        HopKind::Http => &[SOCKS5, TLS],
        HopKind::Socks5 | HopKind::Socks5h => &[HTTP, TLS],
        // It shook hands: it speaks TLS, and what is inside is found by nobody.
        HopKind::Https => &[],
    };
    for protocol in candidates {
        let answered = timeout(PATIENCE, speaks(protocol, hop, attempt)).await;
        if answered.unwrap_or(false) {
            return Some(protocol.found);
        }
    }
    None
}

async fn speaks(protocol: &Protocol, hop: &Hop, attempt: &Attempt<'_>) -> bool {
    let silent = Attempt {
        progress: &|_| {},
        ..*attempt
    };
    let Ok((mut tcp, _)) = direct::reach(&silent, &hop.target, &[], Leg::Hop).await else {
        return false;
    };
    if tcp.write_all(protocol.greeting).await.is_err() {
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
