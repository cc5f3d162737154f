//! A small faithful LFS server: the batch API behind the git host's name, the storage behind another name over TLS.
//!
//! The storage behaves like S3 with presigned URLs: the signature is in the query, the host is signed, a body without `Content-Length` gets
//! 501. Objects are streamed to disk and kept only when their hash is right.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::{Compression, write::GzEncoder};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_ENCODING, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_util::bytes::Bytes;

use super::{background::Background, ca::Leaf, late_body::late, lfs_storage};

/// The body of an answer.
pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// The signature in every storage URL, which permits reading and writing.
pub(crate) const SIGNATURE: &str = "PLANTED-presigned-signature-5f2c";

/// The API and the storage.
pub(crate) struct LfsServer {
    /// The API, plain HTTP: nginx stands before it.
    pub(crate) api: SocketAddr,
    /// The storage, over TLS.
    pub(crate) storage: SocketAddr,
    shared: Arc<Shared>,
    _background: Background,
}

/// State shared by API and storage.
pub(crate) struct Shared {
    pub(super) objects: PathBuf,
    api_name: &'static str,
    manners: Mutex<Manners>,
    seen: Mutex<BTreeMap<String, usize>>,
    locks: Mutex<Vec<Value>>,
    pub(super) served: Served,
}

/// How many uploads are read at once, and how fast.
#[derive(Default)]
pub(crate) struct Served {
    pub(super) places: Mutex<Option<Arc<Semaphore>>>,
    /// Bytes per second, for each.
    pub(super) rate: AtomicU64,
}

/// The behaviour of this server.
#[derive(Clone)]
struct Manners {
    /// The prefix of its storage URLs.
    storage: String,
    /// True where the locking API exists.
    locks: bool,
    /// True where answers are compressed, whatever the request accepts.
    gzip: bool,
    /// True where the body of a verify response follows its head later.
    late: bool,
}

impl LfsServer {
    /// Starts both; the storage serves `storage_name` with `leaf`, and clients reach the API at `https://API_NAME/`.
    pub(crate) fn start(
        dir: PathBuf,
        api_name: &'static str,
        storage_name: &'static str,
        leaf: &Leaf,
    ) -> Self {
        fs::create_dir_all(&dir).unwrap();
        let shared = Arc::new(Shared {
            objects: dir,
            api_name,
            manners: Mutex::new(Manners {
                storage: format!("https://{storage_name}"),
                locks: false,
                gzip: false,
                late: false,
            }),
            seen: Mutex::default(),
            locks: Mutex::default(),
            served: Served::default(),
        });
        let background = Background::new();
        let with = Arc::clone(&shared);
        let api = background.serve(move |stream, _| {
            let shared = Arc::clone(&with);
            async move { speak_http(stream, shared, false).await }
        });
        let with = Arc::clone(&shared);
        let acceptor = leaf.acceptor(&[]);
        let storage = background.serve(move |stream, _| {
            let (shared, acceptor) = (Arc::clone(&with), acceptor.clone());
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    speak_http(stream, shared, true).await;
                }
            }
        });
        Self {
            api,
            storage,
            shared,
            _background: background,
        }
    }

    /// Sets another prefix for storage URLs.
    pub(crate) fn storage_is_at(&self, base: &str) {
        self.shared.manners.lock().unwrap().storage = base.to_owned();
    }

    /// Limits the uploads read at once, and the rate of each; others get a closed window.
    pub(crate) fn starves_beyond(&self, places: usize, rate: u64) {
        let served = &self.shared.served;
        *served.places.lock().unwrap() = Some(Arc::new(Semaphore::new(places)));
        served.rate.store(rate, Ordering::SeqCst);
    }

    /// Enables the locking API.
    pub(crate) fn keeps_locks(&self) {
        self.shared.manners.lock().unwrap().locks = true;
    }

    /// Compresses the API's answers, even unrequested.
    pub(crate) fn compresses(&self) {
        self.shared.manners.lock().unwrap().gzip = true;
    }

    /// Sends the bodies of verify responses some time after their heads.
    pub(crate) fn verifies_in_two_packets(&self) {
        self.shared.manners.lock().unwrap().late = true;
    }

    /// The paths that are locked.
    pub(crate) fn locked(&self) -> Vec<String> {
        let locks = self.shared.locks.lock().unwrap();
        let paths = locks.iter().filter_map(|lock| lock["path"].as_str());
        paths.map(str::to_owned).collect()
    }

    /// How many requests of a kind arrived: `batch`, `verify`, `locks`, `PUT`, `GET`.
    pub(crate) fn seen(&self, what: &str) -> usize {
        self.shared
            .seen
            .lock()
            .unwrap()
            .get(what)
            .copied()
            .unwrap_or(0)
    }

    /// The objects that arrived complete, by their hash.
    pub(crate) fn objects(&self) -> Vec<String> {
        let names = fs::read_dir(&self.shared.objects).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.contains('.')).collect();
        names.sort();
        names
    }
}

impl Shared {
    /// Scheme and authority of its storage URLs, and the path prefix of objects.
    pub(super) fn storage_base(&self) -> String {
        self.manners.lock().unwrap().storage.clone()
    }

    pub(super) fn count(&self, what: &str) {
        *self
            .seen
            .lock()
            .unwrap()
            .entry(what.to_owned())
            .or_default() += 1;
    }
}

