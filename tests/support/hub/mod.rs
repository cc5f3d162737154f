//! A small Hugging Face Hub under its real names: main site, LFS storage, downloads, and the Xet store with its transfer host.
//!
//! Faithful to what the clients of huggingface_hub 2.4.0, hf_xet 1.8.0 and xet-core (2026-08) send and read; written from
//! their sources, and each answer has the fields that they look at. One port speaks TLS for all of its names.
//!
//! Served on the main site ([`SITE`], `site.rs`, `lfs_api.rs`; writing takes [`TOKEN`], reading is public):
//! - `GET /api/whoami-v2`, `POST /api/repos/create`, `POST /api/validate-yaml` (finds nothing wrong)
//! - `GET /api/models/ID[/revision/REV]`, `GET /api/models/ID/tree/REV[/FOLDER]` (pages of two, by `Link: rel="next"`)
//! - `POST /api/models/ID/preupload/REV`, `POST /api/models/ID/commit/REV` (NDJSON: header, file, lfsFile, deletedFile)
//! - `HEAD|GET /ID/resolve/REV/PATH`: regular files by a relative redirect to `/api/resolve-cache/…`, LFS files by a redirect
//!   to [`DOWNLOADS`] with `X-Linked-Etag`, `X-Linked-Size` and `X-Repo-Commit`, Xet files with `X-Xet-Hash` and `Link: rel="xet-auth"` beside
//! - `POST /ID.git/info/lfs/objects/batch` (basic, multipart), `…/verify`, `POST /api/complete_multipart`
//! - `GET /api/models/ID/xet-read-token/REV` and `…/xet-write-token/REV`
//!
//! Served on [`UPLOADS`] and [`DOWNLOADS`] (`storage.rs`): presigned PUT of objects and parts as S3 takes it; presigned GET with
//! Range, which does not take HEAD, as the method is signed.
//!
//! Served on [`CAS`], [`GRANTS`] and [`XORBS`] (`cas.rs`): xorbs by upload grants (hf_xet 1.8: a grant, a presigned PUT, a commit; the name
//! of that host is this world's own) or by POST as before, shards (v1 and v2) in, reconstructions (v1 and v2) and byte ranges out. Hashes
//! of chunks, xorbs and files are taken as the client says them (they are Merkle trees of BLAKE3), bytes are given back as they
//! came; that the file is the same, its reader finds out.
//!
//! Served on [`BRIDGE`] (`cas.rs`): presigned GET with Range of whole Xet files, for clients without Xet; only of chunks that are stored as
//! they are, which noise is.
//!
//! Not served: datasets, spaces, buckets, branches other than `main`, pull requests, deduplication across repositories
//! (`/v1/chunks/…` is 404), several ranges in one GET, compressed chunks on the bridge, Git itself
//! (a [`super::git_host::GitHost`] passes `info/lfs` and `/api/` on to [`Hub::behind_git`]).

mod cas;
mod lfs_api;
mod shard;
mod site;
mod state;
mod storage;
mod tree;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64},
    },
};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, body::Incoming, header,
    server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use self::state::State;
use super::{
    background::Background,
    ca::{Flaw, TestCa},
    lfs::{Body, full},
};

/// The main site.
pub(crate) const SITE: &str = "huggingface.co";
/// Where uploads of LFS objects go.
pub(crate) const UPLOADS: &str = "hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com";
/// Where LFS objects come from.
pub(crate) const DOWNLOADS: &str = "cdn-lfs-us-1.hf.co";
/// The Xet store.
pub(crate) const CAS: &str = "cas-server.xethub.hf.co";
/// Where upload grants of the Xet store lead.
pub(crate) const GRANTS: &str = "uploads.xethub.hf.co";
/// Where the Xet store's bytes come from.
pub(crate) const XORBS: &str = "transfer.xethub.hf.co";
/// Where Xet's files come from whole.
pub(crate) const BRIDGE: &str = "cas-bridge.xethub.hf.co";
/// All of them.
pub(crate) const NAMES: [&str; 7] = [SITE, UPLOADS, DOWNLOADS, CAS, GRANTS, XORBS, BRIDGE];

/// Who may write on the main site, and nobody else may see it.
pub(crate) const TOKEN: &str = "hf_PLANTEDuserToken8c1d";
/// What the Xet store takes.
pub(crate) const XET_TOKEN: &str = "PLANTED-xet-token-77ab";
/// The signature in every storage URL.
pub(crate) const SIGNATURE: &str = "PLANTED-hub-signature-91e0";

/// Uploads above this are multipart, where the client can: 5 GB at the real Hub.
pub(crate) const MULTIPART_ABOVE: u64 = 1024 * 1024;
/// The size of a part: 5 GB at the real Hub.
pub(crate) const PART: u64 = 400_000;

/// The servers.
pub(crate) struct Hub {
    /// All names, by TLS.
    pub(crate) address: SocketAddr,
    /// The main site's API in plain HTTP, for a git host that stands before it.
    pub(crate) behind_git: SocketAddr,
    shared: Arc<Shared>,
    _background: Background,
}

/// What all of its names know.
pub(super) struct Shared {
    state: Mutex<State>,
    seen: Mutex<Vec<Seen>>,
    /// After how many bytes the next download breaks off; `u64::MAX` for not at all.
    breaks_after: AtomicU64,
    /// Files of this repository are stored by Xet.
    xet: bool,
    /// The Xet store gives upload grants.
    grants: AtomicBool,
}

/// One request, as it was answered.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) host: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    /// Its `Authorization`.
    pub(crate) credentials: Option<String>,
    pub(crate) status: StatusCode,
}

