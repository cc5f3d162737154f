//! Describes requests in the terms of git, git-lfs and the Hub: `me/model push`, `LFS 4d7a214614`, `me/model LFS batch`.

use std::borrow::Cow;

/// The method of a request that could not be read.
pub(crate) const NO_METHOD: &str = "-";

/// The description of a request with this method and path. An unknown path is its own description, without the query.
pub(crate) fn describe<'p>(method: &str, path: &'p str) -> Cow<'p, str> {
    if method == NO_METHOD {
        return "unreadable request".into();
    }
    if method == "CONNECT" || path.is_empty() {
        return "tunnel".into();
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    git(path, query)
        .or_else(|| lfs(path))
        .or_else(|| xet(path))
        .or_else(|| object(path))
        .or_else(|| hub(path))
        .map_or(Cow::Borrowed(path), Cow::Owned)
}

/// Smart HTTP (gitprotocol-http).
fn git(path: &str, query: &str) -> Option<String> {
    if let Some(repository) = path.strip_suffix("/info/refs") {
        let what = match query
            .split('&')
            .find_map(|pair| pair.strip_prefix("service="))
        {
            Some("git-receive-pack") => "refs to push",
            _ => "refs",
        };
        return Some(format!("{} {what}", name(repository)));
    }
    [("/git-upload-pack", "fetch"), ("/git-receive-pack", "push")]
        .into_iter()
        .find_map(|(end, what)| Some(format!("{} {what}", name(path.strip_suffix(end)?))))
}

/// The LFS API (git-lfs, docs/api).
fn lfs(path: &str) -> Option<String> {
    if !has_segment(path, "info/lfs/") {
        return None;
    }
    let (repository, call) = path.split_once("/info/lfs/")?;
    let what = match call.split('/').next()? {
        "objects" if call == "objects/batch" => "LFS batch",
        "locks" => "LFS locks",
        _ if call.ends_with("verify") => "LFS verify",
        _ => return None,
    };
    Some(format!("{} {what}", name(repository)))
}

/// The Hub's content-addressed storage.
fn xet(path: &str) -> Option<String> {
    let what = if has_segment(path, "xorb") {
        "Xet xorb"
    } else if has_segment(path, "shard") {
        "Xet shard"
    } else if has_segment(path, "reconstruction") {
        "Xet reconstruction"
    } else {
        return None;
    };
    Some(match hash(path) {
        Some(hash) => format!("{what} {}", short(hash)),
        None => what.to_owned(),
    })
}

/// A storage URL contains the object's SHA-256.
fn object(path: &str) -> Option<String> {
    Some(format!("LFS {}", short(hash(path)?)))
}

/// The last part of the path that is a SHA-256.
fn hash(path: &str) -> Option<&str> {
    // Most paths are shorter than a SHA-256.
    let may_have_one = path.len() >= HASH;
    may_have_one.then(|| path.rsplit('/').find(|part| is_hash(part)))?
}

/// `/me/model/resolve/main/file` and `/api/models/me/model/…` of huggingface.co.
fn hub(path: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("/api/") {
        let mut parts = rest.splitn(4, '/');
        let (Some("models" | "datasets" | "spaces"), Some(owner), Some(model)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let call = parts.next().unwrap_or("info");
        return Some(format!("{owner}/{model} {call}"));
    }
    if !has_segment(path, "resolve/") && !has_segment(path, "raw/") {
        return None;
    }
    let (repository, rest) = path
        .split_once("/resolve/")
        .or_else(|| path.split_once("/raw/"))?;
    let (_, file) = rest.split_once('/')?;
    Some(format!("{} {file}", name(repository)))
}

/// True where a segment of `path` after the first one begins with this text.
fn has_segment(path: &str, begin: &str) -> bool {
    let bytes = path.as_bytes();
    // Every request runs this, and a path is short: `str::find` would build a searcher, which costs more than checking each byte.
    let begins = |at: usize| {
        let rest = bytes.get(at..).unwrap_or_default();
        rest.first() == Some(&b'/')
            && rest
                .get(1..)
                .is_some_and(|rest| rest.starts_with(begin.as_bytes()))
    };
    (0..bytes.len()).any(begins)
}

fn name(repository: &str) -> &str {
    let name = repository.trim_matches('/');
    name.strip_suffix(".git").unwrap_or(name)
}

/// The digits of a SHA-256.
const HASH: usize = 64;

fn is_hash(part: &str) -> bool {
    part.len() == HASH && part.bytes().all(|b| b.is_ascii_hexdigit())
}

fn short(hash: &str) -> &str {
    hash.get(..10).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_described_in_the_terms_of_its_client() {
        const OID: &str = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        for (method, path, shown) in [
            ("CONNECT", "", "tunnel"),
            (
                "GET",
                "/me/r.git/info/refs?service=git-receive-pack",
                "me/r refs to push",
            ),
            (
                "GET",
                "/me/r/info/refs?service=git-upload-pack",
                "me/r refs",
            ),
            ("POST", "/me/r.git/git-receive-pack", "me/r push"),
            ("POST", "/me/r.git/git-upload-pack", "me/r fetch"),
            ("POST", "/me/r.git/info/lfs/objects/batch", "me/r LFS batch"),
            ("POST", "/me/r.git/info/lfs/locks/verify", "me/r LFS locks"),
            (
                "POST",
                "/me/r.git/info/lfs/objects/verify",
                "me/r LFS verify",
            ),
            (
                "PUT",
                &format!("/repos/4d/7a/{OID}?X-Amz-Signature=***"),
                "LFS 4d7a214614",
            ),
            (
                "POST",
                &format!("/v1/xorbs/default/{OID}"),
                "Xet xorb 4d7a214614",
            ),
            (
                "GET",
                "/me/model/resolve/main/config.json",
                "me/model config.json",
            ),
            (
                "GET",
                "/datasets/me/d/resolve/main/a/b.parquet",
                "datasets/me/d a/b.parquet",
            ),
            (
                "POST",
                "/api/models/me/model/commit/main",
                "me/model commit/main",
            ),
            ("GET", "/api/models/me/model", "me/model info"),
            ("GET", "/api/whoami-v2?a=***", "/api/whoami-v2"),
        ] {
            assert_eq!(describe(method, path), shown);
        }
    }
}
