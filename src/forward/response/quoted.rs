//! Masks the credentials for a hop that carries plain HTTP where its response quotes them.
//!
//! Error pages, and pages that show the request, quote header fields. A response does not show whether hop or origin wrote it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Body, Frame, SizeHint},
    ext::ReasonPhrase,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue},
};
use tokio_util::bytes::{Bytes, BytesMut};

use crate::{
    forward::{
        ResponseBody,
        request::body::{HttpResponse, full},
        upstream::pool::ConnectionInfo,
    },
    model::quoted::Quotable,
};

/// What the responses on this connection may quote; `None` where no credentials were sent.
pub(crate) fn quotable(info: &ConnectionInfo) -> Option<Quotable> {
    let form = info.absolute_form.as_ref()?;
    let authorization = form.authorization.as_ref()?;
    Some(Quotable::of(authorization.as_bytes()))
}

/// The response with the credentials masked.
pub(crate) fn hide(quotable: Option<Quotable>, response: HttpResponse) -> HttpResponse {
    let Some(quotable) = quotable else {
        return response;
    };
    let (mut head, body) = response.into_parts();
    hide_in_fields(&quotable, &mut head.headers);
    let reason = head.extensions.get::<ReasonPhrase>();
    if let Some(hidden) = reason.and_then(|reason| hidden_reason(&quotable, reason)) {
        head.extensions.insert(hidden);
    }
    if !may_quote(head.status.as_u16(), &head.headers) {
        return HttpResponse::from_parts(head, body);
    }
    if is_coded(&head.headers) {
        // Encoded content cannot be masked while it passes.
        for name in [CONTENT_ENCODING, CONTENT_LENGTH, ETAG] {
            head.headers.remove(name);
        }
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        head.headers.insert(CONTENT_TYPE, text);
        return HttpResponse::from_parts(head, full(WITHHELD));
    }
    let body = QuoteFilter {
        body,
        quotable,
        held: BytesMut::new(),
        last: None,
    };
    HttpResponse::from_parts(head, body.boxed_unsync())
}

const WITHHELD: &str = "gitferry: the error page is compressed and came through a hop with credentials: it is not passed on\n";

fn hide_in_fields(quotable: &Quotable, headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let mut bytes = value.as_bytes().to_vec();
        if quotable.mask(&mut bytes)
            && let Ok(hidden) = HeaderValue::from_bytes(&bytes)
        {
            *value = hidden;
        }
    }
}

fn hidden_reason(quotable: &Quotable, reason: &ReasonPhrase) -> Option<ReasonPhrase> {
    let mut bytes = reason.as_bytes().to_vec();
    let quotes = quotable.mask(&mut bytes);
    ReasonPhrase::try_from(bytes).ok().filter(|_| quotes)
}

/// Errors, and the content types of pages that show requests.
fn may_quote(status: u16, headers: &HeaderMap) -> bool {
    let shows = |kind: &HeaderValue| {
        let kind = String::from_utf8_lossy(kind.as_bytes()).to_ascii_lowercase();
        let shown = ["text/", "message/", "json", "xml"];
        shown.iter().any(|shown| kind.contains(shown))
    };
    let kind = headers.get(CONTENT_TYPE);
    status >= 400 || kind.is_none_or(shows) && !is_coded(headers)
}

fn is_coded(headers: &HeaderMap) -> bool {
    let coding = headers.get(CONTENT_ENCODING);
    coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// A body with credentials masked; it holds back bytes that may begin a quotation.
struct QuoteFilter {
    body: ResponseBody,
    quotable: Quotable,
    held: BytesMut,
    /// The frame or error that ended the data.
    last: Option<Result<Frame<Bytes>, <ResponseBody as Body>::Error>>,
}

impl QuoteFilter {
    /// The bytes that cannot begin a quotation.
    fn take_safe(&mut self) -> Option<Bytes> {
        self.quotable.mask(&mut self.held);
        let keep = self.quotable.longest().saturating_sub(1);
        let ready = self.held.len().saturating_sub(keep);
        (ready > 0).then(|| self.held.split_to(ready).freeze())
    }

    fn rest(&mut self) -> Option<Bytes> {
        (!self.held.is_empty()).then(|| self.held.split().freeze())
    }
}

impl Body for QuoteFilter {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if let Some(last) = self.last.take() {
                return Poll::Ready(Some(last));
            }
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(frame) => frame,
            };
            let data = match frame {
                None => return Poll::Ready(self.rest().map(|rest| Ok(Frame::data(rest)))),
                Some(Ok(mut frame)) => {
                    if let Some(trailers) = frame.trailers_mut() {
                        hide_in_fields(&self.quotable, trailers);
                    }
                    frame.into_data().map_err(Ok)
                }
                Some(Err(error)) => Err(Err(error)),
            };
            match data {
                Ok(data) => {
                    self.held.extend_from_slice(&data);
                    if let Some(ready) = self.take_safe() {
                        return Poll::Ready(Some(Ok(Frame::data(ready))));
                    }
                }
                Err(last) => {
                    self.last = Some(last);
                    if let Some(rest) = self.rest() {
                        return Poll::Ready(Some(Ok(Frame::data(rest))));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.last.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (self.body.size_hint(), self.held.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}
