use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

#[test]
fn hop_by_hop_fields_are_removed() {
    let mut map = headers(&[
        ("connection", "keep-alive, X-Private"),
        ("keep-alive", "timeout=5"),
        ("x-private", "1"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip, trailers"),
        ("authorization", "Bearer kept"),
    ]);
    assert_eq!(strip_hop_by_hop(&mut map), None);
    let mut left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["authorization", "te"]);
    assert_eq!(map[TE], "trailers");
}

#[test]
fn trailers_for_framing_routing_and_credentials_are_removed() {
    let mut map = headers(&[
        ("connection", "x-private"),
        ("x-private", "1"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("authorization", "Bearer token"),
        ("cookie", "a=b"),
        ("content-length", "5"),
        ("host", "b.test"),
        ("proxy-status", "gitferry; error=x"),
        ("x-checksum", "kept"),
    ]);
    strip_trailers(&mut map);
    let left: Vec<_> = map.keys().map(HeaderName::as_str).collect();
    assert_eq!(left, ["x-checksum"]);
}

#[test]
fn an_upgrade_counts_only_where_connection_names_it() {
    let mut map = headers(&[("upgrade", "websocket")]);
    assert_eq!(strip_hop_by_hop(&mut map), None);
    let mut map = headers(&[("upgrade", "websocket"), ("connection", "Upgrade")]);
    assert_eq!(strip_hop_by_hop(&mut map).unwrap(), "websocket");
    assert!(map.is_empty());
}

#[test]
fn connection_cannot_name_content_length_for_removal() {
    let mut map = headers(&[("connection", "content-length"), ("content-length", "5")]);
    strip_hop_by_hop(&mut map);
    assert_eq!(map["content-length"], "5");
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let date = ("date", "Wed, 25 Nov 2026 21:00:00 GMT");
    for (value, wait) in [
        ("3", Some(3)),
        (" 0 ", Some(0)),
        ("Wed, 25 Nov 2026 21:00:07 GMT", Some(7)),
        ("Wed, 25 Nov 2026 20:00:00 GMT", Some(0)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("-1", None),
        ("", None),
        ("soon", None),
    ] {
        let headers = headers(&[date, ("retry-after", value)]);
        assert_eq!(
            retry_after(&headers),
            wait.map(Duration::from_secs),
            "{value}"
        );
    }
    let several = headers(&[("retry-after", "1, 3600"), ("retry-after", "2")]);
    assert_eq!(retry_after(&several), Some(Duration::from_secs(3600)));
    // Without `Date`, this machine's clock counts.
    let far = headers(&[("retry-after", "Sat, 25 Nov 2090 21:00:00 GMT")]);
    assert!(retry_after(&far) > Some(Duration::from_secs(86_400)));
    let past = headers(&[("retry-after", "Tue, 25 Nov 2008 21:00:00 GMT")]);
    assert_eq!(retry_after(&past), Some(Duration::ZERO));
}

#[test]
fn a_message_with_the_own_via_is_a_loop() {
    let mut map = headers(&[("via", "1.0 other, 1.1 proxy.example")]);
    assert!(!trail::is_loop(&map));
    add_via(&mut map, Version::HTTP_11);
    assert!(trail::is_loop(&map));
}

#[test]
fn via_has_the_version_of_the_received_message() {
    for (version, number) in [
        (Version::HTTP_10, "1.0 "),
        (Version::HTTP_11, "1.1 "),
        (Version::HTTP_2, "2.0 "),
    ] {
        let mut map = HeaderMap::new();
        add_via(&mut map, version);
        assert!(map[VIA].to_str().unwrap().starts_with(number));
    }
}

#[test]
fn double_spaces_of_folded_challenges_are_collapsed_outside_strings() {
    let mut map = headers(&[
        (
            "www-authenticate",
            "FooBar param1=\"a  \\\"  b\"  param2=\"c\"",
        ),
        ("www-authenticate", "Basic realm=\"x\""),
        ("x-other", "a  b"),
    ]);
    join_folds(&mut map);
    let left: Vec<_> = map.get_all(WWW_AUTHENTICATE).iter().collect();
    let joined = "FooBar param1=\"a  \\\"  b\" param2=\"c\"";
    assert_eq!(left, [joined, "Basic realm=\"x\""]);
    assert_eq!(map["x-other"], "a  b");
}

#[test]
fn proxy_status_members_of_others_named_gitferry_are_removed() {
    let mut map = headers(&[
        ("proxy-status", "gitferry; error=dns_error"),
        (
            "proxy-status",
            "cdn; details=\"a, gitferry\", \"GitFerry\";error=x, edge;x=\"\\\",\"",
        ),
        ("proxy-status", "gitferry"),
    ]);
    strip_proxy_status(&mut map);
    let left: Vec<_> = map.get_all("proxy-status").iter().collect();
    assert_eq!(left, ["cdn; details=\"a, gitferry\", edge;x=\"\\\",\""]);
    let mut map = headers(&[("proxy-status", "gitferry-cdn;x=1 , other")]);
    strip_proxy_status(&mut map);
    assert_eq!(map["proxy-status"], "gitferry-cdn;x=1 , other");
}
