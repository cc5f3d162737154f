//! The end of a transfer.

use std::{net::SocketAddr, sync::Arc};

use super::{EventText, LogEvent, Subject, line};
use crate::model::fields::documented;
use crate::{
    model::{Stage, refusals::ObservedResponse},
    track::{
        Front,
        digits::{self, AddressText},
        metrics::{self, Metrics},
    },
};

documented! {
/// The closing line of a transfer.
#[derive(Clone, Debug)]
pub(crate) struct TransferEnded {
    /// The transfer; its upstream is that of the last attempt.
    pub subject: Subject,
    /// The front: intercept, tunnel, absolute, reverse, or unknown where no request could be read.
    pub front: Front,
    /// The client's address.
    pub client: SocketAddr,
    /// `CONNECT`, `GET`, …
    pub method: EventText,
    /// Path and query, without secrets.
    pub path: Arc<str>,
    /// The TCP peer.
    pub peer: Option<SocketAddr>,
    /// The number of attempts.
    pub attempts: u32,
    /// The connection had carried an earlier request.
    pub reused: bool,
    /// The status of the response to the client.
    pub status: Option<u16>,
    /// `answered`, `closed`, or a fault's code.
    pub result: EventText,
    /// Body bytes from the client.
    pub up: u64,
    /// Body bytes to the client.
    pub down: u64,
    /// The duration in milliseconds.
    pub total_ms: u64,
    /// Milliseconds in each stage that took at least one.
    pub stages: Vec<(Stage, u64)>,
    /// The client's product.
    pub agent: Option<Arc<str>>,
    /// The request had credentials.
    pub credentials: bool,
}
}

impl LogEvent for TransferEnded {
    fn emit(&self, metrics: &Metrics) {
        let route = &self.subject.route;
        self.measure(metrics, route);
        let peer = self.peer.map(AddressText::new);
        let mut stages = String::with_capacity(64);
        for (stage, ms) in self.stages.iter().filter(|(_, ms)| *ms > 0) {
            if !stages.is_empty() {
                stages.push(',');
            }
            stages.push_str(stage.as_str());
            stages.push('=');
            digits::number(&mut stages, *ms);
        }
        line!(
            info,
            &self.subject,
            "transfer ended",
            front = self.front.as_str(),
            client = &*AddressText::new(self.client),
            method = &*self.method,
            path = &*self.path,
            peer = peer.as_deref(),
            attempts = self.attempts,
            reused = self.reused,
            status = self.status,
            // Shows whether a 401 requests a token or refuses one.
            credentials = (self.status == Some(401)).then_some(self.credentials),
            result = &*self.result,
            up = self.up,
            down = self.down,
            total_ms = self.total_ms,
            stages_ms = stages,
            agent = self.agent.as_deref()
        );
    }
}

impl TransferEnded {
    /// The site's own response; `None` where the transfer ended in another way.
    pub(crate) fn response(&self) -> Option<ObservedResponse<'_>> {
        let status = self.status.filter(|_| self.result == "answered")?;
        Some(ObservedResponse {
            host: &self.subject.host,
            status,
            method: &self.method,
            path: &self.path,
            credentials: self.credentials,
        })
    }

    fn measure(&self, metrics: &Metrics, route: &str) {
        let mut metrics = metrics.lock();
        metrics.count(
            &metrics::TRANSFERS,
            &[self.front.as_str(), route, &self.result],
        );
        metrics.add(&metrics::BODY_BYTES, &[route, "up"], self.up);
        metrics.add(&metrics::BODY_BYTES, &[route, "down"], self.down);
        if self.subject.circuit.is_some() {
            metrics.count(&metrics::REROUTED, &[route]);
        }
        let mut before = 0;
        for (stage, ms) in self.stages.iter().filter(|(_, ms)| *ms > 0) {
            metrics.observe_ms(&metrics::STAGE_SECONDS, &[route, stage.as_str()], *ms);
            if *stage != Stage::ReceivingBody {
                before += ms;
            }
        }
        if self.result == "answered" {
            metrics.observe_ms(&metrics::FIRST_BYTE_SECONDS, &[route], before);
        }
    }
}
