//! What all hop protocols share in a greeting: bytes out, bytes in, faults on the hop's leg, no byte lost.

use std::{future::Future, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_util::bytes::BytesMut;

use crate::{
    config::GrantedTargets,
    io::{BoxIo, Prefixed},
    model::{Fault, FaultKind, Leg, Stage, Target, classify},
    track::redact,
};

/// How many addresses of one target are tried through a hop; each costs a connection to the hop.
pub(super) const MAX_ADDRESSES: usize = 3;

/// True where the hop could not reach this address but may reach another: SOCKS replies 3 to 6 and 8 (RFC 1928, section 6), and the HTTP
/// statuses for this (squid 503, tinyproxy 500, HAProxy 503, mitmproxy 502, nginx 504).
pub(super) fn is_address_specific(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::SocksRefused(3..=6 | 8) | FaultKind::HopRefused(500 | 502..=504)
    )
}

/// The exchange with a hop before the tunnel is established.
pub(super) struct Greeting {
    io: BoxIo,
    peer: SocketAddr,
    /// The hop knows the target: if it closes without a response, it refuses the target.
    target_named: bool,
    /// Secrets that must not appear in a fault, even if the hop quotes them.
    secrets: Vec<String>,
    /// Received bytes that were not consumed.
    pub(super) received: BytesMut,
}

impl Greeting {
    pub(super) fn new(io: BoxIo, peer: SocketAddr) -> Self {
        Self {
            io,
            peer,
            target_named: false,
            secrets: Vec::new(),
            received: BytesMut::new(),
        }
    }

    /// The next message names the target: closing without a response is a refusal, unless the hop granted the same target before.
    pub(super) fn name_target(&mut self, granted: &GrantedTargets, target: &Target) {
        self.target_named = !granted.contains(target);
    }

    /// Like [`Greeting::name_target`], for a hop that has granted nothing before.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn name_any_target(&mut self) {
        self.target_named = true;
    }

    /// Adds secrets that are sent to the hop, whose responses may quote them.
    pub(super) fn with_secrets(mut self, secrets: impl IntoIterator<Item = String>) -> Self {
        self.secrets.extend(secrets);
        self.secrets.retain(|secret| !secret.is_empty());
        self
    }

    /// `text` without the secrets.
    pub(super) fn mask(&self, text: &str) -> String {
        let secrets = self.secrets.iter();
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }

    /// Sends all of `bytes`.
    pub(super) async fn send_all(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let sent = match self.io.write_all(bytes).await {
            Ok(()) => self.io.flush().await,
            failed => failed,
        };
        sent.map_err(|error| self.fault(classify::io(&error)).source(error))
    }

    /// Waits for more bytes in `received`. Fails where the hop closes instead.
    pub(super) async fn receive(&mut self) -> Result<(), Fault> {
        self.received.reserve(1024);
        let kind = if self.target_named && self.received.is_empty() {
            Some(FaultKind::TargetRefused)
        } else {
            None
        };
        match self.io.read_buf(&mut self.received).await {
            Ok(0) => Err(self.fault(kind.unwrap_or(FaultKind::ClosedEarly)).detail(
                if self.received.is_empty() {
                    "the hop closed the connection without a response"
                } else {
                    "the hop closed the connection during its response"
                },
            )),
            Ok(_) => Ok(()),
            Err(error) => {
                let found = classify::io(&error);
                let kind = kind.filter(|_| found == FaultKind::Reset).unwrap_or(found);
                Err(self.fault(kind).source(error))
            }
        }
    }

    /// A fault of this hop at this stage.
    pub(super) fn fault(&self, kind: FaultKind) -> Fault {
        let stage = kind.stage_seen_at(Stage::Greeting);
        Fault::new(Leg::Hop, stage, kind).peer(self.peer)
    }

    /// The fault of bytes that are no response, with their beginning in printable form.
    pub(super) fn bad_response(&self) -> Fault {
        self.fault(FaultKind::BadAnswer)
            .detail(describe(&self.received, |text| self.mask(text)))
    }

    /// The tunnel; bytes after the hop's response are read first.
    pub(super) fn into_tunnel(self) -> BoxIo {
        if self.received.is_empty() {
            return self.io;
        }
        Box::new(Prefixed::new(self.received.freeze(), self.io))
    }
}

/// Limits `greeting` with `peer` to `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    peer: SocketAddr,
    greeting: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    timeout(limit, greeting).await.unwrap_or_else(|_| {
        Err(Fault::new(Leg::Hop, Stage::Greeting, FaultKind::TimedOut)
            .peer(peer)
            .detail(format!("no answer from the hop within {limit:?}")))
    })
}

/// `text` on one line, without terminal control characters, at most `limit` characters.
pub(super) fn printable(text: &str, limit: usize) -> String {
    let shown = |c: &char| c.is_whitespace() || !redact::is_hidden(*c);
    let visible: String = text.chars().filter(shown).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(limit).collect()
}

/// `mask` removes secrets before the text is truncated: a truncated password would not be found.
fn describe(bytes: &[u8], mask: impl Fn(&str) -> String) -> String {
    let shown = |bytes| {
        let line = printable(&String::from_utf8_lossy(bytes), usize::MAX);
        mask(&line).chars().take(60).collect::<String>()
    };
    match bytes {
        [0x15 | 0x16, 0x03, ..] => {
            "the server speaks TLS: the URL of this hop may need https://".into()
        }
        [0x05, ..] => "the server speaks SOCKS5: the URL of this hop may need socks5h://".into(),
        [b'H', b'T', b'T', b'P', ..] => {
            format!(
                "the server speaks HTTP: the URL of this hop may need http://: {}",
                shown(bytes)
            )
        }
        _ => format!("it began with \"{}\"", shown(bytes).escape_debug()),
    }
}
