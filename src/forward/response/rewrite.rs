//! Applies the table of rewrites to one response: to its head at once, to its body once it is complete.
//!
//! A body is buffered only where the table rewrites its URLs, up to a limit. What cannot be rewritten (too large, truncated, no JSON, an
//! unknown compression) is passed on unchanged, and the log says why. Called by `serve`.

mod body_work;
mod buffer;

use std::sync::Arc;

use hyper::{
    HeaderMap, Response, StatusCode,
    body::Body,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, TRAILER},
    http::request::Parts,
};
use tokio_util::bytes::Bytes;

use body_work::BodyWork;
use buffer::buffer_body;

use crate::forward::{
    credentials,
    forwarder::Forwarder,
    headers::text,
    limits::{RewriteLimits, hold_place},
    request::body::{HttpResponse, full},
    request::exchange_request::ExchangeRequest,
    upstream::destination::Destination,
};
use crate::{
    mirror::{Coding, Findings, Mapping, Rewrite, table},
    model::credential_memory::CredentialMemory,
    track::TransferHandle,
};

/// Fields that describe the original bytes.
const BODY_FIELDS: [HeaderName; 5] = [
    TRAILER,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// The rewrite of one response.
pub(crate) struct ResponseRewrite {
    mapping: Mapping,
    body: Option<&'static Rewrite>,
    memory: Arc<CredentialMemory>,
    transfer: TransferHandle,
}

impl ResponseRewrite {
    /// `None` where the client sees the origin's own URLs anyway.
    pub(crate) fn of(
        forwarder: &Forwarder,
        head: &Parts,
        exchange_request: &ExchangeRequest,
        destination: &Destination,
        transfer: &TransferHandle,
    ) -> Option<Self> {
        if !destination.is_rewritten(exchange_request) {
            return None;
        }
        let config = Arc::clone(&forwarder.config);
        let mapping = Mapping {
            scheme: exchange_request.scheme,
            target: exchange_request.target.clone(),
            path: head.uri.path().into(),
            mirror: destination.mirror.clone(),
            base: exchange_request.base.clone(),
            served: Arc::new(move |target| config.serves(target)),
        };
        Some(Self {
            mapping,
            body: table::for_body(&head.method, head.uri.path()),
            memory: Arc::clone(&forwarder.shared.credentials),
            transfer: transfer.clone(),
        })
    }

    /// Maps the URLs of the head; `sent` are the request's fields.
    pub(crate) fn head<B>(&self, response: &mut Response<B>, sent: &HeaderMap) {
        let status = response.status();
        credentials::record_challenge(&self.memory, &self.mapping, status);
        let findings = table::rewrite_head(&self.mapping, status, response.headers_mut());
        self.report_findings(&findings, sent);
    }

    /// True where the body may be read whole before the client gets the head.
    pub(crate) fn has_body(&self) -> bool {
        self.body.is_some()
    }

    /// Maps the URLs of the body, where the table knows the body and it can be parsed.
    pub(crate) async fn body(
        &self,
        response: HttpResponse,
        limits: &RewriteLimits,
    ) -> HttpResponse {
        let Some(rewrite) = self.body else {
            return response;
        };
        let partial = [StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED];
        if response.body().is_end_stream() || partial.contains(&response.status()) {
            return response;
        }
        if !table::is_json(response.headers()) {
            return response;
        }
        let coding = Coding::of(response.headers());
        if coding == Coding::Unknown {
            self.report_skipped(
                rewrite,
                "the body has a content coding that gitferry does not support, although none was requested",
            );
            return response;
        }
        let (mut head, body) = response.into_parts();
        let (buffered, place) = match buffer_body(body, coding, limits).await {
            Ok(buffered) => buffered,
            Err((why, body)) => {
                self.report_skipped(rewrite, &why);
                return Response::from_parts(head, body);
            }
        };
        let work = BodyWork {
            rewrite,
            mapping: self.mapping.clone(),
            memory: Arc::clone(&self.memory),
            coding,
            max_body: limits.max_body,
        };
        match work.run(buffered.clone()).await {
            Ok((changed, findings)) => {
                self.report_findings(&findings, &HeaderMap::new());
                let Some(changed) = changed else {
                    return Response::from_parts(head, full(hold_place(buffered, place)));
                };
                set_framing(&mut head.headers, changed.len());
                Response::from_parts(head, full(hold_place(Bytes::from(changed), place)))
            }
            Err(why) => {
                self.report_skipped(rewrite, &why);
                Response::from_parts(head, full(hold_place(buffered, place)))
            }
        }
    }

    fn report_skipped(&self, rewrite: &Rewrite, why: &str) {
        self.transfer.report_unrewritten(rewrite.code, why);
    }

    fn report_findings(&self, findings: &Findings, sent: &HeaderMap) {
        credentials::record_links(&self.memory, &self.mapping, findings, sent);
        if !findings.unserved.is_empty() {
            self.transfer.report_unserved_links(&findings.unserved);
        }
    }
}

/// Sets the framing of the new, uncompressed bytes. An ETag becomes weak, because the bytes differ but mean the same (RFC 9110, 8.8.1).
fn set_framing(headers: &mut HeaderMap, length: usize) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.remove(CONTENT_ENCODING);
    for name in BODY_FIELDS {
        headers.remove(name);
    }
    let weak = text(headers, &ETAG)
        .filter(|tag| !tag.starts_with("W/"))
        .and_then(|tag| HeaderValue::try_from(format!("W/{tag}")).ok());
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
}
