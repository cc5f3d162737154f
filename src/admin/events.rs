//! `/-/api/events`: an overview as a server-sent event, then every second the fields that changed (WHATWG HTML, section 9.2).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt;
use hyper::{
    Response, StatusCode,
    body::{Body, Frame},
    header::{CONNECTION, HeaderValue},
};
use serde_json::{Map, Value};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::bytes::Bytes;

use super::{response::respond, view::Overview};
use crate::{
    forward::{Forwarder, HttpResponse, ResponseBody, Shared},
    model::fault::BoxError,
};

/// The most concurrent streams. They occupy no client slots.
pub(crate) const MAX_STREAMS: usize = 32;
/// The interval between two checks for changes.
const TICK: Duration = Duration::from_secs(1);
/// The interval of keepalive comments on a stream without changes.
const HEARTBEAT: u32 = 15;
/// The most running transfers in one event, without `limit`.
const DEFAULT_LIMIT: usize = 100;

/// A stream of the daemon's overview, until its reader disconnects or the daemon drains; releases `place` when it ends.
pub(crate) fn stream(
    current: impl Fn() -> Arc<Forwarder> + Send + 'static,
    started: Instant,
    query: &str,
    place: impl Send + 'static,
) -> HttpResponse {
    let Shared {
        tasks, shutdown, ..
    } = current().shared.clone();
    let limit = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("limit="));
    let limit = limit
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(DEFAULT_LIMIT);
    let (sender, receiver) = mpsc::channel(2);
    tasks.spawn(async move {
        let _place = place;
        let mut sent = LastSent::default();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = sender.closed() => return,
                () = shutdown.drained() => return,
            }
            let overview = Overview::of(&current(), started, limit.clamp(1, 1000));
            let Some(event) = sent.event(&overview) else {
                continue;
            };
            tokio::select! {
                sent = sender.send(event) => if sent.is_err() { return },
                () = shutdown.drained() => return,
            }
        }
    });
    let mut response: Response<ResponseBody> = respond(
        StatusCode::OK,
        "text/event-stream",
        EventBody(receiver).boxed_unsync(),
    );
    // Its client slot was released, so no other request may follow on the connection.
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

/// The events as a response body.
struct EventBody(mpsc::Receiver<Bytes>);

impl Body for EventBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let event = self.0.poll_recv(cx);
        event.map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

/// The values sent last, by field.
#[derive(Default)]
struct LastSent {
    fields: Map<String, Value>,
    ticks_without_change: u32,
}

/// Fields that change only with the clock; they do not cause an event.
const CLOCKS: [&str; 3] = ["now", "uptime_s", "tasks"];

/// The same for fields of entries; a reader adds the elapsed time.
const AGES: [&str; 5] = ["s_ago", "failed_s_ago", "total_ms", "stage_ms", "idle_ms"];

impl LastSent {
    /// The next event; `None` where nothing changed.
    fn event(&mut self, overview: &Overview) -> Option<Bytes> {
        let Ok(Value::Object(fields)) = serde_json::to_value(overview) else {
            return None;
        };
        let mut changed = Map::new();
        for (name, value) in fields {
            let is_clock = CLOCKS.contains(&&*name);
            if is_clock
                || self
                    .fields
                    .get(&name)
                    .is_none_or(|last| !differs_only_in_age(last, &value))
            {
                if !is_clock {
                    self.fields.insert(name.clone(), value.clone());
                }
                changed.insert(name, value);
            }
        }
        if changed.len() <= CLOCKS.len() {
            self.ticks_without_change += 1;
            if self.ticks_without_change < HEARTBEAT {
                return None;
            }
        }
        self.ticks_without_change = 0;
        Some(format!("event: overview\ndata: {}\n\n", Value::Object(changed)).into())
    }
}

/// True where the values differ only in ages.
fn differs_only_in_age(last: &Value, value: &Value) -> bool {
    match (last, value) {
        (Value::Object(last), Value::Object(value)) => {
            last.len() == value.len()
                && value.iter().all(|(name, value)| {
                    AGES.contains(&&**name)
                        || last
                            .get(name)
                            .is_some_and(|last| differs_only_in_age(last, value))
                })
        }
        (Value::Array(last), Value::Array(value)) => {
            last.len() == value.len()
                && last
                    .iter()
                    .zip(value)
                    .all(|(last, value)| differs_only_in_age(last, value))
        }
        (last, value) => last == value,
    }
}
