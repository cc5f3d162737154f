use hyper::Request;

use super::*;

fn head(method: &str, uri: &str) -> Parts {
    let request = Request::builder().method(method).uri(uri).body(());
    request.unwrap().into_parts().0
}

const DOWNLOAD: &[u8] = br#"{"operation":"download","objects":[]}"#;

#[test]
fn an_untrusted_mirror_gets_only_requests_for_public_data() {
    for (method, uri, payload) in [
        ("GET", "/u/r/resolve/main/x?download=true", Payload::Empty),
        ("HEAD", "/u/r/resolve/main/x", Payload::Empty),
        (
            "GET",
            "/r.git/info/refs?service=git-upload-pack",
            Payload::Empty,
        ),
        ("POST", "/r.git/git-upload-pack", Payload::Streamed),
        ("POST", "/r.git/git-upload-pack", Payload::Held(b"0000")),
        (
            "POST",
            "/r.git/info/lfs/objects/batch",
            Payload::Held(DOWNLOAD),
        ),
        (
            "POST",
            "/api/models/u/r/paths-info/main",
            Payload::Held(b"{}"),
        ),
        (
            "GET",
            "/api/models/u/r/tree/main?recursive=True&expand=False&cursor=eyJfaWQiOiI2MmE3OWZkIn0%3D",
            Payload::Empty,
        ),
        ("GET", "/api/models?search=a%20b&&limit=5", Payload::Empty),
    ] {
        assert_eq!(objection(&head(method, uri), payload), None, "{uri}");
    }
    for (method, uri, payload) in [
        (
            "GET",
            "/r.git/info/refs?service=git-receive-pack",
            Payload::Empty,
        ),
        ("POST", "/r.git/git-receive-pack", Payload::Streamed),
        (
            "GET",
            "/r.git/info/refs?service=git%2Dreceive%2Dpack",
            Payload::Empty,
        ),
        (
            "GET",
            "/raw/hf_abcdefghijklmnopqrstuvwxyzABCDEFGH/x",
            Payload::Empty,
        ),
        ("GET", "/raw/%68f_abcdefghijklmnopqrstuvwx", Payload::Empty),
        (
            "POST",
            "/r.git/info/lfs/objects/batch",
            Payload::Held(br#"{"operation":"upload"}"#),
        ),
        (
            "POST",
            "/r.git/info/lfs/objects/batch",
            Payload::Held(b"{}"),
        ),
        (
            "POST",
            "/r.git/info/lfs/objects/batch",
            Payload::Held(br#"{"operation":"download","operation":"upload"}"#),
        ),
        ("POST", "/r.git/info/lfs/objects/batch", Payload::Streamed),
        ("POST", "/r.git/info/lfs/objects/batch", Payload::Empty),
        ("POST", "/r.git/info/lfs/locks/verify", Payload::Held(b"{}")),
        (
            "GET",
            "/api/models/u/r/xet-write-token/main",
            Payload::Empty,
        ),
        ("POST", "/api/models/u/r/commit/main", Payload::Streamed),
        ("POST", "/u/r/paths-info/main", Payload::Streamed),
        ("POST", "/api/telemetry", Payload::Empty),
        ("DELETE", "/api/repos/delete", Payload::Empty),
        ("PUT", "/x", Payload::Streamed),
        ("GET", "/x", Payload::Streamed),
        ("GET", "/x", Payload::Held(b"x")),
        ("PUT", "/r.git/git-upload-pack", Payload::Streamed),
    ] {
        assert!(
            objection(&head(method, uri), payload).is_some(),
            "{method} {uri}"
        );
    }
}

#[test]
fn a_batch_with_a_content_coding_is_refused() {
    let mut batch = head("POST", "/r.git/info/lfs/objects/batch");
    assert_eq!(objection(&batch, Payload::Held(DOWNLOAD)), None);
    batch
        .headers
        .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert!(objection(&batch, Payload::Held(DOWNLOAD)).is_some());
}

#[test]
fn a_query_that_may_have_a_secret_is_refused() {
    for query in [
        "private_token=p",
        "access_token=p",
        "download=true&X-Amz-Signature=s&X-Amz-Credential=c",
        "limit=5;job_token=x",
        "Expires=1&Signature=s&Key-Pair-Id=k",
        "se=1&sig=s",
        "unknown=1",
        "%70rivate_token=p",
        "Limit=5",
        "hf_abcdefghijklmnop",
        "path=hf_abcdefghijklmnop",
        "path=h%66_abcdefghijklmnop",
        "search=glpat-abcdefghijklmnop",
        "cursor=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ] {
        let head = head("GET", &format!("/x?{query}"));
        assert!(objection(&head, Payload::Empty).is_some(), "{query}");
    }
}

fn fields(lines: &[(&str, &str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            (
                name.parse::<HeaderName>().unwrap(),
                value.parse::<HeaderValue>().unwrap(),
            )
        })
        .collect()
}

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn an_untrusted_mirror_gets_only_allowed_fields() {
    let mut headers = fields(&[
        ("accept", "*/*"),
        ("accept-language", "de"),
        ("authorization", "Bearer hf_x"),
        ("content-encoding", "gzip"),
        ("content-length", "5"),
        ("content-type", "application/x-git-upload-pack-request"),
        ("cookie", "a=b"),
        ("git-protocol", "version=2"),
        ("host", "mirror.test"),
        ("if-none-match", "\"1\""),
        ("origin", "https://a.test"),
        ("private-token", "glpat"),
        ("range", "bytes=5-"),
        ("referer", "https://a.test/x"),
        ("user-agent", "git/2.47"),
        ("via", "1.1 proxy.office.test, 1.1 gitferry-abcdefgh"),
        ("x-api-key", "secret"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-http-method-override", "PUT"),
        ("x-xet-access-token", "secret"),
    ]);
    strip_request(&mut headers);
    let expected = [
        "accept",
        "accept-language",
        "content-encoding",
        "content-length",
        "content-type",
        "git-protocol",
        "host",
        "if-none-match",
        "range",
        "user-agent",
        "via",
    ];
    assert_eq!(names(&headers), expected);
    assert_eq!(headers[VIA], "1.1 gitferry-abcdefgh");
}

fn stripped(lines: &[(&str, &str)]) -> Vec<String> {
    let mut headers = fields(lines);
    let [mirror, site] =
        ["mirror.test:443", "site.test:443"].map(|host| Target::parse(host, None).unwrap());
    strip_response(
        &mut headers,
        &[(Scheme::Https, &mirror), (Scheme::Https, &site)],
    );
    names(&headers).into_iter().map(str::to_owned).collect()
}

#[test]
fn links_of_an_untrusted_mirror_to_other_hosts_are_removed() {
    for kept in [
        "</p2>; rel=\"next\"",
        "<?cursor=2>; rel=\"next\"",
        "<https://mirror.test/p2>; rel=next",
        "<https://site.test/p2>; rel=next, <https://mirror.test:8443/x>; rel=xet-auth",
    ] {
        assert_eq!(stripped(&[("link", kept)]), ["link"], "{kept}");
    }
    for gone in [
        "<https://evil.test/p2>; rel=\"next\"",
        "</p2>; rel=\"next\", <https://evil.test/x>; rel=\"xet-auth\"",
        "<//evil.test/p2>; rel=next",
        "<http://site.test/p2>; rel=next",
        "<https://me@site.test/p2>; rel=next",
        "<https:evil.test>; rel=next",
        "<\\\\evil.test>; rel=next",
    ] {
        assert_eq!(stripped(&[("link", gone)]), [""; 0], "{gone}");
    }
    let route = "x-xet-refresh-route";
    assert_eq!(stripped(&[(route, "https://site.test/api/x")]), [route]);
    assert_eq!(
        stripped(&[(route, "https://evil.test/api/x"), ("set-cookie", "a=b")]),
        [""; 0]
    );
}

#[test]
fn a_redirect_of_git_to_another_host_by_a_mirror_is_detected() {
    let mirror = Target::parse("mirror.test:443", None).unwrap();
    let own = [(Scheme::Https, &mirror)];
    let leads = |uri: &str, location: &str| {
        let headers = fields(&[("location", location)]);
        redirects_git_elsewhere(&uri.parse().unwrap(), &headers, &own)
    };
    let discovery = "/r.git/info/refs?service=git-upload-pack";
    assert!(leads(discovery, "https://evil.test/r.git/info/refs"));
    assert!(!leads(discovery, "https://mirror.test/r/info/refs"));
    assert!(!leads(discovery, "/r/info/refs"));
    // Storage is on another host, and clients expect that.
    assert!(!leads("/u/r/resolve/main/x", "https://cdn.test/x"));
}
