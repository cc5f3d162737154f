//! The answer to an LFS batch request names the storage host that the client goes to next: it is dialled while the client still reads.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Method, StatusCode, Uri,
    body::{Body, Frame, SizeHint},
    header::CONTENT_ENCODING,
};

use crate::forward::{
    AnswerBody, forwarder::Forwarder, request::body::Answer, upstream::spare::Spare,
};
use crate::model::Target;

/// Who asked.
pub(crate) struct Batch {
    pub(crate) forwarder: Arc<Forwarder>,
    /// The host of the LFS API.
    pub(crate) api: Target,
    /// By the reverse front.
    pub(crate) reverse: bool,
}

/// True for a batch request (git-lfs: docs/api/batch.md).
pub(crate) fn is_batch(method: &Method, uri: &Uri) -> bool {
    method == Method::POST && uri.path().ends_with("/objects/batch")
}

impl Batch {
    /// The same answer, which is read as it passes.
    pub(crate) fn watch(self, answer: Answer) -> Answer {
        if answer.status() != StatusCode::OK || answer.headers().contains_key(CONTENT_ENCODING) {
            return answer;
        }
        let ahead = Some((self, Vec::new()));
        answer.map(|body| Watched { body, ahead }.boxed_unsync())
    }

    /// Looks for a storage host; true when there is nothing more to look for.
    fn look(&self, seen: &[u8]) -> bool {
        let Some(storage) = storage(seen, &self.api) else {
            return seen.len() >= LONGEST;
        };
        let spare = Spare::to_named(&self.forwarder, &storage, self.reverse);
        if let Some(spare) = spare {
            spare.open(Arc::clone(&self.forwarder));
        }
        true
    }
}

/// The first object stands in here, with its header fields and a long signature.
const LONGEST: usize = 16 * 1024;

/// The host of the first complete `href` that leads to another host than `api` by https. Links to `api` itself (`verify`) need no other
/// connection.
fn storage(seen: &[u8], api: &Target) -> Option<Target> {
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
    hosts.find(|target| target.host != api.host)
}

/// A body that passes unchanged.
struct Watched {
    body: AnswerBody,
    /// What was seen of it; `None` once nothing is looked for.
    ahead: Option<(Batch, Vec<u8>)>,
}

impl Watched {
    fn see(&mut self, data: &Bytes) {
        let Some((batch, seen)) = &mut self.ahead else {
            return;
        };
        let room = LONGEST.saturating_sub(seen.len());
        seen.extend(data.iter().take(room));
        if batch.look(seen) {
            self.ahead = None;
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.see(data);
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
    fn the_first_host_of_an_answer_that_is_not_the_api_is_the_storage() {
        let api = Target::parse("hf.co", Some(443)).unwrap();
        let of = |text: &str| storage(text.as_bytes(), &api).map(|target| target.to_string());
        let verify = r#"{"objects":[{"actions":{"verify":{"href":"https://hf.co/v"},"upload":"#;
        let upload = format!(r#"{verify}{{ "href" : "https://s3.test:8443/a?X=\"1"#);
        assert_eq!(of(verify), None);
        assert_eq!(of(&upload).as_deref(), Some("s3.test:8443"));
        // Cut off in the middle of a name, plain, escaped, and with a user.
        assert_eq!(of(r#"{"href":"https://s3.te"#), None);
        assert_eq!(of(r#"{"href":"http://s3.test/"}"#), None);
        let escaped = of(r#"{"href":"https:\/\/s3.test\/a"}"#);
        assert_eq!(escaped.as_deref(), Some("s3.test:443"));
        assert_eq!(of(r#"{"href":"https://me@s3.test/"}"#), None);
    }
}
