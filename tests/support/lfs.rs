//! A small faithful LFS server: the batch API behind the git host's name, the storage behind another name over TLS.
//!
//! The storage behaves like S3 with presigned URLs: the signature stands in the query, the host is signed, a body
//! without `Content-Length` is answered with 501. Objects are streamed to disk and kept only when their hash is right.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::{background::Background, ca::Leaf, lfs_storage};

/// What an answer's body is made of.
pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// The signature in every storage URL: whoever has it may read and write.
pub(crate) const SIGNATURE: &str = "PLANTED-presigned-signature-5f2c";

/// The API and the storage.
pub(crate) struct LfsServer {
    /// The API, plain HTTP: nginx stands before it.
    pub(crate) api: SocketAddr,
    /// The storage, TLS.
    pub(crate) storage: SocketAddr,
    shared: Arc<Shared>,
    _background: Background,
}

/// What API and storage both know.
pub(crate) struct Shared {
    pub(super) objects: PathBuf,
    pub(super) storage_name: &'static str,
    api_name: &'static str,
    seen: Mutex<BTreeMap<String, usize>>,
}

impl LfsServer {
    /// Starts both; the storage answers to `storage_name` with `leaf`, the API is told to clients as `https://API_NAME/`.
    pub(crate) fn start(
        dir: PathBuf,
        api_name: &'static str,
        storage_name: &'static str,
        leaf: &Leaf,
    ) -> Self {
        fs::create_dir_all(&dir).unwrap();
        let shared = Arc::new(Shared {
            objects: dir,
            storage_name,
            api_name,
            seen: Mutex::default(),
        });
        let background = Background::new();
        let with = Arc::clone(&shared);
        let api = background.serve(move |stream, _| {
            let shared = Arc::clone(&with);
            async move { speak_http(stream, shared, false).await }
        });
        let with = Arc::clone(&shared);
        let acceptor = TlsAcceptor::from(leaf.server_config());
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

    /// How many requests of a kind came: `batch`, `verify`, `PUT`, `GET`.
    pub(crate) fn seen(&self, what: &str) -> usize {
        self.shared
            .seen
            .lock()
            .unwrap()
            .get(what)
            .copied()
            .unwrap_or(0)
    }

    /// The objects that arrived whole, by their hash.
    pub(crate) fn objects(&self) -> Vec<String> {
        let names = fs::read_dir(&self.shared.objects).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.contains('.')).collect();
        names.sort();
        names
    }
}

impl Shared {
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
            Ok::<_, Infallible>(answer.unwrap_or_else(failed))
        }
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer_api(request: Request<Incoming>, shared: &Shared) -> io::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
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
            match size.is_some() && size == asked["size"].as_u64() {
                true => Ok(answer_json(StatusCode::OK, &json!({}))),
                false => Ok(say(StatusCode::NOT_FOUND, "object not found")),
            }
        }
        _ => Ok(say(StatusCode::NOT_FOUND, "no locks are kept here")),
    }
}

/// `account` comes back in the verify action's headers, as hosted services do it.
fn batch(asked: &Value, repository: &str, account: Option<&str>, shared: &Shared) -> Value {
    let upload = asked["operation"] == "upload";
    let empty = Vec::new();
    let objects = asked["objects"].as_array().unwrap_or(&empty).iter();
    let objects: Vec<Value> = objects
        .map(|object| {
            let oid = object["oid"].as_str().unwrap_or("?");
            let there = shared.objects.join(oid).is_file();
            let storage = format!(
                "https://{}/lfs/{oid}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={SIGNATURE}&X-Amz-SignedHeaders=host",
                shared.storage_name
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

/// A body that is known whole.
pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}
