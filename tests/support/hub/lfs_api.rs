//! The main site's LFS API: batch, verify, and the completion of multipart uploads.

use hyper::{Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    ExchangeRequest, MULTIPART_ABOVE, PART, SIGNATURE, SITE, Shared, json as answer_json, say,
    state::sha256,
    storage::{download_url, part_url, upload_url},
};
use crate::support::lfs::Body;

pub(super) fn answer(
    asked: &ExchangeRequest,
    shared: &Shared,
    id: &str,
    call: &str,
) -> Response<Body> {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let mut answer = match call {
        "objects/batch" => answer_json(&batch(&body, shared, id, asked.header("authorization"))),
        "objects/verify" => {
            let oid = body["oid"].as_str().unwrap_or_default();
            match shared.state.lock().unwrap().objects.get(oid) {
                Some(object) if Some(object.len() as u64) == body["size"].as_u64() => {
                    answer_json(&json!({}))
                }
                _ => say(StatusCode::NOT_FOUND, "object not found"),
            }
        }
        _ => say(StatusCode::NOT_FOUND, "no locks are kept here"),
    };
    let kind = header::HeaderValue::from_static("application/vnd.git-lfs+json");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// One transfer for the whole batch, as git-lfs wants it: multipart where one of its objects is too large for the other.
fn batch(asked: &Value, shared: &Shared, id: &str, account: Option<&str>) -> Value {
    let state = shared.state.lock().unwrap();
    let list = |name: &str| asked[name].as_array().cloned().unwrap_or_default();
    let size = |object: &Value| object["size"].as_u64().unwrap_or(0);
    let upload = asked["operation"] == "upload";
    // huggingface_hub before 2.0 asks here whether the repository takes Xet (`_upload_files`); later ones ask for a token at once.
    if upload && shared.xet && list("transfers").contains(&json!("xet")) {
        let objects = list("objects");
        return json!({ "transfer": "xet", "objects": objects, "hash_algo": "sha256" });
    }
    let multipart = upload
        && list("transfers").contains(&json!("multipart"))
        && list("objects")
            .iter()
            .any(|object| size(object) > MULTIPART_ABOVE);
    let objects: Vec<Value> = list("objects")
        .iter()
        .map(|object| {
            let oid = object["oid"].as_str().unwrap_or("?");
            let mut told = json!({ "oid": oid, "size": object["size"], "authenticated": true });
            match (upload, state.objects.contains_key(oid)) {
                (true, true) => {}
                (true, false) => {
                    let upload = match multipart {
                        true => parts(oid, size(object)),
                        false => json!({ "href": upload_url(oid) }),
                    };
                    let verify = json!({
                        "href": format!("https://{SITE}/{id}/info/lfs/objects/verify"),
                        "header": { "Authorization": account },
                    });
                    told["actions"] = json!({ "upload": upload, "verify": verify });
                }
                (false, true) => {
                    told["actions"] = json!({ "download": { "href": download_url(oid) } });
                }
                (false, false) => {
                    told["error"] = json!({ "code": 404, "message": "Object does not exist" });
                }
            }
            told
        })
        .collect();
    let transfer = if multipart { "multipart" } else { "basic" };
    json!({ "transfer": transfer, "objects": objects, "hash_algo": "sha256" })
}

/// The URLs of the parts stand among the headers, under their numbers.
fn parts(oid: &str, size: u64) -> Value {
    let upload = format!("upload-{}", &oid[..8]);
    let mut header = serde_json::Map::new();
    header.insert("chunk_size".into(), json!(PART.to_string()));
    for number in 1..=size.div_ceil(PART) {
        header.insert(
            format!("{number:05}"),
            json!(part_url(oid, &upload, number)),
        );
    }
    let href = format!(
        "https://{SITE}/api/complete_multipart?uploadId={upload}&bucket=hf-hub-lfs-us-east-1&prefix=repos%2Faa%2Fbb&X-Amz-Signature={SIGNATURE}"
    );
    json!({ "href": href, "header": header })
}

/// Whoever has the URL may: the client sends no token here.
pub(super) fn complete(asked: &ExchangeRequest, shared: &Shared) -> Response<Body> {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let (Some(upload), true) = (asked.query("uploadId"), asked.is_signed()) else {
        return say(StatusCode::FORBIDDEN, "SignatureDoesNotMatch");
    };
    let mut state = shared.state.lock().unwrap();
    let mut whole = Vec::new();
    for (number, told) in (1..).zip(body["parts"].as_array().into_iter().flatten()) {
        let part = state.parts.get(&(upload.to_owned(), number));
        let etag = part.map(|part| format!("\"{}\"", &sha256(part)[..32]));
        if told["partNumber"] != json!(number) || etag.is_none() || told["etag"] != json!(etag) {
            return say(StatusCode::BAD_REQUEST, "InvalidPart");
        }
        whole.extend_from_slice(part.unwrap());
    }
    let oid = sha256(&whole);
    if body["oid"] != json!(oid) {
        return say(StatusCode::BAD_REQUEST, "BadDigest");
    }
    state.objects.insert(oid, whole.into());
    answer_json(&json!({ "success": true }))
}
