//! Complete responses as real servers send them, rewritten.

use std::sync::Arc;

use hyper::header::LOCATION;
use serde_json::Value;

use super::*;
use crate::{
    mirror::ReverseBase,
    model::{Scheme, Target, credential_memory::CredentialOrigin},
};

fn reverse() -> Mapping {
    Mapping {
        scheme: Scheme::Https,
        target: Target::parse("huggingface.co:443", None).unwrap(),
        path: "/".into(),
        mirror: None,
        base: Some(ReverseBase::new("127.0.0.1:4483", "")),
        served: Arc::new(|target| !target.to_string().contains("evil")),
    }
}

fn body(code: &str, text: &str) -> (Option<String>, Findings) {
    let rewrite = REWRITES
        .iter()
        .find(|rewrite| rewrite.code == code)
        .unwrap();
    let (body, findings) = rewrite.rewrite_body(&reverse(), text.as_bytes()).unwrap();
    (body.map(|body| String::from_utf8(body).unwrap()), findings)
}

/// `scheme host:port` of each.
fn links(links: &[&str]) -> Vec<CredentialOrigin> {
    let origin = |link: &&str| {
        let (scheme, target) = link.split_once(' ').unwrap();
        let scheme = [Scheme::Http, Scheme::Https][usize::from(scheme == "https")];
        (scheme, Target::parse(target, None).unwrap())
    };
    links.iter().map(origin).collect()
}

#[test]
fn every_entry_has_its_own_code_and_fits_the_mask() {
    let mut codes: Vec<_> = REWRITES.iter().map(|rewrite| rewrite.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), REWRITES.len());
    let mut bodies = 0;
    for rewrite in REWRITES {
        if let UrlLocation::Json { at, .. } = &rewrite.place {
            assert!(at.len() <= super::super::json::MAX_PATHS);
            assert!(at.iter().all(|place| !place.is_empty()));
            bodies += 1;
        }
    }
    assert_eq!(bodies, 5);
}

#[test]
fn the_urls_of_the_hubs_batch_response_are_mapped_and_nothing_else() {
    // As the Hub answers for a file above its limit: the completion URL is the href, the parts are numbered headers.
    let text = r#"{"transfer":"multipart","objects":[{"oid":"0a","size":6000000000000000001,"authenticated":true,
        "actions":{"upload":{"href":"https://huggingface.co/api/complete_multipart?uploadId=1&exp=1.50",
        "header":{"chunk_size":"16000000","00001":"https://hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com/a?partNumber=1&X-Amz-Signature=s",
        "00002":"https://hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com/a?partNumber=2","X-Other":"https://kept.test/"},
        "expires_at":"2026-11-23T00:00:00Z","expires_in":86400.0},
        "verify":{"href":"https://huggingface.co/u/r.git/info/lfs/verify","header":{"Authorization":"Basic x"}}},
        "unknown":{"href":"https://kept.test/"}},
        {"oid":"0b","size":1,"error":{"code":404,"message":"https://kept.test/"}}],"hash_algo":"sha256"}"#;
    let (mapped, findings) = body("lfs-batch", text);
    let daemon = "http://127.0.0.1:4483";
    let mut expected = text.to_owned();
    for host in [
        "huggingface.co",
        "hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com",
    ] {
        expected = expected.replace(&format!("https://{host}"), &format!("{daemon}/{host}"));
    }
    assert_eq!(mapped.unwrap(), expected);
    assert_eq!(
        findings,
        Findings {
            changed: 4,
            unserved: Vec::new(),
            links: links(&["https hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com:443"]),
        }
    );
}

