//! Inside a CONNECT to a terminated host: TLS with a leaf of the local CA, then individual requests.
//!
//! Other protocols are tunnelled without losing a byte. A client that stays silent may wait for the server's first bytes, and is tunnelled
//! too.

mod http2;
mod names;
mod silent;
mod terminated;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::io::AsyncReadExt;
use tokio_util::bytes::BytesMut;

use crate::{
    config::Route,
    forward::{Current, Forwarder, client::ClientConn, tunnel::Tunnel},
    io::{BoxIo, Prefixed, Tcp},
    model::{Fault, FaultKind, Leg, Stage, Target, agent, classify},
    net::dial::trail::Trail,
    tls::{
        FirstBytes,
        accept::{self, ClientTls},
    },
    track::{self, Transfer, TransferOutcome},
};
use terminated::TerminatedConnection;

/// How long a client may be silent before gitferry assumes that it waits for the server.
const SILENCE: Duration = Duration::from_secs(2);

/// The client of the CONNECT.
#[derive(Clone)]
pub(super) struct ConnectClient {
    pub(super) conn: ClientConn,
    /// Its `User-Agent`.
    pub(super) agent: Option<String>,
    /// The socket, from which gitferry reads the rest of a client's data after a refusal.
    pub(super) raw_socket: Option<Tcp>,
}

/// A CONNECT to a terminated host, answered with 200. `transfer` belongs to the CONNECT: it continues as a tunnel, or ends when TLS is
/// established.
pub(super) struct InterceptedConnect {
    pub(super) current: Current,
    pub(super) forwarder: Arc<Forwarder>,
    pub(super) client: ConnectClient,
    pub(super) route: Arc<Route>,
    pub(super) target: Target,
    /// The trail of the CONNECT.
    pub(super) trail: Trail,
    pub(super) transfer: Transfer,
}

impl InterceptedConnect {
    /// Serves the client's stream, with or without TLS.
    pub(super) async fn serve(self, mut io: BoxIo) {
        let first = tokio::select! {
            first = accept::first_bytes(&mut io, SILENCE) => first,
            () = self.forwarder.shared.shutdown.ended() => return self.shut_down(),
        };
        match first {
            Ok(FirstBytes::Tls(bytes)) => {
                self.terminate(Box::new(Prefixed::new(bytes, io))).await;
            }
            Ok(FirstBytes::Plain(bytes)) => {
                Box::pin(self.tunnel(Box::new(Prefixed::new(bytes, io)))).await;
            }
            Ok(FirstBytes::Silent) => Box::pin(self.wait(io)).await,
            Ok(FirstBytes::Closed) => self.transfer.finish(TransferOutcome::Closed),
            Err(error) => self.client_failed(error),
        }
    }

    fn shut_down(self) {
        let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Shutdown);
        self.transfer.fail(fault.peer(self.client.conn.address));
    }

    fn client_failed(self, error: io::Error) {
        let fault = Fault::new(Leg::Client, Stage::Accepted, classify::client(&error));
        self.transfer
            .fail(fault.peer(self.client.conn.address).source(error));
    }

    async fn open(&self) -> Result<Box<Tunnel>, track::FinalFault> {
        Tunnel::open(
            &self.forwarder,
            &self.transfer,
            &self.route,
            &self.target,
            self.trail.clone(),
        )
        .await
    }

    async fn tunnel(self, io: BoxIo) {
        warn_of_tunnel(&self.route, &self.target, "the client does not speak TLS");
        match self.open().await {
            Ok(tunnel) => tunnel.run(self.transfer, io).await,
            Err(given_up) => self.transfer.break_off(&given_up),
        }
    }

    /// A silent client waits for the server, or is slow: gitferry dials the origin, and the first side to send decides.
    async fn wait(self, mut io: BoxIo) {
        let mut bytes = BytesMut::with_capacity(4096);
        let head_timeout = self.forwarder.config.listen.head_timeout;
        let opening = async {
            let mut tunnel = self.open().await?;
            // Both sides may be silent for long; the tunnel handles that.
            let _ = tokio::time::timeout(head_timeout, tunnel.receive_first_bytes()).await;
            Ok(tunnel)
        };
        let mut given_up = None;
        let read = tokio::select! {
            biased;
            read = io.read_buf(&mut bytes) => read,
            opened = opening => match opened {
                Ok(tunnel) => {
                    let reason = "the client sent nothing, and did not begin TLS";
                    warn_of_tunnel(&self.route, &self.target, reason);
                    return tunnel.run(self.transfer, io).await;
                }
                // A client that starts TLS after all gets the reason inside TLS.
                Err(fault) => {
                    given_up = Some(fault);
                    let late = tokio::time::timeout(head_timeout, io.read_buf(&mut bytes)).await;
                    late.unwrap_or(Ok(0))
                }
            },
            () = self.forwarder.shared.shutdown.ended() => return self.shut_down(),
        };
        match (read, given_up) {
            (Ok(0), None) => self.transfer.finish(TransferOutcome::Closed),
            (Ok(0) | Err(_), Some(given_up)) => self.transfer.break_off(&given_up),
            (Ok(_), _) => {
                self.serve(Box::new(Prefixed::new(bytes.freeze(), io)))
                    .await
            }
            (Err(error), None) => self.client_failed(error),
        }
    }

    async fn terminate(self, io: BoxIo) {
        let Self {
            current,
            forwarder,
            client,
            route,
            target,
            trail: _,
            transfer,
        } = self;
        let named = (client.conn.address, client.agent.as_deref());
        // Boxed, so that its memory is released when requests are served.
        let handshake = handshake(&forwarder, io, named, (&route, &target), transfer);
        let tls = Box::pin(handshake).await;
        if let Some(tls) = tls {
            TerminatedConnection::serve(current, &forwarder, client, target, tls).await;
        }
    }
}

/// Warns that gitferry cannot see the requests of a connection although its route terminates TLS.
pub(super) fn warn_of_tunnel(route: &Route, target: &Target, reason: &'static str) {
    tracing::warn!(
        host = %target.host,
        port = target.port,
        route = %route.name,
        reason,
        "tunnelled on a terminating route"
    );
}

/// Accepts TLS; the CONNECT's transfer then ends, because each request is a transfer of its own.
async fn handshake(
    forwarder: &Forwarder,
    io: BoxIo,
    (client, agent): (SocketAddr, Option<&str>),
    (route, target): (&Route, &Target),
    transfer: Transfer,
) -> Option<ClientTls> {
    transfer.enter(Stage::Handshaking);
    let accepted = tokio::select! {
        accepted = accept::accept(
            io,
            &forwarder.leaves,
            (&target.host, route.http),
            client,
            route.dial.handshake_timeout,
        ) => accepted,
        () = forwarder.shared.shutdown.ended() => {
            Err(Fault::new(Leg::Client, Stage::Handshaking, FaultKind::Shutdown).peer(client))
        }
    };
    match accepted {
        Ok(accepted) => {
            transfer.close_silently();
            Some(accepted)
        }
        Err(fault) if fault.is_hang_up() && agent.is_some_and(agent::opens_in_reserve) => {
            tracing::debug!(%client, %fault, "a spare connection was closed");
            transfer.finish(TransferOutcome::Closed);
            None
        }
        Err(fault) => {
            transfer.fail(fault);
            None
        }
    }
}
