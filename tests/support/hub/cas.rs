//! The Xet store: xorbs and shards in, reconstructions out, and the transfer host that gives byte ranges of xorbs.

use hyper::{Method, Response, StatusCode, header};
use serde_json::{Map, Value, json};

use super::{
    BRIDGE, CAS, ExchangeRequest, GRANTS, SIGNATURE, Shared, XET_TOKEN, XORBS, json as answer_json,
    say,
    shard::{self, Term, XetFile},
    state::State,
    storage::ranged,
};
use crate::support::lfs::{Body, full};

pub(super) fn answer(asked: &ExchangeRequest, shared: &Shared, host: &str) -> Response<Body> {
    if host == XORBS {
        return xorb_bytes(asked, shared);
    }
    if asked.header("authorization") != Some(&format!("Bearer {XET_TOKEN}")) {
        return say(StatusCode::UNAUTHORIZED, "missing or expired token");
    }
    let path = asked.path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match (&asked.method, parts.as_slice()) {
        (&Method::POST, ["v1", "xorbs", "default", hash]) => take_xorb(asked, shared, hash),
        (&Method::POST, ["v1", "xorb-grants", "default", hash]) => grant(shared, hash),
        (&Method::POST, ["v1", "xorb-commits", "default", hash, "grant", id]) if hash == id => {
            commit(shared, hash)
        }
        (&Method::POST, [version @ ("v1" | "v2"), "shards"]) => take_shard(asked, shared, version),
        (&Method::GET, [version @ ("v1" | "v2"), "reconstructions", hash]) => {
            reconstruction(asked, shared, version, hash)
        }
        (&Method::POST, ["v1", "telemetry"]) => answer_json(&json!({})),
        (&Method::GET, ["v1", "chunks", ..]) => say(StatusCode::NOT_FOUND, "not tracked"),
        _ => say(StatusCode::NOT_FOUND, "no such call"),
    }
}

fn take_xorb(asked: &ExchangeRequest, shared: &Shared, hash: &str) -> Response<Body> {
    if shard::chunk_places(&asked.body).is_none() {
        return say(StatusCode::BAD_REQUEST, "bad serialization");
    }
    let mut state = shared.state.lock().unwrap();
    let known = state.xorbs.insert(hash.to_owned(), asked.body.clone());
    answer_json(&json!({ "was_inserted": known.is_none() }))
}

/// Where a xorb may be put; its hash is the grant's id.
fn grant(shared: &Shared, hash: &str) -> Response<Body> {
    if !shared.grants.load(std::sync::atomic::Ordering::SeqCst) {
        return say(StatusCode::NOT_FOUND, "no such call");
    }
    if shared.state.lock().unwrap().xorbs.contains_key(hash) {
        return answer_json(&json!({}));
    }
    let mut answer = answer_json(&json!({
        "id": hash,
        "method": "PUT",
        "url": format!("https://{GRANTS}/xorbs/default/{hash}?X-Amz-Expires=900&X-Amz-Signature={SIGNATURE}"),
        "headers": { GRANTED: hash },
    }));
    *answer.status_mut() = StatusCode::CREATED;
    answer
}

/// A header of the grant, which is part of what is signed.
const GRANTED: &str = "x-amz-meta-xorb";

