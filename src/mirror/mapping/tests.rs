//! Mappings there and back, by example and by the thousand.

use std::sync::Arc;

use super::*;
use crate::mirror::{reverse::parse_segment, url};

fn mirror(scheme: Scheme, target: &str, base_path: &str) -> Mirror {
    Mirror {
        scheme,
        target: target.parse_target(),
        base_path: base_path.into(),
        credentials: crate::config::MirrorCredentials::Withhold,
    }
}

impl Mapping {
    fn url(&self, text: &str) -> MappedUrl {
        self.map(text, UrlUse::Link)
    }

    fn reference(&self, text: &str) -> MappedUrl {
        self.map(text, UrlUse::Reference)
    }

    fn redirect(&self, text: &str) -> MappedUrl {
        self.map(text, UrlUse::Redirect)
    }
}

trait ParseTarget {
    fn parse_target(&self) -> Target;
}

impl ParseTarget for str {
    fn parse_target(&self) -> Target {
        Target::parse(self, None).unwrap()
    }
}

fn mapping(mirror: Option<Mirror>, reverse: bool) -> Mapping {
    Mapping {
        scheme: Scheme::Https,
        target: "huggingface.co:443".parse_target(),
        path: "/user/repo".into(),
        mirror,
        base: reverse.then(|| ReverseBase::new("127.0.0.1:4483", "")),
        served: Arc::new(|target| target.to_string().contains("hf.co")),
    }
}

fn to(url: &str) -> MappedUrl {
    MappedUrl::Mapped(url.into())
}

fn unserved(host: &str, url: Option<&str>) -> MappedUrl {
    MappedUrl::Unserved {
        host: host.into(),
        url: url.map(Into::into),
    }
}

#[test]
fn a_mirrors_urls_become_the_originals_and_others_are_unchanged() {
    let at_base = mapping(
        Some(mirror(Scheme::Https, "hf-mirror.com:443", "/hub")),
        false,
    );
    for (url, mapped) in [
        (
            "https://hf-mirror.com/hub/a?b=c#d",
            to("https://huggingface.co/a?b=c#d"),
        ),
        (
            "https://HF-mirror.com:443/hub",
            to("https://huggingface.co"),
        ),
        ("//hf-mirror.com/hub/a", to("https://huggingface.co/a")),
        ("/hub/a", to("/a")),
        ("/hub?x", to("/?x")),
        // A path that begins with two slashes would be a host.
        (
            "/hub//evil.test/x",
            to("https://huggingface.co//evil.test/x"),
        ),
        ("/a", MappedUrl::Unchanged),
        ("/hubble/a", MappedUrl::Unchanged),
        ("a/b", MappedUrl::Unchanged),
        ("https://hf-mirror.com/hubble", MappedUrl::Unchanged),
        ("http://hf-mirror.com/hub/a", MappedUrl::Unchanged),
        ("https://hf-mirror.com:8443/hub/a", MappedUrl::Unchanged),
        (
            "https://hf-mirror.com.evil.test/hub/a",
            MappedUrl::Unchanged,
        ),
        ("https://huggingface.co/a", MappedUrl::Unchanged),
        ("https://cdn.hf.co/a", MappedUrl::Unchanged),
    ] {
        assert_eq!(at_base.url(url), mapped, "{url}");
    }
    let plain = mapping(Some(mirror(Scheme::Http, "127.0.0.1:8080", "")), false);
    assert_eq!(
        plain.url("http://127.0.0.1:8080/a"),
        to("https://huggingface.co/a")
    );
    assert_eq!(plain.url("/a"), MappedUrl::Unchanged);
}

#[test]
fn on_the_reverse_front_urls_of_served_hosts_become_the_daemons() {
    let reverse = mapping(None, true);
    for (url, mapped) in [
        (
            "/user/repo",
            to("http://127.0.0.1:4483/huggingface.co/user/repo"),
        ),
        (
            "https://huggingface.co/a",
            to("http://127.0.0.1:4483/huggingface.co/a"),
        ),
        (
            "https://cdn.hf.co:8443/x%2Fy",
            to("http://127.0.0.1:4483/cdn.hf.co:8443/x%2Fy"),
        ),
        ("https://cas.hf.co", to("http://127.0.0.1:4483/cas.hf.co")),
        (
            "http://hf.co:8080/x",
            to("http://127.0.0.1:4483/http:hf.co:8080/x"),
        ),
        (
            "https://elsewhere.test/x",
            unserved("elsewhere.test:443", None),
        ),
        ("https://127.0.0.1/x", unserved("127.0.0.1:443", None)),
        (
            "http://huggingface.co/a",
            unserved("huggingface.co:80", None),
        ),
        // The client's scheme is this daemon's, not the origin's.
        (
            "//elsewhere.test/x",
            unserved("elsewhere.test:443", Some("https://elsewhere.test/x")),
        ),
        (
            "//h\u{e4}.test/x",
            unserved("h\u{e4}.test", Some("https://h\u{e4}.test/x")),
        ),
        ("mailto:me@hf.co", MappedUrl::Unchanged),
        ("relative", MappedUrl::Unchanged),
    ] {
        assert_eq!(reverse.url(url), mapped, "{url}");
    }
    let tabbed = reverse.redirect("\t//else\twhere.test/x");
    let url = Some("https://elsewhere.test/x");
    assert_eq!(tabbed, unserved("elsewhere.test:443", url));
}

