//! The main site: repositories, their API, and where their files are.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{
    CAS, ExchangeRequest, SITE, Shared, TOKEN, cas, json as answer_json, lfs_api, say,
    state::{File, Repository},
    storage::download_url,
    tree,
};
use crate::support::lfs::{Body, full};

/// A revision that is not here, as the client knows it.
pub(super) fn no_revision() -> Response<Body> {
    coded(
        say(StatusCode::NOT_FOUND, "Invalid rev id"),
        "RevisionNotFound",
    )
}

fn coded(mut answer: Response<Body>, code: &'static str) -> Response<Body> {
    let code = header::HeaderValue::from_static(code);
    answer.headers_mut().insert("x-error-code", code);
    answer
}

pub(super) fn answer(asked: &ExchangeRequest, shared: &Shared) -> Response<Body> {
    let path = decoded(asked.path());
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let id = |owner: &str, name: &str| format!("{owner}/{name}");
    match (&asked.method, parts.as_slice()) {
        (&Method::GET, ["api", "whoami-v2"]) => written(asked, || {
            answer_json(&json!({ "type": "user", "name": "me", "orgs": [] }))
        }),
        (&Method::POST, ["api", "repos", "create"]) => written(asked, || create(asked, shared)),
        (&Method::POST, ["api", "validate-yaml"]) => {
            answer_json(&json!({ "errors": [], "warnings": [] }))
        }
        (&Method::POST, ["api", "complete_multipart"]) => lfs_api::complete(asked, shared),
        (&Method::GET, ["api", "models", owner, name]) => info(shared, &id(owner, name), "main"),
        (&Method::GET, ["api", "models", owner, name, "revision", revision]) => {
            info(shared, &id(owner, name), revision)
        }
        (&Method::GET, ["api", "models", owner, name, "tree", revision]) => {
            tree::tree(asked, shared, &id(owner, name), revision, "")
        }
        (&Method::GET, ["api", "models", owner, name, "tree", revision, below @ ..]) => {
            let below = format!("{}/", below.join("/"));
            tree::tree(asked, shared, &id(owner, name), revision, &below)
        }
        (&Method::POST, ["api", "models", owner, name, "paths-info", revision]) => {
            tree::paths_info(asked, shared, &id(owner, name), revision)
        }
        (&Method::POST, ["api", "models", owner, name, "preupload", _]) => {
            written(asked, || preupload(asked, shared, &id(owner, name)))
        }
        (&Method::POST, ["api", "models", owner, name, "commit", "main"]) => {
            written(asked, || commit(asked, shared, &id(owner, name)))
        }
        (&Method::GET, ["api", "models", _, _, "xet-read-token", _]) => cas::token(),
        (&Method::GET, ["api", "models", _, _, "xet-write-token", _]) => written(asked, cas::token),
        (
            &Method::HEAD | &Method::GET,
            ["api", "resolve-cache", "models", owner, name, _, file @ ..],
        ) => regular(shared, &id(owner, name), &file.join("/")),
        (&Method::HEAD | &Method::GET, [owner, name, "resolve", revision, file @ ..]) => {
            resolve(shared, &id(owner, name), revision, &file.join("/"))
        }
        (&Method::POST, [owner, name, "info", "lfs", call @ ..]) if name.ends_with(".git") => {
            written(asked, || {
                lfs_api::answer(asked, shared, &id(owner, name), &call.join("/"))
            })
        }
        _ => say(StatusCode::NOT_FOUND, "no such page"),
    }
}

/// Only for who may write: by the token, or by it as a password.
fn written(asked: &ExchangeRequest, then: impl FnOnce() -> Response<Body>) -> Response<Body> {
    let basic = BASE64_STANDARD.encode(format!("me:{TOKEN}"));
    let known = [format!("Bearer {TOKEN}"), format!("Basic {basic}")];
    if asked
        .header("authorization")
        .is_some_and(|given| known.iter().any(|known| known == given))
    {
        return then();
    }
    let mut answer = say(
        StatusCode::UNAUTHORIZED,
        "Invalid credentials in Authorization header",
    );
    let challenge = header::HeaderValue::from_static("Basic realm=\"Hub\"");
    answer
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, challenge);
    answer
}

/// The escapes that the clients write in paths.
pub(super) fn decoded(path: &str) -> String {
    path.replace("%2F", "/").replace("%20", " ")
}

fn create(asked: &ExchangeRequest, shared: &Shared) -> Response<Body> {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let owner = body["organization"].as_str().unwrap_or("me");
    let id = format!("{owner}/{}", body["name"].as_str().unwrap_or("?"));
    let told = json!({ "url": format!("https://{SITE}/{id}"), "name": id, "id": id });
    let mut answer = answer_json(&told);
    let repositories = &mut shared.state.lock().unwrap().repositories;
    if repositories.contains_key(&id) {
        *answer.status_mut() = StatusCode::CONFLICT;
    }
    repositories.entry(id).or_default();
    answer
}

/// `then` with the repository; or what the client has to know.
fn at(
    shared: &Shared,
    id: &str,
    revision: &str,
    then: impl FnOnce(&Repository) -> Response<Body>,
) -> Response<Body> {
    match shared.state.lock().unwrap().repositories.get(id) {
        None => coded(
            say(StatusCode::NOT_FOUND, "Repository not found"),
            "RepoNotFound",
        ),
        Some(repository) if !repository.is_at(revision) => no_revision(),
        Some(repository) => then(repository),
    }
}

