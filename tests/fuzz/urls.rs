//! URLs that origins write, as the clients of the reverse front and of mirrors get them.

use gitferry::testing::parsers::{self, ResponsePath};

use crate::{Choices, fuzz, resolve::on_the_daemon};

const REFERENCES: &[&[u8]] = &[
    b"https://hf.co/user/repo?x=1#y",
    b"https://me:pass@b.test/x",
    b"//x.cdn.test/y",
    b"/../b.test/x",
    b"../b.test/x",
    b"http://127.0.0.1:4483/b.test/x",
    b"http:/b.test/x",
    b"https://mirror.test/base/x/../y",
    b"/a/%2e%2e/%2E./b.test/x",
    b"https://h\xc3\xa4.test/x",
    b"?x",
    b"",
];
const WORDS: &[&str] = &[
    "/",
    "//",
    "\\",
    "..",
    "/..",
    "%2e",
    "%2E%2e/",
    ":",
    "@",
    "?",
    "#",
    "\t",
    " ",
    "http:",
    "https:",
    "HTTP://",
    "b.test",
    "/b.test/",
    "127.0.0.1:4483",
    "localhost:4483",
    "127.1:4483",
    "2130706433:4483",
    "0x7f000001:04483",
    "127%2e0.0.1:4483",
    "[::1]:4483",
    "x.cdn.test",
    "evil.test",
    "hf.co",
    "mirror.test/base",
    ";",
    "\u{e4}",
];
const ASKED: &[&str] = &["/", "/user/repo/info/refs", "/a/b/"];

/// The hosts that the reference names may be reached by it, and the one that was asked; a host of a segment that it brings along may not.
fn lands_where_it_may(asked: &str, written: &str, given: &str) {
    let own = format!("/hf.co{asked}");
    for whatwg in [false, true] {
        let Some(path) = on_the_daemon(&own, given, whatwg) else {
            continue;
        };
        let segment = path.split('/').nth(1).unwrap_or_default();
        // One that is no host is refused.
        let Some(found) = parsers::segment(segment) else {
            continue;
        };
        let ours = [
            ("https", "hf.co:443".to_owned()),
            parsers::origin(written.replace('\t', "").trim()),
        ];
        let port = found.1.rsplit(':').next().unwrap_or_default();
        assert!(
            ours.contains(&found) || port == "4483",
            "{given:?} leads to {found:?} (WHATWG: {whatwg})"
        );
    }
}

/// The reverse front, with a mirror or without.
fn reverse(u: Choices<'_, '_>) -> arbtest::arbitrary::Result<ResponsePath> {
    Ok(ResponsePath {
        mirror: u.arbitrary()?,
        ..ResponsePath::REVERSE_FRONT
    })
}

#[test]
fn a_rewritten_location_stays_in_the_segment_of_its_host() {
    fuzz(REFERENCES, WORDS, |written, u| {
        let asked = *u.choose(ASKED)?;
        let name = *u.choose(&["location", "content-location"])?;
        let status = *u.choose(&[200, 201, 302, 307])?;
        let text = String::from_utf8_lossy(written);
        for given in parsers::rewritten_field((asked, reverse(u)?), status, name, written) {
            lands_where_it_may(asked, &text, &String::from_utf8_lossy(&given));
        }
        Ok(())
    });
}

#[test]
fn a_rewritten_link_stays_in_the_segment_of_its_host() {
    fuzz(REFERENCES, WORDS, |written, u| {
        let asked = *u.choose(ASKED)?;
        let text = String::from_utf8_lossy(written);
        if text.contains(['<', '>', '"']) {
            return Ok(());
        }
        let field = [
            b"<https://b.test/1>; rel=prev, <",
            written,
            b">; rel=\"next\"",
        ]
        .concat();
        for given in
            parsers::rewritten_field((asked, ResponsePath::REVERSE_FRONT), 200, "link", &field)
        {
            let given = String::from_utf8_lossy(&given);
            let target = given
                .split('<')
                .nth(2)
                .and_then(|rest| rest.split('>').next());
            lands_where_it_may(asked, &text, target.unwrap_or_default());
        }
        Ok(())
    });
}

