//! Every parser of external bytes, for `tests/fuzz`: bytes in, the parsed result out, in plain types.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Method, StatusCode,
    body::{Body, Frame},
    header::{HeaderName, HeaderValue, TRANSFER_ENCODING},
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_util::bytes::Bytes;

use crate::{
    cli,
    config::{self, Mirror, MirrorCredentials, Problems},
    doctor,
    forward::{
        HttpResponse, ResponseBody, framing, headers, request::partial_response::PartialResponse,
        response::quoted, tunnel::first_flight::FlightKind,
    },
    io::BoxIo,
    mirror::{
        Coding, Mapping, ReverseBase,
        json::{PathStep, splice},
        mapping::UrlUse,
        reverse::parse_segment,
        table,
    },
    model::{Fault, Host, Scheme, Secret, Target, quoted::Quotable, secret::Credentials},
    net::{RequestLine, dial, socket_owner},
    tls::{FirstBytes, accept::first_bytes},
};

/// The credentials for a hop.
pub const HOP_PASSWORD: &str = "hunter2secret";

fn hop_credentials() -> Credentials {
    Credentials {
        username: "me".into(),
        password: Secret::new(HOP_PASSWORD),
    }
}

/// A stream of a test.
pub trait TestStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> TestStream for T {}

/// The bytes of the tunnel through an HTTP hop on `io`, or the fault as the log shows it.
pub async fn greet_http(io: impl TestStream) -> Result<Vec<u8>, String> {
    let greeted = dial::http_hop::greet(Box::new(io), hop_address(), &hop_credentials()).await;
    tunnel(greeted).await
}

/// The same for a SOCKS5 hop.
pub async fn greet_socks(io: impl TestStream) -> Result<Vec<u8>, String> {
    let target = Target::new(Host::Name("hf.co".into()), 443);
    let (io, credentials) = (Box::new(io), hop_credentials());
    let greeted = dial::socks_hop::greet_on(io, hop_address(), &target, &credentials).await;
    tunnel(greeted).await
}

async fn tunnel(greeted: Result<BoxIo, Fault>) -> Result<Vec<u8>, String> {
    let mut read = Vec::new();
    let mut io = greeted.map_err(|fault| fault.chain())?;
    let _ = io.read_to_end(&mut read).await;
    Ok(read)
}

fn hop_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 3128))
}

/// True where a client's first flight may be replayed.
pub fn may_replay(flight: &[u8]) -> bool {
    FlightKind::of(flight).is_replayable()
}

/// The detected protocol of a client's first bytes, and all bytes that the stream then returns: none may be lost.
pub async fn first_flight(io: impl TestStream) -> (&'static str, Vec<u8>) {
    let mut io: BoxIo = Box::new(io);
    let found = first_bytes(&mut io, Duration::from_secs(1)).await;
    let (name, mut read) = match found {
        Ok(FirstBytes::Tls(bytes)) => ("tls", bytes.to_vec()),
        Ok(FirstBytes::Plain(bytes)) => ("plain", bytes.to_vec()),
        Ok(FirstBytes::Silent) => ("silent", Vec::new()),
        Ok(FirstBytes::Closed) => ("closed", Vec::new()),
        Err(_) => ("failed", Vec::new()),
    };
    let _ = io.read_to_end(&mut read).await;
    (name, read)
}

