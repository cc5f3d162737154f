//! The response to an LFS batch request names the storage host that the client uses next: gitferry dials it while the client reads.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http_body_util::BodyExt;
use hyper::{
    Method, StatusCode, Uri,
    body::{Body, Frame, SizeHint},
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
};
use tokio_util::bytes::Bytes;

use crate::forward::{
    ResponseBody, forwarder::Forwarder, request::body::HttpResponse, upstream::spare::SpareDial,
};
use crate::model::Target;

/// The source of a batch request.
pub(crate) struct BatchSource {
    pub(crate) forwarder: Arc<Forwarder>,
    /// The host of the LFS API.
    pub(crate) api: Target,
    /// True where it came through the reverse front.
    pub(crate) reverse: bool,
}

/// True for a batch request (git-lfs: docs/api/batch.md).
pub(crate) fn is_batch(method: &Method, uri: &Uri) -> bool {
    method == Method::POST && uri.path().ends_with("/objects/batch")
}

impl BatchSource {
    /// Watches a response as it passes, unchanged. Only for a host that a route names: other hosts must not choose what gitferry dials.
    pub(crate) fn watch(self, response: HttpResponse) -> HttpResponse {
        let fields = response.headers();
        let kind = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if response.status() != StatusCode::OK
            || fields.contains_key(CONTENT_ENCODING)
            || !kind.is_some_and(|kind| kind.starts_with(b"application/vnd.git-lfs+json"))
            || !self.forwarder.config.has_route(&self.api)
        {
            return response;
        }
        let scan = Some((self, BodyStart::default()));
        response.map(|body| WatchedBody { body, scan }.boxed_unsync())
    }

    /// Looks for a storage host; true when the search is over.
    fn find_storage(&self, seen: &[u8]) -> bool {
        let Some(storage_host) = storage_host(seen, &self.api) else {
            return seen.len() >= MAX_SCANNED;
        };
        let spare = SpareDial::to_named(&self.forwarder, &storage_host, self.reverse);
        if let Some(spare) = spare {
            spare.open(Arc::clone(&self.forwarder));
        }
        true
    }
}

/// The most bytes scanned: the first object fits, with its header fields and a long signature.
const MAX_SCANNED: usize = 16 * 1024;

/// The beginning of a response.
#[derive(Default)]
struct BodyStart {
    bytes: Vec<u8>,
    /// The length at which it is searched next, so that an origin that sends single bytes does not cost more.
    next: usize,
}

impl BodyStart {
    /// True where a search is due.
    fn add(&mut self, data: &[u8]) -> bool {
        let room = MAX_SCANNED.saturating_sub(self.bytes.len());
        self.bytes.extend(data.iter().take(room));
        let length = self.bytes.len();
        if length < self.next.min(MAX_SCANNED) || room == 0 {
            return false;
        }
        self.next = length + (length / 2).max(256);
        true
    }
}

/// The host of the first complete https `href` to a host other than `api`. Links to `api` itself (`verify`) need no further connection.
fn storage_host(seen: &[u8], api: &Target) -> Option<Target> {
    let text = String::from_utf8_lossy(seen);
    let values = text.split("\"href\"").skip(1);
    let mut hosts = values.filter_map(|value| {
        let value = value.trim_start().strip_prefix(':')?.trim_start();
        let url = value.strip_prefix('"')?.split_once('"')?.0;
        let url = url.replace("\\/", "/");
        let rest = url.strip_prefix("https://")?;
        let authority = rest.split(['/', '?', '#', '\\']).next()?;
        Target::parse(authority, Some(443)).ok()
    });
    // A response must not direct the daemon to this machine or a private address.
    hosts.find(|target| {
        target.host != api.host && target.host.ip().is_none() && !target.host.is_loopback()
    })
}

/// A body that passes unchanged.
struct WatchedBody {
    body: ResponseBody,
    /// The bytes seen; `None` once the search is over.
    scan: Option<(BatchSource, BodyStart)>,
}

impl WatchedBody {
    fn scan(&mut self, data: &Bytes) {
        let Some((batch, seen)) = &mut self.scan else {
            return;
        };
        if (seen.add(data) || self.body.is_end_stream()) && batch.find_storage(&seen.bytes) {
            self.scan = None;
        }
    }

    /// The bytes since the last search may name it.
    fn scan_end(&mut self) {
        if let Some((batch, seen)) = self.scan.take() {
            batch.find_storage(&seen.bytes);
        }
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.scan(data);
        }
        if frame.is_none() {
            self.scan_end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_https_host_other_than_the_api_is_the_storage_host() {
        let api = Target::parse("hf.co", Some(443)).unwrap();
        let of = |text: &str| storage_host(text.as_bytes(), &api).map(|target| target.to_string());
        let verify = r#"{"objects":[{"actions":{"verify":{"href":"https://hf.co/v"},"upload":"#;
        let upload = format!(r#"{verify}{{ "href" : "https://s3.test:8443/a?X=\"1"#);
        assert_eq!(of(verify), None);
        assert_eq!(of(&upload).as_deref(), Some("s3.test:8443"));
        // Truncated in the middle of a name: plain, escaped, and with a user.
        assert_eq!(of(r#"{"href":"https://s3.te"#), None);
        assert_eq!(of(r#"{"href":"http://s3.test/"}"#), None);
        let escaped = of(r#"{"href":"https:\/\/s3.test\/a"}"#);
        assert_eq!(escaped.as_deref(), Some("s3.test:443"));
        assert_eq!(of(r#"{"href":"https://me@s3.test/"}"#), None);
        // No address of this machine or its network.
        for host in ["127.0.0.1", "10.0.0.1", "[::1]", "localhost"] {
            assert_eq!(of(&format!(r#"{{"href":"https://{host}/"}}"#)), None);
        }
    }

    #[test]
    fn a_response_in_single_bytes_is_searched_a_few_times() {
        let mut seen = BodyStart::default();
        let scans = (0..2 * MAX_SCANNED).filter(|_| seen.add(b"\"")).count();
        assert!((5..30).contains(&scans), "{scans}");
        assert_eq!(seen.bytes.len(), MAX_SCANNED);
    }
}