#[test]
fn a_url_without_scheme_gets_the_responders_scheme() {
    for (scheme, mapped) in [
        (Scheme::Http, to("http://cdn.test/x")),
        (Scheme::Https, MappedUrl::Unchanged),
    ] {
        let plain = mapping(Some(mirror(scheme, "mirror.test:8080", "")), false);
        assert_eq!(plain.redirect("//cdn.test/x"), mapped);
        let reverse = mapping(Some(mirror(scheme, "mirror.test:8080", "")), true);
        let MappedUrl::Unserved { url, .. } = reverse.redirect("//cdn.test/x") else {
            panic!("cdn.test is served");
        };
        assert_eq!(url.unwrap(), format!("{scheme}://cdn.test/x"));
    }
}

#[test]
fn a_redirect_to_another_host_uses_the_daemons_other_name() {
    let reverse = mapping(None, true);
    assert_eq!(
        reverse.redirect("https://cdn.hf.co/x?Signature=y"),
        to("http://localhost:4483/cdn.hf.co/x?Signature=y")
    );
    assert_eq!(
        reverse.redirect("https://huggingface.co/x"),
        to("http://127.0.0.1:4483/huggingface.co/x")
    );
}

/// A client resolves dot segments, and what is relative, before it asks this daemon: the first segment it then asks for must be the
/// host's own.
#[test]
fn dot_segments_and_relative_references_stay_in_the_hosts_segment() {
    let reverse = mapping(None, true);
    for (location, mapped) in [
        ("../../../cdn.hf.co/x", "/huggingface.co/cdn.hf.co/x"),
        ("..", "/huggingface.co/"),
        ("cdn.hf.co/x?y", "/huggingface.co/user/cdn.hf.co/x?y"),
        ("%2e%2E/%2e./cdn.hf.co/x", "/huggingface.co/cdn.hf.co/x"),
        (
            "..\\..\\cdn.hf.co",
            "/huggingface.co/user/..%5C..%5Ccdn.hf.co",
        ),
        ("/../cdn.hf.co/x", "/huggingface.co/cdn.hf.co/x"),
        ("/\\cdn.hf.co/x", "/huggingface.co/%5Ccdn.hf.co/x"),
        (
            "https://huggingface.co/../cdn.hf.co/x",
            "http://127.0.0.1:4483/huggingface.co/cdn.hf.co/x",
        ),
        // Another host's, and said so.
        ("//cdn.hf.co/../x", "http://localhost:4483/cdn.hf.co/x"),
    ] {
        assert_eq!(reverse.redirect(location), to(mapped), "{location}");
    }
    assert_eq!(
        reverse.reference("../../cdn.hf.co/x"),
        to("http://127.0.0.1:4483/huggingface.co/cdn.hf.co/x")
    );
    for kept in ["", "?x", "#x", "mailto:me@hf.co"] {
        assert_eq!(reverse.redirect(kept), MappedUrl::Unchanged, "{kept}");
    }
    // A client of the other fronts resolves it against the origin's own path.
    assert_eq!(mapping(None, false).redirect("../x"), MappedUrl::Unchanged);
}

#[test]
fn every_url_begins_with_the_secret_first_segment() {
    let mut reverse = mapping(None, true);
    reverse.base = Some(ReverseBase::new("127.0.0.1:4483", "/me:secret"));
    for (mapped, expected) in [
        (
            reverse.url("/x"),
            "http://127.0.0.1:4483/me:secret/huggingface.co/x",
        ),
        (reverse.redirect("/x"), "/me:secret/huggingface.co/x"),
        (
            reverse.redirect("https://cdn.hf.co/x"),
            "http://localhost:4483/me:secret/cdn.hf.co/x",
        ),
    ] {
        assert_eq!(mapped, to(expected));
    }
    assert_eq!(
        reverse.cookie_path("/").as_deref(),
        Some("/me:secret/huggingface.co/")
    );
    assert!(!format!("{reverse:?}").contains("secret"));
}