/// Applies `map` to strings of an LFS batch response; `None` where nothing changed.
///
/// Fails where the body is passed on unchanged.
pub fn spliced(
    body: &[u8],
    map: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<Option<Vec<u8>>, String> {
    const PLACES: &[&[PathStep]] = &[
        &[
            PathStep::Key("objects"),
            PathStep::Item,
            PathStep::Key("actions"),
            PathStep::AnyKey,
            PathStep::Key("href"),
        ],
        &[PathStep::Key("parts"), PathStep::NumericKey],
        &[PathStep::Key("url")],
    ];
    splice(body, PLACES, map).map_err(|error| error.to_string())
}

/// What is between the client and the origin.
#[derive(Clone, Copy, Debug)]
pub struct ResponsePath {
    pub reverse_front: bool,
    pub mirror: bool,
}

impl ResponsePath {
    pub const REVERSE_FRONT: Self = Self {
        reverse_front: true,
        mirror: false,
    };
}

/// The mapping of a response of `https://hf.co` to `path`; the reverse front serves `hf.co`, `b.test` and names below `.cdn.test`.
fn mapping(path: &str, between: ResponsePath) -> Mapping {
    let target = |host: &str| Target::new(Host::Name(host.into()), 443);
    let mirror = between.mirror.then(|| Mirror {
        scheme: Scheme::Https,
        target: target("mirror.test"),
        base_path: "/base".into(),
        credentials: MirrorCredentials::Withhold,
    });
    Mapping {
        scheme: Scheme::Https,
        target: target("hf.co"),
        path: path.into(),
        mirror,
        base: between
            .reverse_front
            .then(|| ReverseBase::new("127.0.0.1:4483", "")),
        served: Arc::new(|target| {
            let host = target.host.to_string();
            matches!(host.as_str(), "hf.co" | "b.test") || host.ends_with(".cdn.test")
        }),
    }
}

/// The fields of a response as the client gets them.
pub fn rewritten_field(
    (path, between): (&str, ResponsePath),
    status: u16,
    name: &'static str,
    value: &[u8],
) -> Vec<Vec<u8>> {
    let (Ok(value), Ok(status)) = (HeaderValue::from_bytes(value), StatusCode::from_u16(status))
    else {
        return Vec::new();
    };
    let name = HeaderName::from_static(name);
    let mut fields = HeaderMap::new();
    fields.insert(&name, value);
    table::rewrite_head(&mapping(path, between), status, &mut fields);
    let values = fields.get_all(&name).iter();
    values.map(|value| value.as_bytes().to_vec()).collect()
}

/// The body of an LFS batch response as the client gets it; `None` where it is unchanged.
pub fn rewritten_batch(between: ResponsePath, body: &[u8]) -> Option<Vec<u8>> {
    let path = "/user/repo.git/info/lfs/objects/batch";
    let entry = table::for_body(&Method::POST, path)?;
    let mapping = mapping(path, between);
    entry.rewrite_body(&mapping, body).ok()?.0
}

/// Scheme, host and port of a reverse front's first segment.
pub fn segment(text: &str) -> Option<(&'static str, String)> {
    let (scheme, target) = parse_segment(text).ok()?;
    Some((scheme.as_str(), target.to_string()))
}

/// Scheme, host and port of an absolute URL, as the mapping parses it.
pub fn origin(url: &str) -> (&'static str, String) {
    let (scheme, target) = mapping("/", ResponsePath::REVERSE_FRONT).origin(url, UrlUse::Link);
    (scheme.as_str(), target.to_string())
}

/// A config as `gitferry check` prints it.
///
/// Fails with the problems of the text.
pub fn printed_config(text: &str, variables: config::Variables<'_>) -> Result<String, Problems> {
    let config = config::read(text, Path::new("/fuzz/gitferry.toml"), variables)?;
    Ok(cli::check::shown(&config))
}

/// The log's text of a request line received in these pieces.
pub fn request_line(pieces: &[&[u8]]) -> Option<String> {
    let line = RequestLine::default();
    for piece in pieces {
        line.record(piece);
    }
    line.objection()
}

/// The output of `gitferry report` for a log, as text and as JSON.
pub fn report(log: &[u8]) -> Option<(String, String)> {
    cli::report::of(log)
}

/// The decoded body.
pub fn decoded(coding: &'static str, body: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut fields = HeaderMap::new();
    fields.insert("content-encoding", HeaderValue::from_static(coding));
    Coding::of(&fields).decode(body, limit).ok()
}

/// The framing of a message with these fields: whether it is refused as a request and as a response, and the lengths that are passed on.
pub fn framing(codings: &[&[u8]], lengths: &[&[u8]]) -> (bool, bool, Vec<Vec<u8>>) {
    let mut fields = HeaderMap::new();
    for (name, values) in [
        (TRANSFER_ENCODING, codings),
        (hyper::header::CONTENT_LENGTH, lengths),
    ] {
        for value in values {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                fields.append(&name, value);
            }
        }
    }
    let refused = framing::request_objection(&fields).is_some();
    let unusable = framing::response_objection(&fields).is_some();
    framing::merge_lengths(&mut fields);
    let lengths = fields.get_all(hyper::header::CONTENT_LENGTH).iter();
    let lengths = lengths.map(|value| value.as_bytes().to_vec()).collect();
    (refused, unusable, lengths)
}