/// A request, its body read.
struct ExchangeRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: tokio_util::bytes::Bytes,
}

impl ExchangeRequest {
    fn path(&self) -> &str {
        self.uri.path()
    }

    /// A header's text.
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A value of the query, as it stands.
    fn query(&self, name: &str) -> Option<&str> {
        let pairs = self.uri.query()?.split('&');
        let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    }

    /// `bytes=FROM-[TO]`, both ends within `size`.
    fn range(&self, size: u64) -> Option<Result<std::ops::RangeInclusive<u64>, ()>> {
        let (from, to) = self
            .header("range")?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        let from: u64 = from.parse().ok()?;
        let to = to.parse().unwrap_or(u64::MAX).min(size.wrapping_sub(1));
        Some(if from < size { Ok(from..=to) } else { Err(()) })
    }

    /// True with the signature in the query.
    fn is_signed(&self) -> bool {
        self.query("Signature").or(self.query("X-Amz-Signature")) == Some(SIGNATURE)
    }
}

impl Hub {
    /// Starts one whose files go to the LFS storage.
    pub(crate) fn start(ca: &TestCa) -> Self {
        Self::new(ca, false)
    }

    /// Starts one whose large files go to the Xet store, where the client has `hf_xet`.
    pub(crate) fn with_xet(ca: &TestCa) -> Self {
        Self::new(ca, true)
    }

    fn new(ca: &TestCa, xet: bool) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            seen: Mutex::default(),
            breaks_after: AtomicU64::new(u64::MAX),
            xet,
            grants: AtomicBool::new(true),
        });
        let background = Background::new();
        let acceptor = ca.leaf(&NAMES, Flaw::None).acceptor(&[]);
        let with = Arc::clone(&shared);
        let address = background.serve(move |stream, _| {
            let (shared, acceptor) = (Arc::clone(&with), acceptor.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let name = stream.get_ref().1.server_name().map(str::to_owned);
                    speak(stream, shared, name).await;
                }
            }
        });
        let with = Arc::clone(&shared);
        let behind_git = background.serve(move |stream, _| {
            let shared = Arc::clone(&with);
            async move { speak(stream, shared, Some(SITE.to_owned())).await }
        });
        Self {
            address,
            behind_git,
            shared,
            _background: background,
        }
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many requests were answered with success or a redirect, by host, method and a part of the path.
    pub(crate) fn count(&self, host: &str, method: &str, part: &str) -> usize {
        let seen = self.seen();
        let alike = seen.iter().filter(|seen| {
            seen.host == host
                && seen.method.as_str() == method
                && seen.path.contains(part)
                && !seen.status.is_client_error()
                && !seen.status.is_server_error()
        });
        alike.count()
    }

    /// The next download breaks off after so many bytes.
    pub(crate) fn breaks_a_download_after(&self, bytes: u64) {
        let after = &self.shared.breaks_after;
        after.store(bytes, std::sync::atomic::Ordering::SeqCst);
    }

    /// From now on the Xet store knows nothing of upload grants, as before 2026-10.
    pub(crate) fn gives_no_grants(&self) {
        let order = std::sync::atomic::Ordering::SeqCst;
        self.shared.grants.store(false, order);
    }

    /// The SHA-256 of every file of a repository, by path.
    pub(crate) fn files(&self, repository: &str) -> std::collections::BTreeMap<String, String> {
        self.shared.state.lock().unwrap().hashes(repository)
    }
}

impl Shared {
    /// How many bytes of an answer with `size` are sent before it breaks off; each break is for one answer.
    fn sent_of(&self, size: u64) -> u64 {
        let order = std::sync::atomic::Ordering::SeqCst;
        let after = self.breaks_after.load(order);
        if after < size {
            self.breaks_after.store(u64::MAX, order);
        }
        after.min(size)
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
    name: Option<String>,
) {
    let service = service_fn(move |request| {
        let (shared, name) = (Arc::clone(&shared), name.clone());
        async move { answer(request, &shared, name.as_deref()).await }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    shared: &Shared,
    name: Option<&str>,
) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    let body = http_body_util::BodyExt::collect(body).await;
    let asked = ExchangeRequest {
        method: head.method,
        uri: head.uri,
        headers: head.headers,
        body: body.map_err(io::Error::other)?.to_bytes(),
    };
    let host = asked.header("host").unwrap_or_default().to_owned();
    let answer = if Some(&*host) != name {
        say(
            StatusCode::MISDIRECTED_REQUEST,
            "Host is not the name of this connection",
        )
    } else {
        match &*host {
            SITE => site::answer(&asked, shared),
            UPLOADS | DOWNLOADS => storage::answer(&asked, shared, &host),
            CAS | XORBS => cas::answer(&asked, shared, &host),
            GRANTS => cas::take_granted(&asked, shared),
            BRIDGE => cas::bridge(&asked, shared),
            _ => say(StatusCode::MISDIRECTED_REQUEST, "no such name"),
        }
    };
    let text = |name| asked.header(name).map(str::to_owned);
    shared.seen.lock().unwrap().push(Seen {
        host,
        method: asked.method.clone(),
        path: asked
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string),
        range: text("range"),
        credentials: text("authorization"),
        status: answer.status(),
    });
    Ok(answer)
}

/// An answer with JSON.
fn json(value: &serde_json::Value) -> Response<Body> {
    Response::builder()
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .body(full(value.to_string()))
        .unwrap()
}

/// A refusal, with the header that the Hub's client shows.
fn say(status: StatusCode, message: &str) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("x-error-message", message)
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .body(full(serde_json::json!({ "error": message }).to_string()))
        .unwrap()
}