/// The Hub's client before 2.0 follows such a one only, and a later one with it.
#[test]
fn a_redirect_to_a_path_stays_a_path() {
    let reverse = mapping(None, true);
    assert_eq!(reverse.redirect("/x?y"), to("/huggingface.co/x?y"));
    assert_eq!(
        reverse.redirect("//huggingface.co/x"),
        to("http://127.0.0.1:4483/huggingface.co/x")
    );
    let mirror = mirror(Scheme::Https, "hf-mirror.com:443", "/hub");
    let both = mapping(Some(mirror), true);
    assert_eq!(both.redirect("/hub//x"), to("/huggingface.co//x"));
}

#[test]
fn on_the_reverse_front_a_mirrors_url_is_mapped_twice() {
    let both = mapping(
        Some(mirror(Scheme::Https, "hf-mirror.com:443", "/hub")),
        true,
    );
    for url in [
        "https://hf-mirror.com/hub//x",
        "/hub//x",
        "https://huggingface.co//x",
    ] {
        assert_eq!(
            both.url(url),
            to("http://127.0.0.1:4483/huggingface.co//x"),
            "{url}"
        );
    }
    assert_eq!(both.url("/hub"), to("http://127.0.0.1:4483/huggingface.co"));
}

/// Found by the fuzz target `a_location_never_leaves_its_hosts_segment`: each of these led some client to `/b.test/x` of the daemon.
#[test]
fn no_spelling_of_a_url_reaches_another_hosts_segment() {
    let mut reverse = mapping(None, true);
    reverse.base = reverse.base.map(|base| base.with_ports([4484]));
    let own = "/huggingface.co/b.test/x";
    for written in [
        "http:/b.test/x",
        "HTTP:b.test/x",
        "ht\ttp:/b.test/x",
        "http:\\b.test\\x",
        "///b.test/x",
        "\\\\b.test/x",
    ] {
        let MappedUrl::Mapped(given) = reverse.redirect(written) else {
            panic!("{written} stays");
        };
        let given = given.replace("%5C", "/");
        assert!(given.ends_with(own), "{written}: {given}");
    }
    for daemon in [
        "http://127.0.0.1:4483/b.test/x",
        "//localhost:4483/b.test/x",
        "http://2130706433:4483/b.test/x",
        "http://127.1:04483/b.test/x",
        "http://127%2e0.0.1:4483/b.test/x",
        "http://127.0.0.1:4483\\b.test/x",
        // It listens there, too.
        "http://localhost:4484/b.test/x",
        "http://127.1:4484/b.test/x",
    ] {
        let MappedUrl::Mapped(given) = reverse.redirect(daemon) else {
            panic!("{daemon} stays");
        };
        let path = given.split('/').nth(3).unwrap_or_default();
        assert!(path.contains("448"), "{daemon}: {given}");
    }
}

#[test]
fn a_cookies_domain_path_and_secure_fit_the_requested_host() {
    use crate::mirror::fields::{Edit, cookie};
    let at_base = mapping(
        Some(mirror(Scheme::Https, "www.hf-mirror.com:443", "/hub")),
        false,
    );
    let reverse = mapping(None, true);
    let replace = |text: &str| Edit::Replace(text.into());
    for (mapping, value, edit) in [
        (
            &at_base,
            "a=b; Path=/hub/x; HttpOnly",
            replace("a=b; Path=/x; HttpOnly"),
        ),
        (
            &at_base,
            "a=b; Domain=.hf-mirror.com; Path=/; Secure",
            replace("a=b; Path=/; Secure"),
        ),
        (&at_base, "a=b; Domain=huggingface.co", Edit::Remove),
        (&at_base, "a=b; Domain=com", Edit::Remove),
        (&at_base, "a=b; Path=/other", Edit::Remove),
        (&at_base, "a=b; Secure", Edit::Keep),
        (
            &reverse,
            "a=b; path=/; domain=huggingface.co; Secure; SameSite=Lax",
            replace("a=b; Path=/huggingface.co/; SameSite=Lax"),
        ),
        // Without a path, or with one that clients drop, it would be for every host where the path of the request is short.
        (
            &reverse,
            "a=b=c; Max-Age=3",
            replace("a=b=c; Max-Age=3; Path=/huggingface.co/user"),
        ),
        (
            &reverse,
            "a=b; Path=/x; Path=y",
            replace("a=b; Path=/huggingface.co/x; Path=/huggingface.co/user"),
        ),
        (
            &reverse,
            "a=b; Path=\"/\"",
            replace("a=b; Path=/huggingface.co/"),
        ),
        (&reverse, "a=b; Domain=evil.test", Edit::Remove),
        (&reverse, "a=b; Domain=gingface.co", Edit::Remove),
    ] {
        assert_eq!(cookie(value, mapping), edit, "{value}");
    }
}