/// True where the response to a request for the rest of 1000 bytes, of which `got` arrived, is passed on.
pub fn is_resumable_by(got: u64, content_range: &[u8], length: &[u8]) -> bool {
    let field = |fields: &mut HeaderMap, name, value: &[u8]| {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            fields.insert(HeaderName::from_static(name), value);
        }
    };
    let mut whole = HeaderMap::new();
    field(&mut whole, "etag", b"\"v1\"");
    field(&mut whole, "content-length", b"1000");
    let part = PartialResponse::of(&Method::GET, StatusCode::OK, &whole);
    let mut rest = whole.clone();
    field(&mut rest, "content-range", content_range);
    field(&mut rest, "content-length", length);
    part.is_some_and(|part| part.is_continued_by(got, StatusCode::PARTIAL_CONTENT, &rest))
}

/// `Retry-After` in seconds.
pub fn retry_after(value: &[u8]) -> Option<u64> {
    let mut fields = HeaderMap::new();
    fields.insert("retry-after", HeaderValue::from_bytes(value).ok()?);
    headers::retry_after(&fields).map(|wait| wait.as_secs())
}

/// `Proxy-Status` without gitferry's own members.
pub fn without_our_status(value: &[u8]) -> Option<Vec<u8>> {
    let mut fields = HeaderMap::new();
    fields.insert("proxy-status", HeaderValue::from_bytes(value).ok()?);
    headers::strip_proxy_status(&mut fields);
    let left = fields.get("proxy-status");
    Some(
        left.map(|value| value.as_bytes().to_vec())
            .unwrap_or_default(),
    )
}

/// A target as text.
pub fn target(text: &str) -> Option<String> {
    Target::parse(text, Some(443))
        .ok()
        .map(|target| target.to_string())
}

/// The bytes after the daemon's reply to `gitferry connect`, or the reason for the terminal.
pub fn connect_reply(stream: &mut std::net::TcpStream) -> Result<Vec<u8>, String> {
    cli::connect::reply(stream)
}

/// A remote as doctor parses it: protocol, target, path and user.
pub fn remote(text: &str) -> Option<(String, String, String, Option<String>)> {
    let url = doctor::RemoteUrl::parse(text)?;
    let (protocol, target) = (format!("{:?}", url.protocol), url.target.to_string());
    let lfs = url.lfs();
    assert_eq!(lfs.target.host, url.target.host);
    Some((protocol, target, url.path, url.username))
}

/// The status of a plain HTTP response in place of TLS, and its redirect target.
pub fn portal(response: &[u8]) -> Option<(u16, Option<String>)> {
    doctor::portal(response)
}

/// The netlink request about a socket, for the parser of its reply.
pub fn socket_question(sequence: u32, local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    socket_owner::request(sequence, local, remote)
}

/// State, user and inode from the kernel's reply, or the kind of its error.
pub fn socket_answer(
    bytes: &[u8],
    about: (u32, SocketAddr, SocketAddr),
) -> Result<Option<(u8, u32, u32)>, std::io::ErrorKind> {
    socket_owner::read_reply(bytes, about)
}

/// A page received in these pieces through a hop with these credentials, as the client gets it.
pub async fn without_quotations(authorization: &[u8], pieces: Vec<Vec<u8>>) -> Vec<u8> {
    let body = ChunkedBody(pieces.into_iter().map(Bytes::from).collect());
    let mut response = HttpResponse::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    let hidden = quoted::hide(Some(Quotable::of(authorization)), response);
    let collected = hidden.into_body().collect().await;
    collected.map_or_else(|_| Vec::new(), |body| body.to_bytes().to_vec())
}

/// A body of several frames.
struct ChunkedBody(VecDeque<Bytes>);

impl Body for ChunkedBody {
    type Data = Bytes;
    type Error = <ResponseBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}