fn info(shared: &Shared, id: &str, revision: &str) -> Response<Body> {
    at(shared, id, revision, |repository| {
        let names = repository.files.keys();
        let siblings: Vec<Value> = names.map(|name| json!({ "rfilename": name })).collect();
        answer_json(&json!({
            "_id": "0", "id": id, "modelId": id, "sha": repository.commit(), "private": false,
            "tags": [], "downloads": 0, "likes": 0, "siblings": siblings,
        }))
    })
}

fn preupload(asked: &ExchangeRequest, shared: &Shared, id: &str) -> Response<Body> {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    at(shared, id, "main", |repository| {
        let files = body["files"].as_array().into_iter().flatten();
        let files: Vec<Value> = files
            .map(|file| {
                let path = file["path"].as_str().unwrap_or_default();
                let large = path.ends_with(".safetensors") || path.ends_with(".bin");
                let mut told = json!({
                    "path": path, "shouldIgnore": false,
                    "uploadMode": if large { "lfs" } else { "regular" },
                });
                match repository.files.get(path) {
                    Some(File::Large(oid, _)) => told["oid"] = json!(oid),
                    Some(file) => told["oid"] = json!(file.blob()),
                    None => {}
                }
                told
            })
            .collect();
        answer_json(&json!({ "files": files, "commitOid": repository.commit() }))
    })
}

fn commit(asked: &ExchangeRequest, shared: &Shared, id: &str) -> Response<Body> {
    let mut state = shared.state.lock().unwrap();
    let mut changes = Vec::new();
    for line in asked
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let line: Value = serde_json::from_slice(line).unwrap_or_default();
        let (key, value) = (line["key"].as_str().unwrap_or_default(), &line["value"]);
        let path = value["path"].as_str().unwrap_or_default().to_owned();
        match key {
            "header" => {}
            "file" => {
                let content = BASE64_STANDARD.decode(value["content"].as_str().unwrap_or_default());
                changes.push((
                    path,
                    Some(File::Regular(content.unwrap_or_default().into())),
                ));
            }
            "lfsFile" => {
                let oid = value["oid"].as_str().unwrap_or_default();
                if !state.has(oid) {
                    return say(
                        StatusCode::BAD_REQUEST,
                        "LFS pointer pointed to a file that does not exist",
                    );
                }
                let size = value["size"].as_u64().unwrap_or(0);
                changes.push((path, Some(File::Large(oid.to_owned(), size))));
            }
            "deletedFile" => changes.push((path, None)),
            _ => return say(StatusCode::BAD_REQUEST, "no such operation"),
        }
    }
    let Some(repository) = state.repositories.get_mut(id) else {
        return coded(
            say(StatusCode::NOT_FOUND, "Repository not found"),
            "RepoNotFound",
        );
    };
    for (path, file) in changes {
        match file {
            Some(file) => drop(repository.files.insert(path, file)),
            None => drop(repository.files.remove(&path)),
        }
    }
    repository.commits += 1;
    let oid = repository.commit();
    answer_json(&json!({
        "success": true, "commitOid": oid, "hookOutput": "",
        "commitUrl": format!("https://{SITE}/{id}/commit/{oid}"),
    }))
}

/// Where a file is: the metadata stand in the redirect.
fn resolve(shared: &Shared, id: &str, revision: &str, path: &str) -> Response<Body> {
    let state = shared.state.lock().unwrap();
    let Some(repository) = state.repository(id, revision) else {
        return no_revision();
    };
    let commit = repository.commit();
    let answer = Response::builder().header("x-repo-commit", &commit);
    match repository.files.get(path) {
        None => coded(
            say(StatusCode::NOT_FOUND, "Entry not found"),
            "EntryNotFound",
        ),
        Some(File::Regular(_)) => answer
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header(
                header::LOCATION,
                format!("/api/resolve-cache/models/{id}/{commit}/{path}"),
            )
            .body(full(""))
            .unwrap(),
        Some(File::Large(oid, size)) => {
            let mut answer = answer
                .status(StatusCode::FOUND)
                .header("x-linked-etag", format!("\"{oid}\""))
                .header("x-linked-size", *size);
            let hash = state.xet_hash(oid);
            let whole = hash.map_or_else(|| download_url(oid), |_| cas::bridge_url(oid));
            answer = answer.header(header::LOCATION, whole);
            if let Some(hash) = hash {
                let link = format!(
                    "<https://{SITE}/api/models/{id}/xet-read-token/{commit}>; rel=\"xet-auth\", <https://{CAS}/v1/reconstructions/{hash}>; rel=\"xet-reconstruction-info\""
                );
                answer = answer.header("x-xet-hash", hash).header(header::LINK, link);
            }
            answer.body(full("Found. Redirecting")).unwrap()
        }
    }
}

fn regular(shared: &Shared, id: &str, path: &str) -> Response<Body> {
    at(shared, id, "main", |repository| {
        match repository.files.get(path) {
            Some(file @ File::Regular(bytes)) => Response::builder()
                .header("x-repo-commit", repository.commit())
                .header(header::ETAG, format!("\"{}\"", file.blob()))
                .header(header::CONTENT_LENGTH, bytes.len())
                .body(full(bytes.clone()))
                .unwrap(),
            _ => coded(
                say(StatusCode::NOT_FOUND, "Entry not found"),
                "EntryNotFound",
            ),
        }
    })
}
