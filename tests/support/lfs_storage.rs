//! The storage of the LFS server: presigned PUT of whole objects, GET of these or of a range.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use aws_lc_rs::digest;
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    header,
};
use tokio::{
    fs::File,
    io::{AsyncRead, AsyncSeekExt, AsyncWriteExt, ReadBuf},
};
use tokio_util::bytes::Bytes;

use super::lfs::{Body, SIGNATURE, Shared, full, say};

/// How much of a file is read at once.
const PIECE: usize = 128 * 1024;

/// Answers a request as S3 would.
pub(crate) async fn answer(
    request: Request<Incoming>,
    shared: &Shared,
) -> io::Result<Response<Body>> {
    shared.count(request.method().as_str());
    let query = request.uri().query().unwrap_or_default();
    if !query.contains(&format!("X-Amz-Signature={SIGNATURE}&")) {
        return Ok(say(StatusCode::FORBIDDEN, "SignatureDoesNotMatch"));
    }
    let host = request.headers().get(header::HOST);
    let base = shared.storage_base();
    let base = base.split_once("://").map_or("", |(_, rest)| rest);
    let (name, below) = base.split_at(base.find('/').unwrap_or(base.len()));
    if host.is_none_or(|host| host != name) {
        return Ok(say(StatusCode::FORBIDDEN, "SignatureDoesNotMatch: host"));
    }
    let path = request.uri().path().strip_prefix(below);
    let oid = path.and_then(|path| path.strip_prefix("/lfs/"));
    let Some(oid) = oid.map(str::to_owned) else {
        return Ok(say(StatusCode::NOT_FOUND, "NoSuchKey"));
    };
    match *request.method() {
        Method::PUT => put(request, shared, &oid).await,
        Method::GET => get(&request, shared, &oid).await,
        _ => Ok(say(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")),
    }
}

async fn put(request: Request<Incoming>, shared: &Shared, oid: &str) -> io::Result<Response<Body>> {
    // minio#7792: S3 does not take a chunked body in a presigned PUT.
    if !request.headers().contains_key(header::CONTENT_LENGTH) {
        return Ok(say(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented: Content-Length",
        ));
    }
    static UPLOADS: AtomicU64 = AtomicU64::new(0);
    let number = UPLOADS.fetch_add(1, Ordering::Relaxed);
    let part = shared.objects.join(format!("{oid}.{number}.part"));
    let places = shared.served.places.lock().unwrap().clone();
    let _place = match places {
        Some(places) => places.acquire_owned().await.ok(),
        None => None,
    };
    let rate = shared.served.rate.load(Ordering::SeqCst);
    let hash = store(request.into_body(), &part, rate).await;
    let hash = match hash {
        Ok(hash) => hash,
        Err(error) => {
            tokio::fs::remove_file(&part).await?;
            return Err(error);
        }
    };
    if hash != oid {
        tokio::fs::remove_file(&part).await?;
        return Ok(say(StatusCode::BAD_REQUEST, "BadDigest"));
    }
    tokio::fs::rename(&part, shared.objects.join(oid)).await?;
    Ok(Response::new(full("")))
}

/// At `rate` bytes a second, where it is not zero.
async fn store(mut body: Incoming, path: &Path, rate: u64) -> io::Result<String> {
    let mut file = File::create(path).await?;
    let mut hash = digest::Context::new(&digest::SHA256);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            hash.update(&data);
            file.write_all(&data).await?;
            if rate > 0 {
                let pause = data.len() as f64 / rate as f64;
                tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            }
        }
    }
    file.flush().await?;
    Ok(hex(hash.finish().as_ref()))
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whole or a range; with a strong ETag, as S3 gives one.
async fn get(
    request: &Request<Incoming>,
    shared: &Shared,
    oid: &str,
) -> io::Result<Response<Body>> {
    let Ok(mut file) = File::open(shared.objects.join(oid)).await else {
        return Ok(say(StatusCode::NOT_FOUND, "NoSuchKey"));
    };
    let length = file.metadata().await?.len();
    let etag = format!("\"{oid}\"");
    let field = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let unchanged = field(header::IF_RANGE).is_none_or(|validator| validator == etag);
    let asked = field(header::RANGE).filter(|_| unchanged);
    let range = asked.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let answer = Response::builder()
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, &etag);
    let (answer, left) = match range.map(|(from, to)| (from.parse::<u64>(), to.parse::<u64>())) {
        Some((Ok(from), _)) if from >= length => {
            return Ok(say(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"));
        }
        Some((Ok(from), to)) => {
            let last = to.unwrap_or(u64::MAX).min(length - 1);
            file.seek(io::SeekFrom::Start(from)).await?;
            let field = format!("bytes {from}-{last}/{length}");
            let answer = answer.status(StatusCode::PARTIAL_CONTENT);
            (answer.header(header::CONTENT_RANGE, field), last + 1 - from)
        }
        _ => (answer, length),
    };
    let body = FileBody {
        file,
        left,
        piece: vec![0; PIECE].into(),
    };
    let answer = answer
        .header(header::CONTENT_LENGTH, left)
        .body(body.boxed());
    answer.map_err(io::Error::other)
}

/// A file as a body, a piece at a time.
struct FileBody {
    file: File,
    left: u64,
    piece: Box<[u8]>,
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(this.left).map_or(PIECE, |left| left.min(PIECE));
        let mut buffer = ReadBuf::new(&mut this.piece[..most]);
        ready!(Pin::new(&mut this.file).poll_read(context, &mut buffer))?;
        let data = Bytes::copy_from_slice(buffer.filled());
        this.left -= data.len() as u64;
        if data.is_empty() {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