#[test]
fn a_url_that_is_mapped_maps_back() {
    fuzz(
        &[
            b"https://b.test",
            b"http://x.cdn.test:8080",
            b"https://hf.co:80",
        ],
        &["a", "-", ":80", ":443", ".cdn.test"],
        |origin, u| {
            let origin = String::from_utf8_lossy(origin);
            // A query, a fragment or a path there is no part of an origin.
            if !origin.is_ascii()
                || origin.contains(['?', '#', '\\'])
                || !(origin.starts_with("http://") || origin.starts_with("https://"))
            {
                return Ok(());
            }
            let path: String = u
                .arbitrary::<Vec<u8>>()?
                .iter()
                .map(|byte| char::from(b'!' + byte % 94))
                .collect();
            let path = format!("/{}", path.replace(['\\', '#', '.'], "x"));
            let written = format!("{origin}{path}");
            // Without a host it is a path, and its slashes mean nothing.
            if written.contains(":///") && written.find(":///") == written.find("://") {
                return Ok(());
            }
            let given = parsers::rewritten_field(
                ("/", ResponsePath::REVERSE_FRONT),
                200,
                "content-location",
                written.as_bytes(),
            );
            let Some(given) = given
                .first()
                .map(|given| String::from_utf8_lossy(given).into_owned())
            else {
                return Ok(());
            };
            if given == written {
                return Ok(());
            }
            let rest = given.strip_prefix("http://127.0.0.1:4483/").unwrap();
            let (segment, rest) = rest.split_at(rest.find('/').unwrap());
            // A reader of URLs leaves these out (WHATWG URL, basic URL parser, step 3).
            let written = written.replace(['\t', '\n', '\r'], "");
            assert_eq!(parsers::segment(segment), Some(parsers::origin(&written)));
            let (_, after) = written.split_once("://").unwrap();
            assert_eq!(rest, &after[after.find('/').unwrap()..]);
            Ok(())
        },
    );
}

#[test]
fn a_cookie_stays_with_its_host() {
    let seeds: &[&[u8]] = &[
        b"a=b; Path=/; Domain=hf.co; Secure; HttpOnly",
        b"a=b; path=\"/\"; Path=/x",
        b"a=b",
        b"a=b; Path=; Domain=evil.test",
        b"a=b; Path=/user/../../b.test",
    ];
    fuzz(
        seeds,
        &[
            ";",
            "; Path=/",
            "; path",
            "=",
            "; Domain=",
            "; Path=x",
            "\"",
            " ",
            "/",
            "\t",
        ],
        |written, u| {
            let asked = *u.choose(ASKED)?;
            for given in parsers::rewritten_field((asked, reverse(u)?), 200, "set-cookie", written)
            {
                let given = String::from_utf8_lossy(&given).into_owned();
                let attributes = given
                    .split(';')
                    .skip(1)
                    .map(|part| part.split_once('=').unwrap_or((part, "")));
                let mut path = None;
                for (name, value) in attributes.map(|(name, value)| (name.trim(), value.trim())) {
                    assert!(!name.eq_ignore_ascii_case("domain"), "{given:?}");
                    if name.eq_ignore_ascii_case("path") {
                        path = Some(value);
                    }
                }
                // curl takes quotes off; what does not begin with a slash means the directory of what was asked (RFC 6265, section 5.2.4).
                let path = path
                    .map(|path| path.trim_matches('"'))
                    .filter(|path| path.starts_with('/'));
                let path = path.unwrap_or("/");
                assert!(path == "/hf.co" || path.starts_with("/hf.co/"), "{given:?}");
            }
            Ok(())
        },
    );
}

#[test]
fn a_target_parses_from_its_own_text() {
    fuzz(
        &[b"hf.co:443", b"[::1]:22", b"127.0.0.1:80", b"HF.co."],
        &[":", "[", "]", ".", "0x", "-", "_", "*", "@", "%"],
        |text, _| {
            let text = String::from_utf8_lossy(text);
            if let Some(shown) = parsers::target(&text) {
                assert_eq!(parsers::target(&shown), Some(shown.clone()), "{text}");
                assert!(!shown.contains(['/', '@', ' ', '\\', '#', '?']), "{shown}");
            }
            Ok(())
        },
    );
}