/// The storage behind a grant.
pub(super) fn take_granted(asked: &ExchangeRequest, shared: &Shared) -> Response<Body> {
    let hash = asked.path().strip_prefix("/xorbs/default/");
    let hash = hash.unwrap_or_default();
    let signed = asked.is_signed() && asked.header(GRANTED) == Some(hash);
    if !signed || asked.method != Method::PUT || asked.headers.contains_key(header::AUTHORIZATION) {
        return say(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
    }
    if !asked.headers.contains_key(header::CONTENT_LENGTH) {
        return say(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented: Content-Length",
        );
    }
    let granted = &mut shared.state.lock().unwrap().granted;
    if granted
        .insert(hash.to_owned(), asked.body.clone())
        .is_some()
    {
        return say(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    }
    Response::new(full(""))
}

fn commit(shared: &Shared, hash: &str) -> Response<Body> {
    let mut state = shared.state.lock().unwrap();
    let Some(xorb) = state.granted.remove(hash) else {
        return say(StatusCode::NOT_FOUND, "nothing was uploaded");
    };
    if shard::chunk_places(&xorb).is_none() {
        return say(StatusCode::BAD_REQUEST, "bad serialization");
    }
    let known = state.xorbs.insert(hash.to_owned(), xorb);
    answer_json(&json!({ "was_inserted": known.is_none() }))
}

fn take_shard(asked: &ExchangeRequest, shared: &Shared, version: &str) -> Response<Body> {
    let Some(files) = shard::files(&asked.body) else {
        return say(StatusCode::BAD_REQUEST, "invalid shard");
    };
    let mut state = shared.state.lock().unwrap();
    let terms: Vec<&Term> = files.iter().flat_map(|(_, file)| &file.terms).collect();
    if !terms.iter().all(|term| byte_range(&state, term).is_some()) {
        return say(StatusCode::BAD_REQUEST, "a xorb of this shard is not here");
    }
    let total = terms.len();
    state.files.extend(files);
    if version == "v1" {
        return answer_json(&json!({ "result": 1 }));
    }
    let events = [
        json!({ "type": "validating", "verified": total, "total": total }),
        json!({ "type": "committing", "stage": "syncing" }),
        json!({ "type": "result" }),
    ];
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    let answer = Response::builder().header(header::CONTENT_TYPE, "application/x-ndjson");
    answer.body(full(lines)).unwrap()
}

/// The bytes of a xorb that hold a term's chunks, the last one included.
fn byte_range(state: &State, term: &Term) -> Option<(u64, u64)> {
    let places = shard::chunk_places(state.xorbs.get(&term.xorb)?)?;
    let at = |chunk: u32| places.get(usize::try_from(chunk).ok()?).copied();
    Some((at(term.chunks.start)?, at(term.chunks.end)?.checked_sub(1)?))
}

/// The terms of a file, or of a range of it.
fn reconstruction(
    asked: &ExchangeRequest,
    shared: &Shared,
    version: &str,
    hash: &str,
) -> Response<Body> {
    let state = shared.state.lock().unwrap();
    let Some(file) = state.files.get(hash) else {
        return say(StatusCode::NOT_FOUND, "no such file");
    };
    let range = match asked.range(file.size()) {
        Some(Err(())) => return say(StatusCode::RANGE_NOT_SATISFIABLE, "beyond the file"),
        Some(Ok(range)) => range,
        None => 0..=u64::MAX,
    };
    let (skipped, terms) = overlapping(file, *range.start(), *range.end());
    let offset = range.start() - skipped;
    let mut fetch: Map<String, Value> = Map::new();
    for term in &terms {
        let Some((start, end)) = byte_range(&state, term) else {
            return say(StatusCode::NOT_FOUND, "a xorb of this file is not here");
        };
        let url = format!(
            "https://{XORBS}/xorbs/default/{}?X-Xet-Signed-Range=bytes%3D{start}-{end}&Expires=4000000000&Signature={SIGNATURE}",
            term.xorb
        );
        let chunks = json!({ "start": term.chunks.start, "end": term.chunks.end });
        let bytes = json!({ "start": start, "end": end });
        let entry = match version {
            "v1" => json!({ "url": url, "range": chunks, "url_range": bytes }),
            _ => json!({ "url": url, "ranges": [{ "chunks": chunks, "bytes": bytes }] }),
        };
        let known = fetch.entry(term.xorb.clone()).or_insert_with(|| json!([]));
        let known = known.as_array_mut().unwrap();
        if !known.contains(&entry) {
            known.push(entry);
        }
    }
    let terms: Vec<Value> = terms.iter().map(|term| shown(term)).collect();
    let place = if version == "v1" {
        "fetch_info"
    } else {
        "xorbs"
    };
    answer_json(&json!({ "offset_into_first_range": offset, "terms": terms, place: fetch }))
}

fn shown(term: &Term) -> Value {
    json!({
        "hash": term.xorb,
        "unpacked_length": term.length,
        "range": { "start": term.chunks.start, "end": term.chunks.end },
    })
}

/// The terms with bytes in `start..=end`, and where the first of them begins.
fn overlapping(file: &XetFile, start: u64, end: u64) -> (u64, Vec<&Term>) {
    let mut at = 0;
    let mut first = None;
    let mut terms = Vec::new();
    for term in &file.terms {
        if at <= end && at + term.length > start {
            first.get_or_insert(at);
            terms.push(term);
        }
        at += term.length;
    }
    (first.unwrap_or(0), terms)
}

/// The transfer host: a signed URL, and the range that was signed.
fn xorb_bytes(asked: &ExchangeRequest, shared: &Shared) -> Response<Body> {
    let signed = asked.query("X-Xet-Signed-Range").unwrap_or_default();
    if !asked.is_signed() || asked.header("range") != Some(&signed.replace("%3D", "=")) {
        return say(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
    }
    let Some(hash) = asked.path().strip_prefix("/xorbs/default/") else {
        return say(StatusCode::NOT_FOUND, "NoSuchKey");
    };
    let xorb = shared.state.lock().unwrap().xorbs.get(hash).cloned();
    match (&asked.method, xorb) {
        (&Method::GET, Some(xorb)) => ranged(asked, shared, &xorb, &format!("\"{hash}\"")),
        _ => say(StatusCode::NOT_FOUND, "NoSuchKey"),
    }
}

pub(super) fn bridge_url(oid: &str) -> String {
    format!(
        "https://{BRIDGE}/xet-bridge-us/65aa/{oid}?X-Amz-Expires=3600&X-Amz-Signature={SIGNATURE}&X-Xet-Cas-Uid=public&x-id=GetObject"
    )
}

/// A whole file, or a range of it, for a client that knows nothing of Xet.
pub(super) fn bridge(asked: &ExchangeRequest, shared: &Shared) -> Response<Body> {
    if !asked.is_signed() || asked.method != Method::GET {
        return say(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
    }
    let oid = asked.path().strip_prefix("/xet-bridge-us/65aa/");
    let oid = oid.unwrap_or_default();
    let whole = {
        let state = shared.state.lock().unwrap();
        let file = state.xet_hash(oid).and_then(|hash| state.files.get(hash));
        let Some(file) = file else {
            return say(StatusCode::NOT_FOUND, "NoSuchKey");
        };
        let parts = file.terms.iter().map(|term| {
            let xorb = state.xorbs.get(&term.xorb)?;
            shard::unpacked(xorb, &term.chunks)
        });
        parts.collect::<Option<Vec<_>>>()
    };
    match whole {
        Some(parts) => ranged(asked, shared, &parts.concat().into(), &format!("\"{oid}\"")),
        None => say(StatusCode::NOT_IMPLEMENTED, "compressed chunks"),
    }
}

/// What the main site says about this store.
pub(super) fn token() -> Response<Body> {
    let url = format!("https://{CAS}");
    let mut answer = answer_json(&json!({
        "casUrl": url, "exp": EXPIRES, "accessToken": XET_TOKEN,
    }));
    for (name, value) in [
        ("x-xet-cas-url", &*url),
        ("x-xet-access-token", XET_TOKEN),
        ("x-xet-token-expiration", &EXPIRES.to_string()),
    ] {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}

/// A time far from now.
const EXPIRES: u64 = 4_000_000_000;
