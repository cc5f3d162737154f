//! The daemon's own pages, for the fronts.

use std::{collections::BTreeMap, sync::Arc};

use hyper::{HeaderMap, Method, StatusCode, header::ACCEPT};
use tokio::{sync::Semaphore, time::Instant};

use super::{
    events,
    page_response::{PageQuery, Sources, is_stream, page_response},
    response::refused,
};
use crate::{
    forward::{Current, Forwarder, HttpResponse, client::ClientSlot, headers, request::body::full},
    tls::files::CERTIFICATE_FILE,
    track::{
        log,
        metrics::{self, Exposition, Gauge},
        redact,
    },
};

/// A request for one of the daemon's own pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageRequest<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path; `/-/` for the short forms as well.
    pub path: &'a str,
    /// The query, without the question mark.
    pub query: &'a str,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// The slot of its connection, which a stream releases.
    pub slot: &'a ClientSlot,
}

/// Serves the pages from the current forwarder.
#[derive(Debug)]
pub(crate) struct Pages {
    started: Instant,
    /// The limit on event streams, separate from client slots.
    streams: Arc<Semaphore>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            streams: Arc::new(Semaphore::new(events::MAX_STREAMS)),
        }
    }
}

impl Pages {
    /// The response to `request` from the current snapshot; a stream follows reloads.
    pub(crate) fn page(&self, current: &Current, request: PageRequest<'_>) -> HttpResponse {
        let query = PageQuery {
            method: request.method,
            path: request.path,
            query: request.query,
            accept: headers::text(request.headers, &ACCEPT).unwrap_or_default(),
        };
        if is_stream(&query) {
            return self.stream(current, request);
        }
        let forwarder = &*current.get();
        let certificate = || {
            std::fs::read_to_string(forwarder.config.state_directory.join(CERTIFICATE_FILE)).ok()
        };
        let sources = Sources {
            started: self.started,
            metrics: &|exposition| metrics(forwarder, exposition),
            certificate: &certificate,
        };
        page_response(&query, forwarder, &sources).map(full)
    }

    fn stream(&self, current: &Current, request: PageRequest<'_>) -> HttpResponse {
        let Ok(place) = Arc::clone(&self.streams).try_acquire_owned() else {
            let why =
                "too many event streams are open: close a status page, or use /-/api/overview";
            return refused(StatusCode::SERVICE_UNAVAILABLE, why).map(full);
        };
        request.slot.release();
        let current = current.clone();
        events::stream(move || current.get(), self.started, request.query, place)
    }
}

fn metrics(forwarder: &Forwarder, exposition: Exposition) -> String {
    let shared = &forwarder.shared;
    let mut open = BTreeMap::<_, u64>::new();
    for condition in shared.health.snapshot() {
        let upstream = redact::text(&condition.upstream);
        *open.entry((condition.route, upstream)).or_default() += 1;
    }
    let [memory, spool] = shared.replay.used();
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let running = number(shared.tracker.count());
    let mut readings = vec![
        Gauge::new(&metrics::TRANSFERS_RUNNING, &[], running),
        Gauge::new(
            &metrics::IDLE_CONNECTIONS,
            &[],
            number(forwarder.idle_connections()),
        ),
        Gauge::new(&metrics::REPLAY_BYTES, &["memory"], memory),
        Gauge::new(&metrics::REPLAY_BYTES, &["spool"], spool),
        Gauge::new(&metrics::LOG_LINES, &[], log::lines()),
        Gauge::new(&metrics::LOG_LINES_DROPPED, &[], log::dropped_lines()),
    ];
    let open = open.iter().map(|((route, upstream), count)| {
        Gauge::new(&metrics::CIRCUITS_OPEN, &[route, upstream], *count)
    });
    readings.extend(open);
    shared.tracker.metrics().render(exposition, &readings)
}