/// Letters that URLs and their ends are made of; percent signs, and what has no place in a URL but comes all the same.
const LETTERS: [&str; 24] = [
    "a", "Z", "0", "-", "_", "~", "/", "//", "?", "#", "&", "=", "%2F", "%", ":", "@", "..", "+",
    ";", ",", "\"", "é", " ", "{",
];

fn any_rest(random: &mut fastrand::Rng) -> String {
    let length = random.usize(0..12);
    let tail: String = (0..length).filter_map(|_| random.choice(LETTERS)).collect();
    match random.usize(0..4) {
        0 => String::new(),
        1 => format!("?{tail}"),
        _ => format!("/{tail}"),
    }
}

fn any_host(random: &mut fastrand::Rng) -> String {
    let hosts = [
        "hf.co",
        "cdn.hf.co",
        "http",
        "https",
        "127.0.0.1",
        "[::1]",
        "a_b.x-y.test",
    ];
    random.choice(hosts).unwrap().to_owned()
}

fn any_url(random: &mut fastrand::Rng) -> (Scheme, Target, String, String) {
    let scheme = random.choice([Scheme::Http, Scheme::Https]).unwrap();
    let port = random.choice([80, 443, 8080, 1, 65535]).unwrap();
    let target = Target::new(any_host(random).parse().unwrap(), port);
    let rest = any_rest(random);
    let text = format!("{scheme}://{}{rest}", target.authority(scheme));
    (scheme, target, rest, text)
}

/// Takes a URL of the daemon apart, as the reverse front does.
fn back(text: &str) -> String {
    let path = text.split_once("://").unwrap().1;
    let path = path.split_once('/').unwrap().1;
    let end = path.find(['/', '?', '#']).unwrap_or(path.len());
    let (scheme, target) = parse_segment(&path[..end]).unwrap();
    format!("{scheme}://{}{}", target.authority(scheme), &path[end..])
}

#[test]
fn a_url_mapped_to_the_daemon_and_back_is_unchanged() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut mapping = mapping(None, true);
    mapping.served = Arc::new(|_| true);
    for _ in 0..20_000 {
        let (scheme, target, rest, text) = any_url(&mut random);
        for mapped in [mapping.url(&text), mapping.redirect(&text)] {
            let MappedUrl::Mapped(mapped) = mapped else {
                panic!("{text} is {mapped:?}")
            };
            let authority = target.authority(scheme);
            let expected = format!("{scheme}://{authority}{}", url::resolve_dots(&rest));
            assert_eq!(back(&mapped), expected, "{mapped}");
        }
    }
}

#[test]
fn a_url_mapped_to_a_mirror_and_back_is_unchanged() {
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..20_000 {
        let (scheme, target, rest, text) = any_url(&mut random);
        let base = random.choice(["", "/hub", "/a/b"]).unwrap();
        let (mirror_scheme, mirror_target, _, _) = any_url(&mut random);
        let mirror = Mirror {
            scheme: mirror_scheme,
            target: mirror_target,
            base_path: base.into(),
            credentials: crate::config::MirrorCredentials::Withhold,
        };
        let there = format!(
            "{}://{}{}",
            mirror.scheme,
            mirror.target.authority(mirror.scheme),
            mirror_path(&mirror, &rest)
        );
        let mut mapping = mapping(Some(mirror), false);
        (mapping.scheme, mapping.target) = (scheme, target);
        let mapped = match mapping.url(&there) {
            MappedUrl::Mapped(mapped) => mapped,
            MappedUrl::Unchanged => there.clone(),
            MappedUrl::Unserved { .. } => panic!("{there} is not served"),
        };
        assert_eq!(mapped, text, "{there}");
    }
}

#[test]
fn random_text_never_maps_to_a_host_that_is_not_served() {
    let mut random = fastrand::Rng::with_seed(5);
    let mapping = mapping(
        Some(mirror(Scheme::Https, "hf-mirror.com:443", "/hub")),
        true,
    );
    let starts = [
        "",
        "https:",
        "https://",
        "http://[",
        "//",
        "/hub",
        "https://hf-mirror.com",
    ];
    for _ in 0..50_000 {
        let text = format!(
            "{}{}",
            random.choice(starts).unwrap(),
            any_rest(&mut random)
        );
        if let MappedUrl::Mapped(mapped) = mapping.url(&text) {
            let original = back(&mapped);
            let url::Reference::Absolute(url) = url::reference(&original, Scheme::Https) else {
                panic!("{text} became {mapped}")
            };
            let host = url.target.host.to_string();
            assert!(
                host == "huggingface.co" || host.contains("hf.co"),
                "{text} became {mapped}"
            );
        }
    }
}