#[test]
fn the_urls_of_batch_responses_of_other_servers_are_mapped() {
    // GitHub: another host for downloads, `_links` of old. GitLab: relative root, other ports. Gitea on plain HTTP.
    let text = r#"{"objects":[
        {"actions":{"download":{"href":"https://github-cloud.githubusercontent.com/a?X-Amz-Signature=s"}}},
        {"_links":{"upload":{"href":"https://lfs.github.com/a"}}},
        {"actions":{"upload":{"href":"https://gitlab.test:8443/sub/g/p.git/gitlab-lfs/objects/0a/1"}}},
        {"actions":{"verify":{"href":"/sub/g/p.git/info/lfs/verify"}}},
        {"actions":{"upload":{"href":"http://gitea.test:3000/u/r.git/info/lfs/objects/0a"}}},
        {"actions":{"upload":{"href":"https://evil.test/a"}, "download":{"href":"https://evil.test/b"}}},
        {"actions":null}]}"#;
    let (mapped, findings) = body("lfs-batch", text);
    let mapped: Value = serde_json::from_str(&mapped.unwrap()).unwrap();
    let href = |at: usize, actions: &str, action: &str| {
        mapped["objects"][at][actions][action]["href"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let daemon = "http://127.0.0.1:4483/";
    for ((at, actions, action), url) in [
        (
            (0, "actions", "download"),
            "github-cloud.githubusercontent.com/a?X-Amz-Signature=s",
        ),
        ((1, "_links", "upload"), "lfs.github.com/a"),
        (
            (2, "actions", "upload"),
            "gitlab.test:8443/sub/g/p.git/gitlab-lfs/objects/0a/1",
        ),
        (
            (3, "actions", "verify"),
            "huggingface.co/sub/g/p.git/info/lfs/verify",
        ),
        (
            (4, "actions", "upload"),
            "http:gitea.test:3000/u/r.git/info/lfs/objects/0a",
        ),
    ] {
        assert_eq!(href(at, actions, action), format!("{daemon}{url}"));
    }
    assert_eq!(href(5, "actions", "upload"), "https://evil.test/a");
    assert_eq!(
        findings,
        Findings {
            changed: 5,
            unserved: vec!["evil.test:443".into()],
            links: links(&[
                "https github-cloud.githubusercontent.com:443",
                "https lfs.github.com:443",
                "https gitlab.test:8443",
                "http gitea.test:3000",
            ]),
        }
    );
}

/// Go's `http.Redirect` escapes them, many other servers do not.
#[test]
fn a_redirect_in_raw_utf_8_or_with_user_info_is_mapped() {
    for (location, expected) in [
        ("/\u{e4}?b=\u{f6}", "/huggingface.co/%C3%A4?b=%C3%B6"),
        (
            "https://huggingface.co/\u{e4}",
            "http://127.0.0.1:4483/huggingface.co/%C3%A4",
        ),
        (
            "https://me:pass@huggingface.co/x",
            "http://me:pass@127.0.0.1:4483/huggingface.co/x",
        ),
    ] {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(location.as_bytes()).unwrap();
        headers.insert("location", value);
        rewrite_head(&reverse(), StatusCode::FOUND, &mut headers);
        assert_eq!(headers["location"], expected, "{location}");
    }
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_bytes("https://me:pass@h\u{e4}.test/".as_bytes()).unwrap();
    headers.insert("location", value);
    let findings = rewrite_head(&reverse(), StatusCode::FOUND, &mut headers);
    assert_eq!(findings.unserved, ["h%C3%A4.test".into()]);
}

#[test]
fn the_urls_of_xet_responses_are_mapped() {
    let (token, _) = body(
        "xet-token",
        r#"{"casUrl":"https://cas-server.xethub.hf.co","exp":1756489133,"accessToken":"ey"}"#,
    );
    assert_eq!(
        token.unwrap(),
        r#"{"casUrl":"http://127.0.0.1:4483/cas-server.xethub.hf.co","exp":1756489133,"accessToken":"ey"}"#
    );
    let (grant, _) = body(
        "xet-upload-grant",
        r#"{"id":"1","method":"PUT","url":"https://u.hf.co/x?X-Amz-Signature=s","headers":{"x-amz-meta-url":"https://kept.test"}}"#,
    );
    assert_eq!(
        grant.unwrap(),
        r#"{"id":"1","method":"PUT","url":"http://127.0.0.1:4483/u.hf.co/x?X-Amz-Signature=s","headers":{"x-amz-meta-url":"https://kept.test"}}"#
    );
    let (query, _) = body(
        "xet-reconstruction",
        r#"{"terms":[{"hash":"x","url":"https://kept.test"}],"fetch_info":{"h":[{"range":{"start":0},"url":"https://t.hf.co/a"}]},"xorbs":{"h":[{"url":"https://t.hf.co/b","ranges":[]}]}}"#,
    );
    let query: Value = serde_json::from_str(&query.unwrap()).unwrap();
    assert_eq!(
        query["fetch_info"]["h"][0]["url"],
        "http://127.0.0.1:4483/t.hf.co/a"
    );
    assert_eq!(
        query["xorbs"]["h"][0]["url"],
        "http://127.0.0.1:4483/t.hf.co/b"
    );
    assert_eq!(query["terms"][0]["url"], "https://kept.test");
}

#[test]
fn the_rewrite_of_a_body_follows_from_its_request() {
    for (method, path, code) in [
        (
            Method::POST,
            "/u/r.git/info/lfs/objects/batch",
            Some("lfs-batch"),
        ),
        (Method::GET, "/u/r.git/info/lfs/objects/batch", None),
        (Method::POST, "/u/r.git/info/lfs/locks/verify", None),
        (Method::POST, "/api/models/u/r/preupload/main", None),
        (
            Method::GET,
            "/api/models/u/r/xet-write-token/main",
            Some("xet-token"),
        ),
        (
            Method::GET,
            "/api/buckets/u/r/xet-read-token",
            Some("xet-token"),
        ),
        (
            Method::GET,
            "/v1/reconstructions/0a",
            Some("xet-reconstruction"),
        ),
        (
            Method::GET,
            "/v2/reconstructions/0a",
            Some("xet-reconstruction"),
        ),
        (
            Method::GET,
            "/v1/reconstructions",
            Some("xet-reconstruction"),
        ),
        (Method::GET, "/v1/chunks/0a", None),
        (
            Method::POST,
            "/v1/xorb-grants/default/0a",
            Some("xet-upload-grant"),
        ),
        (Method::POST, "/v1/xorb-commits/default/0a/grant/1", None),
        (Method::POST, "/api/repos/create", Some("hub-repository")),
        (
            Method::POST,
            "/api/models/u/r/commit/main",
            Some("hub-repository"),
        ),
        (Method::GET, "/u/r/resolve/main/objects/batch.json", None),
        (Method::POST, "/u/r.git/git-receive-pack", None),
    ] {
        assert_eq!(
            for_body(&method, path).map(|rewrite| rewrite.code),
            code,
            "{path}"
        );
    }
}

#[test]
fn json_is_detected_by_the_content_type() {
    let typed = |value: &'static str| {
        is_json(&HeaderMap::from_iter([(
            CONTENT_TYPE,
            HeaderValue::from_static(value),
        )]))
    };
    assert!(typed("application/vnd.git-lfs+json; charset=utf-8"));
    assert!(typed("Application/JSON"));
    assert!(!typed("text/html"));
    assert!(!typed("application/x-ndjson"));
    assert!(!is_json(&HeaderMap::new()));
}

