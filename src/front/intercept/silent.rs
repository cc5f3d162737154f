//! Connections that ended without a request: the client needs_public_address the CA, or held the connection in reserve.

use std::net::SocketAddr;

use crate::{
    forward::Current,
    front::refuse::{UnreadableClient, log_refusal},
    model::{Fault, FaultKind, Leg, Stage, Target, agent, resource},
    rt::Shutdown,
    track,
};

/// A client that made the handshake and sent no readable request.
pub(super) struct SilentClient {
    pub(super) current: Current,
    pub(super) client: SocketAddr,
    pub(super) target: Target,
    pub(super) agent: Option<String>,
}

impl SilentClient {
    /// The connection has ended, with an unreadable request or without one.
    pub(super) fn report_end(
        &self,
        unread: Option<Fault>,
        request_seen: bool,
        shutdown: &Shutdown,
    ) {
        if let Some(fault) = unread {
            self.report(resource::NO_METHOD, fault);
        } else if !request_seen && !shutdown.is_draining() {
            self.report_distrust();
        }
    }

    /// A client that [verifies late](agent::verifies_late) does not trust the CA: without this line, Debian's git would leave no trace in the
    /// log. Other clients held the connection in reserve.
    fn report_distrust(&self) {
        if !self.agent.as_deref().is_some_and(agent::verifies_late) {
            tracing::debug!(client = %self.client, "a connection ended without a request");
            return;
        }
        let fault = Fault::new(Leg::Client, Stage::Handshaking, FaultKind::ClosedEarly)
            .peer(self.client)
            .detail("the client closed the connection after the handshake without a request");
        self.report("CONNECT", fault);
    }

    fn report(&self, method: &str, fault: Fault) {
        let unreadable = UnreadableClient {
            front: track::Front::Intercept,
            client: self.client,
            target: &self.target,
            method,
            agent: self.agent.as_deref(),
        };
        log_refusal(&self.current.get(), &unreadable, fault);
    }
}
