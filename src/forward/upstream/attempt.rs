//! One attempt to reach an origin: dial, through the hop if there is one, and make the TLS handshake where gitferry terminates TLS.

use std::net::SocketAddr;

use crate::{
    config::{HttpVersion, Route, Upstream},
    io::{BoxIo, Tcp},
    model::{Fault, FaultKind, Leg, Scheme, Stage, Target, address::FakeNetwork},
    net::{
        self,
        dial::{AbsoluteForm, DialRequest, hop, request_loop::PendingRequest, trail::Trail},
    },
    tls::{Connector, Peer, connect::OriginTls},
    track::{TransferHandle, WatchedSocket},
};

/// The purpose of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamUse {
    /// It carries gitferry's requests, inside gitferry's own TLS for https.
    Requests(Scheme),
    /// It carries the client's own bytes.
    Tunnel,
}

/// A stream to an origin.
pub(crate) struct OriginStream {
    /// Plaintext in both directions, or the tunnel's bytes.
    pub io: BoxIo,
    /// The socket below.
    pub tcp: Tcp,
    /// The TCP peer: the origin or the hop.
    pub peer: std::net::SocketAddr,
    /// True where the peer is a hop.
    pub hop: bool,
    /// The HTTP version chosen by ALPN.
    pub http: HttpVersion,
    /// Where set, requests are written in absolute form.
    pub absolute_form: Option<AbsoluteForm>,
    /// True where the data is certainly the origin's: inside TLS with a certificate that no hop can have made.
    pub genuine: bool,
    /// Counts the request in the loop detection until the target itself has answered; only through a hop.
    pub waiting: Option<PendingRequest>,
}

impl UpstreamDial<'_> {
    /// The dialled scheme and target: the mirror's, where there is one.
    fn destination(&self) -> (Scheme, &Target) {
        match (self.purpose, &self.upstream.mirror) {
            (StreamUse::Requests(_), Some(mirror)) => (mirror.scheme, &mirror.target),
            (StreamUse::Requests(scheme), None) => (scheme, self.target),
            (StreamUse::Tunnel, _) => (Scheme::Https, self.target),
        }
    }
}

impl OriginStream {
    /// Records that the target itself has answered: requests for it through this hop do not loop.
    pub(crate) fn note_target_reached(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.note_response();
        }
    }
}

/// One attempt through an upstream, to a host, for a purpose.
pub(crate) struct UpstreamDial<'a> {
    pub(crate) route: &'a Route,
    pub(crate) upstream: &'a Upstream,
    /// The requested host; where a mirror replaces it, the mirror is dialled.
    pub(crate) target: &'a Target,
    pub(crate) purpose: StreamUse,
    pub(crate) max_segment: Option<u32>,
    /// See [`DialRequest::public_only`].
    pub(crate) public_only: Option<&'a [FakeNetwork]>,
    /// See [`DialRequest::trail`].
    pub(crate) trail: &'a Trail,
    /// The HTTP versions to offer by ALPN.
    pub(crate) http: HttpVersion,
    pub(crate) connector: &'a Connector,
}

/// Dials, and makes the TLS handshake where gitferry terminates TLS; reports each step to `transfer`, where there is one.
pub(crate) async fn dial_once(
    dial: &UpstreamDial<'_>,
    transfer: Option<&TransferHandle>,
) -> Result<OriginStream, Fault> {
    let upstream = dial.upstream;
    let (scheme, target) = dial.destination();
    let hop = hop(&upstream.via, scheme, target).is_some();
    let progress = |stage| {
        if let Some(transfer) = transfer {
            transfer.enter(stage);
        }
    };
    if let Some(transfer) = transfer {
        transfer.set_through_hop(hop);
    }
    let request = DialRequest {
        target,
        scheme,
        route: dial.route,
        max_segment: dial.max_segment,
        progress: &progress,
        connector: dial.connector,
        trail: dial.trail,
        public_only: dial.public_only.filter(|_| upstream.mirror.is_none()),
    };
    let connection = net::dial::dial(&upstream.via, &request).await?;
    if let Some(transfer) = transfer {
        transfer.set_peer(connection.peer);
        transfer.watch_origin(WatchedSocket::own(connection.tcp.monitor()));
    }
    let greeted = connection.tcp.bytes_read();
    let mut reached = OriginStream {
        io: connection.io,
        tcp: connection.tcp,
        peer: connection.peer,
        hop,
        http: HttpVersion::Http1,
        absolute_form: connection.absolute_form,
        genuine: false,
        waiting: connection.waiting,
    };
    if dial.purpose != StreamUse::Tunnel && scheme == Scheme::Https {
        progress(Stage::Handshaking);
        let secured = Box::pin(secure(dial, target, reached.io, reached.peer)).await;
        let silent = hop && reached.tcp.bytes_read() == greeted;
        let secured = secured.map_err(|fault| {
            if silent {
                blame_hop_after_grant(fault)
            } else {
                fault
            }
        })?;
        reached.io = secured.io;
        reached.genuine = secured.genuine;
        reached.note_target_reached();
        reached.http = secured.http;
    }
    Ok(reached)
}

/// TLS with `target`, which is connected at `address`.
async fn secure(
    dial: &UpstreamDial<'_>,
    target: &Target,
    io: BoxIo,
    address: SocketAddr,
) -> Result<OriginTls, Fault> {
    let peer = Peer {
        host: &target.host,
        tls: &dial.route.peer_for(dial.upstream),
        http: dial.http,
        leg: Leg::Origin,
        address,
        deadline: dial.route.dial.handshake_timeout,
    };
    dial.connector.connect(io, &peer).await
}

/// A fault before the first byte after a hop's grant counts against the hop: some hops grant every request and connect afterwards (ss-local, v2ray).
pub(crate) fn blame_hop_after_grant(fault: Fault) -> Fault {
    let what = match fault.kind {
        FaultKind::ClosedEarly | FaultKind::Reset => "closed it",
        FaultKind::TimedOut => "sent nothing",
        _ => return fault,
    };
    Fault {
        leg: Leg::Hop,
        detail: Some(
            format!("the hop granted the connection and then {what} before the first byte: it may not have reached the host").into(),
        ),
        ..fault
    }
}
