//! What lies where in a repository of the Hub.

use hyper::{Response, header};
use serde_json::{Value, json};

use super::{
    ExchangeRequest, SITE, Shared, json as answer_json,
    site::{decoded, no_revision},
    state::{File, State},
};
use crate::support::lfs::Body;

/// Pages of two entries below a folder: all files, or what lies there itself.
pub(super) fn tree(
    asked: &ExchangeRequest,
    shared: &Shared,
    id: &str,
    revision: &str,
    below: &str,
) -> Response<Body> {
    const PAGE: usize = 2;
    let from: usize = asked
        .query("cursor")
        .and_then(|cursor| cursor.parse().ok())
        .unwrap_or(0);
    let state = shared.state.lock().unwrap();
    let Some(repository) = state.repository(id, revision) else {
        return no_revision();
    };
    let deep = asked
        .query("recursive")
        .is_some_and(|recursive| recursive.eq_ignore_ascii_case("true"));
    let mut entries: Vec<Value> = Vec::new();
    for (path, file) in &repository.files {
        let Some(inside) = path.strip_prefix(below) else {
            continue;
        };
        let folder = inside.split_once('/').filter(|_| !deep);
        let entry = match folder {
            None => entry(&state, path, file),
            Some((folder, _)) => {
                json!({ "type": "directory", "oid": "0", "size": 0, "path": format!("{below}{folder}") })
            }
        };
        if !entries.contains(&entry) {
            entries.push(entry);
        }
    }
    let more = entries.len() > from + PAGE;
    let page: Vec<Value> = entries.into_iter().skip(from).take(PAGE).collect();
    let mut answer = answer_json(&json!(page));
    if more {
        let (next, path) = (from + PAGE, asked.path());
        let link = format!(
            "<https://{SITE}{path}?recursive={deep}&expand=false&cursor={next}>; rel=\"next\""
        );
        answer
            .headers_mut()
            .insert(header::LINK, link.parse().unwrap());
    }
    answer
}

/// What the named files are; a folder that has one of the names is none.
pub(super) fn paths_info(
    asked: &ExchangeRequest,
    shared: &Shared,
    id: &str,
    revision: &str,
) -> Response<Body> {
    let body = String::from_utf8_lossy(&asked.body).into_owned();
    let state = shared.state.lock().unwrap();
    let known = state
        .repositories
        .get(id)
        .filter(|known| known.is_at(revision));
    let Some(repository) = known else {
        return no_revision();
    };
    // A form (`paths=a&expand=false`) or JSON, by the client's version.
    let body = decoded(&body.replace('+', "%20"));
    let files = repository
        .files
        .iter()
        .filter(|(path, _)| body.contains(path.as_str()));
    let files: Vec<Value> = files
        .map(|(path, file)| entry(&state, path, file))
        .collect();
    answer_json(&json!(files))
}

fn entry(state: &State, path: &str, file: &File) -> Value {
    let mut entry =
        json!({ "type": "file", "oid": file.blob(), "size": file.size(), "path": path });
    if let File::Large(oid, size) = file {
        entry["lfs"] = json!({ "oid": oid, "size": size, "pointerSize": 134 });
        if let Some(hash) = state.xet_hash(oid) {
            entry["xetHash"] = json!(hash);
        }
    }
    entry
}
