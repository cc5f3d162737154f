//! The table of rewrites at work on one answer: its head at once, its body once it is there whole.
//!
//! A body is taken in only where the table says that its URLs are followed, up to a limit. What cannot be rewritten (too
//! large, cut off, no JSON, an unknown compression) goes on exactly as it came, and the log says why. Called by `exchange`.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, TRAILER,
    },
    http::request::Parts,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    Asked, Forwarder,
    body::{Answer, AnswerBody, full},
    destination::Destination,
};
use crate::{
    mirror::{Coding, Findings, Mapping, Rewrite, coding::DecodeError, table},
    model::fault::BoxError,
    rt::Shutdown,
    track::Transfer,
};

/// How many larger bodies are taken in at once; others wait.
const LARGE_AT_ONCE: usize = 8;
/// What counts as larger.
const SMALL: u64 = 64 * 1024;

/// Said where none became free.
const NO_PLACE: &str = "too many larger bodies are being rewritten at once";
/// How long one of them waits for its place.
const PLACE: Duration = Duration::from_secs(10);
/// How long one that has its place may say nothing.
const PIECE: Duration = Duration::from_secs(20);

/// Fields that speak of bytes which are no longer the same.
const OF_THE_BYTES: [HeaderName; 5] = [
    TRAILER,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// What is the same for every answer of one forwarder.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    max_body: usize,
    large: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl Limits {
    /// A place among the larger bodies, if one becomes free soon.
    async fn place(&self) -> LargePlace {
        let waiting = tokio::time::timeout(PLACE, Arc::clone(&self.large).acquire_owned());
        tokio::select! {
            place = waiting => place.ok()?.ok(),
            () = self.shutdown.ended() => None,
        }
    }

    pub(super) fn new(max_body: usize, shutdown: Shutdown) -> Self {
        Self {
            max_body,
            large: Arc::new(Semaphore::new(LARGE_AT_ONCE)),
            shutdown,
        }
    }
}

/// What there is to rewrite of one answer.
pub(super) struct Rewriting {
    mapping: Mapping,
    body: Option<&'static Rewrite>,
    transfer: Transfer,
}

impl Rewriting {
    /// `None` where the client sees the origin's own URLs anyway.
    pub(super) fn of(
        forwarder: &Forwarder,
        head: &Parts,
        asked: &Asked,
        destination: &Destination,
        transfer: &Transfer,
    ) -> Option<Self> {
        if !is_needed(asked, destination) {
            return None;
        }
        let config = Arc::clone(&forwarder.config);
        let mapping = Mapping {
            scheme: asked.scheme,
            target: asked.target.clone(),
            mirror: destination.mirror.clone(),
            base: asked.base.clone(),
            served: Arc::new(move |target| config.serves(target)),
        };
        Some(Self {
            mapping,
            body: table::for_body(&head.method, head.uri.path()),
            transfer: transfer.clone(),
        })
    }

    /// Asks for an answer that can be read: plain. The few that are rewritten are small.
    pub(super) fn ask(
        headers: &mut HeaderMap,
        head: &Parts,
        asked: &Asked,
        destination: &Destination,
    ) {
        if is_needed(asked, destination) && table::for_body(&head.method, head.uri.path()).is_some()
        {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
    }

    /// Maps the URLs of the head.
    pub(super) fn head<B>(&self, response: &mut Response<B>) {
        let status = response.status();
        let findings = table::rewrite_head(&self.mapping, status, response.headers_mut());
        self.tell(&findings);
    }

    /// Maps the URLs of the body, where the table knows it and it can be read.
    pub(super) async fn body(&self, answer: Answer, limits: &Limits) -> Answer {
        let Some(rewrite) = self.body else {
            return answer;
        };
        let partial = [StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED];
        if answer.body().is_end_stream() || partial.contains(&answer.status()) {
            return answer;
        }
        if !table::is_json(answer.headers()) {
            return answer;
        }
        let coding = Coding::of(answer.headers());
        if coding == Coding::Unknown {
            self.leave(
                rewrite,
                "the body is compressed in a way that gitferry does not read, although plain was asked for",
            );
            return answer;
        }
        let (mut head, body) = answer.into_parts();
        let (taken, _place) = match take_in(body, coding, limits).await {
            Ok(taken) => taken,
            Err((why, body)) => {
                self.leave(rewrite, &why);
                return Response::from_parts(head, body);
            }
        };
        let rewritten = match decode(coding, &taken, limits.max_body).await {
            Ok(plain) => rewrite
                .rewrite_body(&self.mapping, &plain)
                .map_err(|why| why.to_string()),
            Err(why) => Err(why.to_string()),
        };
        match rewritten {
            Ok((changed, findings)) => {
                self.tell(&findings);
                let Some(changed) = changed else {
                    return Response::from_parts(head, full(taken));
                };
                describe(&mut head.headers, changed.len());
                Response::from_parts(head, full(changed))
            }
            Err(why) => {
                self.leave(rewrite, &why);
                Response::from_parts(head, full(taken))
            }
        }
    }

    fn leave(&self, rewrite: &Rewrite, why: &str) {
        self.transfer.left_as_it_came(rewrite.code, why);
    }

    fn tell(&self, findings: &Findings) {
        if !findings.away.is_empty() {
            self.transfer.leads_away(&findings.away);
        }
    }
}

/// False where the client sees the origin's own URLs, as on most requests.
fn is_needed(asked: &Asked, destination: &Destination) -> bool {
    asked.base.is_some() || destination.mirror.is_some()
}

/// Decompresses, beside the tasks that ferry: a few bytes may stand for many.
async fn decode(coding: Coding, body: &Bytes, limit: usize) -> Result<Bytes, DecodeError> {
    if coding == Coding::Identity {
        return Ok(body.clone());
    }
    let body = body.clone();
    let work = tokio::task::spawn_blocking(move || coding.decode(&body, limit));
    let decoded = work
        .await
        .unwrap_or_else(|ended| Err(DecodeError::Damaged(std::io::Error::other(ended))));
    decoded.map(Bytes::from)
}

/// The framing of the new bytes, which are plain; an ETag becomes weak, since it names other bytes that mean the same (RFC 9110, 8.8.1).
fn describe(headers: &mut HeaderMap, length: usize) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.remove(CONTENT_ENCODING);
    for name in OF_THE_BYTES {
        headers.remove(name);
    }
    let weak = headers
        .get(ETAG)
        .and_then(|tag| tag.to_str().ok())
        .filter(|tag| !tag.starts_with("W/"))
        .and_then(|tag| HeaderValue::try_from(format!("W/{tag}")).ok());
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
}

/// A place among the larger bodies.
type LargePlace = Option<OwnedSemaphorePermit>;

/// The body whole, with its place until it is done with; or why not, and a body that still gives every byte, and every error, as it came.
async fn take_in(
    body: AnswerBody,
    coding: Coding,
    limits: &Limits,
) -> Result<(Bytes, LargePlace), (String, AnswerBody)> {
    let hint = body.size_hint();
    let over = || {
        format!(
            "the body is larger than max_body of [rewrite], {} bytes",
            limits.max_body
        )
    };
    if hint.lower() > limits.max_body as u64 {
        return Err((over(), body));
    }
    let mut place = None;
    let mut rest = body;
    let mut taken = Vec::new();
    let (why, then) = loop {
        let large = taken.len() as u64 > SMALL;
        if large && place.is_none() {
            place = limits.place().await;
            if place.is_none() {
                break (NO_PLACE.into(), None);
            }
        }
        match next_of(&mut rest, large).await {
            Taken::Data(data) if taken.len() + data.len() <= limits.max_body => {
                taken.extend_from_slice(&data);
            }
            Taken::Data(data) => break (over(), Some(Ok(Frame::data(data)))),
            Taken::Left(why) => break (why, None),
            Taken::Broken(error) => {
                break (format!("the body broke off: {error}"), Some(Err(error)));
            }
            Taken::All if coding == Coding::Identity || place.is_some() => {
                return Ok((taken.into(), place));
            }
            Taken::All => {
                // A few bytes may stand for many.
                place = limits.place().await;
                if place.is_none() {
                    break (NO_PLACE.into(), None);
                }
                return Ok((taken.into(), place));
            }
        }
    };
    let first = Some(Ok(Frame::data(taken.into())));
    let frames = first.into_iter().chain(then).collect();
    let resumed = Resumed {
        frames,
        rest,
        flushed: false,
    };
    Err((why, resumed.boxed_unsync()))
}

/// What a body did next.
enum Taken {
    Data(Bytes),
    All,
    Left(String),
    Broken(BoxError),
}

/// The next piece; one of a larger body, which others wait for, must not take too long.
async fn next_of(body: &mut AnswerBody, large: bool) -> Taken {
    loop {
        let frame = match large {
            true => match tokio::time::timeout(PIECE, body.frame()).await {
                Ok(frame) => frame,
                Err(_) => return Taken::Left(format!("nothing of the body came for {PIECE:?}")),
            },
            false => body.frame().await,
        };
        match frame {
            None => return Taken::All,
            Some(Err(error)) => return Taken::Broken(error),
            // Trailers end a body; what is rewritten has a length instead.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Taken::Data(data);
                }
            }
        }
    }
}

/// What was taken in, and then the rest as it comes.
struct Resumed {
    frames: VecDeque<Result<Frame<Bytes>, BoxError>>,
    rest: AnswerBody,
    flushed: bool,
}

impl Body for Resumed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if matches!(self.frames.front(), Some(Err(_))) && !self.flushed {
            // hyper throws away what it has not written when a body fails; while it waits, it writes.
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // The head says what it said: a length, or chunks.
        SizeHint::default()
    }
}