#[test]
fn every_field_of_the_table_is_mapped_and_others_are_unchanged() {
    let fields = [
        ("location", "https://cdn-lfs.hf.co/x?Signature=s"),
        ("content-location", "/x"),
        (
            "link",
            "<https://huggingface.co/api/models?cursor=1>; rel=\"next\"",
        ),
        ("set-cookie", "a=b; Path=/; Secure"),
        ("set-cookie", "c=d; Domain=evil.test"),
        ("set-cookie", "e=f"),
        (
            "www-authenticate",
            "Bearer realm=\"https://huggingface.co/token\"",
        ),
        ("x-xet-cas-url", "https://cas-server.xethub.hf.co"),
        ("x-repo-commit", "https://kept.test/"),
        ("x-linked-etag", "\"0a\""),
    ];
    let mut headers: HeaderMap = fields
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect();
    let findings = rewrite_head(&reverse(), StatusCode::FOUND, &mut headers);
    let mut mapped: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    mapped.sort_unstable();
    let mut expected = [
        (
            "location",
            "http://localhost:4483/cdn-lfs.hf.co/x?Signature=s",
        ),
        ("content-location", "http://127.0.0.1:4483/huggingface.co/x"),
        (
            "link",
            "<http://127.0.0.1:4483/huggingface.co/api/models?cursor=1>; rel=\"next\"",
        ),
        ("set-cookie", "a=b; Path=/huggingface.co/"),
        ("set-cookie", "e=f; Path=/huggingface.co/"),
        (
            "www-authenticate",
            "Bearer realm=\"http://127.0.0.1:4483/huggingface.co/token\"",
        ),
        (
            "x-xet-cas-url",
            "http://127.0.0.1:4483/cas-server.xethub.hf.co",
        ),
        ("x-repo-commit", "https://kept.test/"),
        ("x-linked-etag", "\"0a\""),
    ];
    expected.sort_unstable();
    assert_eq!(mapped, expected);
    assert_eq!(
        findings,
        Findings {
            changed: 5,
            unserved: Vec::new(),
            links: links(&[
                "https cdn-lfs.hf.co:443",
                "https cas-server.xethub.hf.co:443"
            ]),
        }
    );
}

