//! The LFS storage: presigned PUT of objects and of parts as S3 takes them, presigned GET with Range as the CDN gives them.

use std::{
    io,
    ops::RangeInclusive,
    pin::Pin,
    task::{Context, Poll},
};

use http_body_util::BodyExt;
use hyper::{
    Method, Response, StatusCode,
    body::{Body as HttpBody, Frame},
    header,
};
use tokio_util::bytes::Bytes;

use super::{DOWNLOADS, ExchangeRequest, SIGNATURE, Shared, UPLOADS, say, state::sha256};
use crate::support::lfs::{Body, full};

/// What is sent of a body at once.
const PIECE: usize = 64 * 1024;

pub(super) fn upload_url(oid: &str) -> String {
    format!(
        "https://{UPLOADS}/repos/aa/bb/{oid}?X-Amz-Expires=900&X-Amz-Signature={SIGNATURE}&x-id=PutObject"
    )
}

pub(super) fn part_url(oid: &str, upload: &str, number: u64) -> String {
    format!(
        "https://{UPLOADS}/repos/aa/bb/{oid}?X-Amz-Expires=86400&X-Amz-Signature={SIGNATURE}&partNumber={number}&uploadId={upload}&x-id=UploadPart"
    )
}

pub(super) fn download_url(oid: &str) -> String {
    format!(
        "https://{DOWNLOADS}/repos/aa/bb/{oid}?response-content-disposition=inline&Expires=4000000000&Signature={SIGNATURE}&Key-Pair-Id=K2"
    )
}

pub(super) fn answer(asked: &ExchangeRequest, shared: &Shared, host: &str) -> Response<Body> {
    if !asked.is_signed() {
        return say(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
    }
    if asked.headers.contains_key(header::AUTHORIZATION) {
        return say(
            StatusCode::BAD_REQUEST,
            "InvalidArgument: Only one auth mechanism allowed",
        );
    }
    let Some(oid) = asked.path().strip_prefix("/repos/aa/bb/") else {
        return say(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    match (host, &asked.method) {
        (UPLOADS, &Method::PUT) => put(asked, shared, oid),
        (DOWNLOADS, &Method::GET) => get(asked, shared, oid),
        // The method is part of what is signed.
        _ => say(StatusCode::FORBIDDEN, "SignatureDoesNotMatch: method"),
    }
}

fn put(asked: &ExchangeRequest, shared: &Shared, oid: &str) -> Response<Body> {
    // minio#7792: S3 does not take a chunked body in a presigned PUT.
    if !asked.headers.contains_key(header::CONTENT_LENGTH) {
        return say(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented: Content-Length",
        );
    }
    let hash = sha256(&asked.body);
    let mut state = shared.state.lock().unwrap();
    let part = asked
        .query("partNumber")
        .and_then(|number| number.parse().ok());
    match (asked.query("uploadId"), part) {
        (Some(upload), Some(number)) => {
            state
                .parts
                .insert((upload.to_owned(), number), asked.body.clone());
        }
        _ if hash == oid => {
            state.objects.insert(hash.clone(), asked.body.clone());
        }
        _ => return say(StatusCode::BAD_REQUEST, "BadDigest"),
    }
    let answer = Response::builder().header(header::ETAG, format!("\"{}\"", &hash[..32]));
    answer.body(full("")).unwrap()
}

fn get(asked: &ExchangeRequest, shared: &Shared, oid: &str) -> Response<Body> {
    let object = shared.state.lock().unwrap().objects.get(oid).cloned();
    match object {
        Some(object) => ranged(asked, shared, &object, &format!("\"{oid}\"")),
        None => say(StatusCode::NOT_FOUND, "NoSuchKey"),
    }
}

/// The whole of `bytes` or the range that is asked for; it breaks off where [`super::Hub::breaks_a_download_after`] said so.
pub(super) fn ranged(
    asked: &ExchangeRequest,
    shared: &Shared,
    bytes: &Bytes,
    etag: &str,
) -> Response<Body> {
    let size = bytes.len() as u64;
    let head = Response::builder()
        .header(header::ETAG, etag)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::CONTENT_TYPE, "binary/octet-stream");
    let (head, range) = match asked.range(size) {
        Some(Err(())) => return say(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
        Some(Ok(range)) => {
            let shown = format!("bytes {}-{}/{size}", range.start(), range.end());
            let head = head.status(StatusCode::PARTIAL_CONTENT);
            (head.header(header::CONTENT_RANGE, shown), range)
        }
        None if size == 0 => return head.body(full("")).unwrap(),
        None => (head, 0..=size - 1),
    };
    let part = slice(bytes, &range);
    let length = part.len() as u64;
    let sent = shared.sent_of(length);
    let body = Pieces {
        left: part.slice(..usize::try_from(sent).unwrap()),
        breaks: sent < length,
        paused: false,
    };
    let head = head.header(header::CONTENT_LENGTH, length);
    head.body(body.boxed()).unwrap()
}

pub(super) fn slice(bytes: &Bytes, range: &RangeInclusive<u64>) -> Bytes {
    let at = |place: &u64| usize::try_from(*place).unwrap();
    bytes.slice(at(range.start())..=at(range.end()))
}

/// Bytes a piece at a time, and then the connection's end where it `breaks`.
struct Pieces {
    left: Bytes,
    breaks: bool,
    paused: bool,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        // hyper flushes while a body has nothing; without the pause it would throw away what it still holds.
        this.paused = this.breaks && !this.paused;
        if this.paused {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if !this.left.is_empty() {
            let piece = this.left.split_to(PIECE.min(this.left.len()));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        Poll::Ready(
            this.breaks
                .then(|| Err(io::ErrorKind::ConnectionReset.into())),
        )
    }
}
