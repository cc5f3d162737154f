//! Connections that ended without a request: distrust, or a connection in reserve.

use std::net::SocketAddr;

use crate::{
    forward::Current,
    front::refuse::{UnreadableClient, turn_away},
    model::{Fault, FaultKind, Leg, Stage, Target, agent},
    rt::Shutdown,
    track,
};

/// A client that shook hands and then asked for nothing that could be read.
pub(super) struct SilentClient {
    pub(super) current: Current,
    pub(super) client: SocketAddr,
    pub(super) target: Target,
    pub(super) agent: Option<String>,
}

impl SilentClient {
    /// The connection has ended: by a request that could not be read, or without one.
    pub(super) fn ended(&self, unread: Option<Fault>, asked: bool, shutdown: &Shutdown) {
        if let Some(fault) = unread {
            self.tell("-", fault);
        } else if !asked && !shutdown.is_draining() {
            self.distrusts();
        }
    }

    /// Where it is one that [verifies late](agent::verifies_late), it does not trust the CA: without this line Debian's git would leave
    /// no trace. Others had the connection in reserve.
    fn distrusts(&self) {
        if !self.agent.as_deref().is_some_and(agent::verifies_late) {
            tracing::debug!(client = %self.client, "a connection ended without a request");
            return;
        }
        let fault = Fault::new(Leg::Client, Stage::Handshaking, FaultKind::ClosedEarly)
            .peer(self.client)
            .detail("the client closed the connection after the handshake without a request");
        self.tell("CONNECT", fault);
    }

    fn tell(&self, method: &str, fault: Fault) {
        let unasked = UnreadableClient {
            front: track::Front::Intercept,
            client: self.client,
            target: &self.target,
            method,
            agent: self.agent.as_deref(),
        };
        turn_away(&self.current.get(), &unasked, fault);
    }
}