#[test]
fn a_location_without_redirect_keeps_the_requested_name() {
    let mut headers = HeaderMap::from_iter([(
        LOCATION,
        HeaderValue::from_static("https://cdn-lfs.hf.co/x"),
    )]);
    rewrite_head(&reverse(), StatusCode::CREATED, &mut headers);
    assert_eq!(headers[LOCATION], "http://127.0.0.1:4483/cdn-lfs.hf.co/x");
}

/// Documents of every shape, with URLs at the places and elsewhere: only the strings that changed differ.
#[test]
fn rewriting_a_random_document_changes_only_the_mapped_strings() {
    let mut random = fastrand::Rng::with_seed(6);
    let mapping = reverse();
    let rewrite = for_body(&Method::POST, "/objects/batch").unwrap();
    let mut changed = 0;
    for _ in 0..3_000 {
        let text = any_document(&mut random, 0);
        let (body, findings) = rewrite.rewrite_body(&mapping, text.as_bytes()).unwrap();
        let body = String::from_utf8(body.unwrap_or_else(|| text.clone().into())).unwrap();
        changed += findings.changed;
        // Back by hand: the documents hold no URL of the daemon.
        assert_eq!(
            body.replace(
                "http://127.0.0.1:4483/huggingface.co",
                "https://huggingface.co"
            ),
            text
        );
        assert_eq!(
            body.matches("http://127.0.0.1:4483/").count(),
            findings.changed
        );
    }
    assert!(changed > 500, "only {changed} URLs were at their places");
}

fn any_document(random: &mut fastrand::Rng, depth: usize) -> String {
    let space = random.choice(["", " ", "\n\t"]).unwrap();
    let keys = [
        "objects",
        "actions",
        "upload",
        "href",
        "header",
        "1",
        "x",
        "\\u0068ref",
        "a\\\"b",
    ];
    let along = ["objects", "", "actions", "verify", "href"];
    let inside = |random: &mut fastrand::Rng| any_document(random, depth + 1);
    let kind = match depth {
        0..=4 => random.usize(2..20),
        5 => random.usize(0..6),
        _ => random.usize(0..3),
    };
    match kind {
        0 => random
            .choice(["1.10", "-0e5", "true", "null", "123456789012345678901"])
            .unwrap()
            .into(),
        1 => random
            .choice(["\"\"", "\"\\\\\"", "\"é\\u00e9,]}\""])
            .unwrap()
            .into(),
        2 => "\"https://huggingface.co/a?b=[{\\u0026\"".replace("\\u0026", "&"),
        3..=4 => format!("[{space}{}{space},{}]", inside(random), inside(random)),
        _ => {
            let known = along.get(depth).copied().unwrap_or("href");
            if known.is_empty() {
                return format!("[{}]", inside(random));
            }
            let other = random.choice(keys).unwrap();
            format!(
                "{{{space}\"{known}\"{space}:{},\"{other}\":{space}{}}}",
                inside(random),
                inside(random)
            )
        }
    }
}

#[test]
fn a_cookie_with_raw_bytes_is_mapped() {
    let mut headers = HeaderMap::new();
    let cookie = HeaderValue::from_bytes(b"a=\xc3\xa4; Path=/; Domain=huggingface.co").unwrap();
    headers.insert("set-cookie", cookie);
    rewrite_head(&reverse(), StatusCode::OK, &mut headers);
    assert_eq!(
        headers["set-cookie"].as_bytes(),
        b"a=\xc3\xa4; Path=/huggingface.co/"
    );
}