async fn speak_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
    storage: bool,
) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move {
            let answer = if storage {
                lfs_storage::answer(request, &shared).await
            } else {
                answer_api(request, &shared).await
            };
            let failed =
                |error: io::Error| say(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string());
            let answer = answer.unwrap_or_else(failed);
            let packed = !storage && shared.manners.lock().unwrap().gzip;
            Ok::<_, Infallible>(if packed {
                compressed(answer).await
            } else {
                answer
            })
        }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer_api(request: Request<Incoming>, shared: &Shared) -> io::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let account = request.headers().get("authorization").cloned();
    let account = account.and_then(|value| value.to_str().map(str::to_owned).ok());
    let bytes = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?;
    let asked: Value = serde_json::from_slice(&bytes.to_bytes()).unwrap_or_default();
    let Some((repository, call)) = path.split_once("/info/lfs/") else {
        return Ok(say(StatusCode::NOT_FOUND, "no such path"));
    };
    match call {
        "objects/batch" => {
            shared.count("batch");
            Ok(answer_json(
                StatusCode::OK,
                &batch(&asked, repository, account.as_deref(), shared),
            ))
        }
        "verify" => {
            shared.count("verify");
            let there = shared.objects.join(asked["oid"].as_str().unwrap_or("?"));
            let size = fs::metadata(there).map(|meta| meta.len()).ok();
            let answer = match size.is_some() && size == asked["size"].as_u64() {
                true => answer_json(StatusCode::OK, &json!({})),
                false => say(StatusCode::NOT_FOUND, "object not found"),
            };
            let is_late = shared.manners.lock().unwrap().late;
            Ok(if is_late { late(answer) } else { answer })
        }
        _ if call.starts_with("locks") && shared.manners.lock().unwrap().locks => {
            shared.count("locks");
            Ok(answer_locks(&method, call, &asked, shared))
        }
        _ => Ok(say(StatusCode::NOT_FOUND, "no locks are kept here")),
    }
}

/// The locking API (git-lfs: docs/api/locking.md), for one user, without pages.
fn answer_locks(method: &Method, call: &str, asked: &Value, shared: &Shared) -> Response<Body> {
    let mut locks = shared.locks.lock().unwrap();
    let id = call
        .strip_prefix("locks/")
        .and_then(|rest| rest.strip_suffix("/unlock"));
    match (method, call, id) {
        (&Method::GET, "locks", _) => answer_json(StatusCode::OK, &json!({ "locks": *locks })),
        (&Method::POST, "locks", _) => {
            if locks.iter().any(|lock| lock["path"] == asked["path"]) {
                return say(StatusCode::CONFLICT, "already locked");
            }
            let lock = json!({
                "id": format!("{}", locks.len() + 1), "path": asked["path"],
                "locked_at": "2026-11-23T12:00:00Z", "owner": { "name": "A Tester" },
            });
            locks.push(lock.clone());
            answer_json(StatusCode::CREATED, &json!({ "lock": lock }))
        }
        (&Method::POST, "locks/verify", _) => {
            answer_json(StatusCode::OK, &json!({ "ours": *locks, "theirs": [] }))
        }
        (&Method::POST, _, Some(id)) => match locks.iter().position(|lock| lock["id"] == id) {
            Some(at) => answer_json(StatusCode::OK, &json!({ "lock": locks.remove(at) })),
            None => say(StatusCode::NOT_FOUND, "no such lock"),
        },
        _ => say(StatusCode::NOT_FOUND, "no such call"),
    }
}

/// `account` is returned in the verify action's headers, as by hosted services.
fn batch(asked: &Value, repository: &str, account: Option<&str>, shared: &Shared) -> Value {
    let upload = asked["operation"] == "upload";
    let empty = Vec::new();
    let objects = asked["objects"].as_array().unwrap_or(&empty).iter();
    let objects: Vec<Value> = objects
        .map(|object| {
            let oid = object["oid"].as_str().unwrap_or("?");
            let there = shared.objects.join(oid).is_file();
            let storage = format!(
                "{}/lfs/{oid}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={SIGNATURE}&X-Amz-SignedHeaders=host",
                shared.storage_base()
            );
            let verify = format!("https://{}{repository}/info/lfs/verify", shared.api_name);
            let mut answer = json!({"oid": oid, "size": object["size"], "authenticated": true});
            match (upload, there) {
                (true, true) => {}
                (true, false) => {
                    answer["actions"] = json!({"upload": {"href": storage}, "verify": {"href": verify}});
                    if let Some(account) = account {
                        answer["actions"]["verify"]["header"] = json!({"Authorization": account});
                    }
                }
                (false, true) => answer["actions"] = json!({"download": {"href": storage}}),
                (false, false) => answer["error"] = json!({"code": 404, "message": "no such object"}),
            }
            answer
        })
        .collect();
    json!({"transfer": "basic", "objects": objects, "hash_algo": "sha256"})
}

async fn compressed(answer: Response<Body>) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let plain = body.collect().await.unwrap().to_bytes();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&plain).unwrap();
    let coding = HeaderValue::from_static("gzip");
    head.headers.insert(CONTENT_ENCODING, coding);
    Response::from_parts(head, full(encoder.finish().unwrap()))
}

/// An answer with a message that git-lfs shows.
pub(super) fn say(status: StatusCode, message: &str) -> Response<Body> {
    answer_json(status, &json!({"message": message}))
}

fn answer_json(status: StatusCode, value: &Value) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/vnd.git-lfs+json")
        .body(full(value.to_string()))
        .unwrap()
}

/// A body of known length.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}
