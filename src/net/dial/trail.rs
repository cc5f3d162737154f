//! The trail of a request, the proxies that it has passed: distinguishes a request that has looped from one of another client.
//!
//! `Via` does it in the first round (RFC 9110, section 7.6.3). A hop with `via = false` gets a field of gitferry's own instead, which
//! proxies do not refuse: every daemon in a chain adds a mark that only it recognises. A mark is a new random number and its keyed hash, so
//! marks do not show which requests come from the same daemon.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue, VIA},
};

use crate::model::pseudonym;

/// The field with the marks.
pub(crate) const TRAIL: HeaderName = HeaderName::from_static("gitferry-trail");

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The trail of a request.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    /// All `Via` values in one.
    pub(super) via: Option<HeaderValue>,
    /// All marks.
    pub(super) marks: Option<HeaderValue>,
}

/// The trail of a request that begins here.
pub(crate) static EMPTY_TRAIL: Trail = Trail {
    via: None,
    marks: None,
};

impl Trail {
    /// The trail in these fields.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            via: joined(headers, &VIA),
            marks: joined(headers, &TRAIL),
        }
    }

    /// The header lines of a CONNECT to the next hop: with `via` they have gitferry's name, without it a mark.
    pub(super) fn lines(&self, via: bool) -> String {
        let text = |value: &Option<HeaderValue>| {
            let text = value.as_ref().and_then(|value| value.to_str().ok());
            text.map(ToOwned::to_owned)
        };
        let (before, marks) = (text(&self.via), text(&self.marks));
        let line = |name: &str, before: Option<String>, last: Option<String>| {
            let members: Vec<String> = before.into_iter().chain(last).collect();
            match members.is_empty() {
                true => String::new(),
                false => format!("{name}: {}\r\n", members.join(", ")),
            }
        };
        match via {
            true => {
                line("Via", before, Some(format!("1.1 {}", pseudonym())))
                    + &line("Gitferry-Trail", marks, None)
            }
            false => {
                let names = before.map(|via| names(&via));
                let names = names.filter(|names| !names.is_empty());
                let last = names.into_iter().chain([new_mark()]);
                let last: Vec<String> = last.collect();
                line("Gitferry-Trail", marks, Some(last.join(", ")))
            }
        }
    }
}

/// True where a request with these fields went through this daemon before.
pub(crate) fn is_loop(headers: &HeaderMap) -> bool {
    let has = |field, is_own: &dyn Fn(&str) -> bool| {
        let values = headers.get_all(field).iter();
        let mut texts = values.filter_map(|value| value.to_str().ok());
        texts.any(|text| text.split(',').any(|member| is_own(member.trim())))
    };
    has(VIA, &|entry| {
        entry.split_whitespace().nth(1) == Some(pseudonym())
    }) || has(TRAIL, &|mark| mark == pseudonym() || is_own_mark(mark))
}

/// Adds this daemon's mark instead of `Via`.
pub(crate) fn replace_via_by_mark(headers: &mut HeaderMap) {
    let via = joined(headers, &VIA);
    headers.remove(VIA);
    let names = via.and_then(|via| via.to_str().map(names).ok());
    for mark in [names.unwrap_or_default(), new_mark()] {
        if let Ok(mark) = HeaderValue::try_from(mark)
            && !mark.is_empty()
        {
            headers.append(TRAIL, mark);
        }
    }
}

/// The other gitferry daemons that `via` names. This daemon adds a mark instead of its name.
fn names(via: &str) -> String {
    let names = via
        .split(',')
        .filter_map(|entry| entry.split_whitespace().nth(1))
        .filter(|name| name.starts_with("gitferry-") && *name != pseudonym());
    names.collect::<Vec<_>>().join(", ")
}

/// A new mark.
fn new_mark() -> String {
    let nonce = fastrand::u64(..);
    format!("{nonce:016x}{:016x}", KEY.hash_one(nonce))
}

fn is_own_mark(mark: &str) -> bool {
    let number = |digits: Option<&str>| u64::from_str_radix(digits?, 16).ok();
    let (nonce, hash) = (number(mark.get(..16)), number(mark.get(16..)));
    nonce.is_some_and(|nonce| hash == Some(KEY.hash_one(nonce)))
}

/// All values of a field in one.
fn joined(headers: &HeaderMap, field: &HeaderName) -> Option<HeaderValue> {
    let values = headers.get_all(field).iter();
    let values: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
    let joined = values.join(&b", "[..]);
    HeaderValue::from_bytes(&joined)
        .ok()
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &str) -> HeaderMap {
        let fields = lines.lines().filter_map(|line| line.split_once(": "));
        fields
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_loop_is_recognised_by_via_and_by_mark() {
        for via in [true, false] {
            let first = headers(&EMPTY_TRAIL.lines(via));
            assert!(is_loop(&first), "{first:?}");
            assert_eq!(first.contains_key(VIA), via, "{first:?}");
            // Another daemon adds its own, in either way.
            let mut others = first.clone();
            replace_via_by_mark(&mut others);
            for second in [
                headers(&Trail::of(&first).lines(true)),
                headers(&Trail::of(&first).lines(false)),
                others,
            ] {
                assert!(is_loop(&second), "{second:?}");
            }
        }
    }

    #[test]
    fn foreign_fields_are_no_loop_and_marks_differ() {
        for line in [
            "via: 1.1 proxy.example, 1.0 other",
            "gitferry-trail: 00000000000000000000000000000000",
            "gitferry-trail: , x, +1, é",
            "gitferry-trail: 0",
        ] {
            assert!(!is_loop(&headers(line)), "{line}");
        }
        assert_ne!(new_mark(), new_mark());
        // A name that a hop must not see in `Via` is recognised by its own daemon; this daemon's own is not sent.
        let via = format!("via: 1.1 before, 1.1 gitferry-other, 1.1 {}", pseudonym());
        let mut request = headers(&via);
        replace_via_by_mark(&mut request);
        assert!(!request.contains_key(VIA) && is_loop(&request));
        let lines = Trail::of(&headers("via: 1.1 gitferry-other")).lines(false);
        for trail in [format!("{request:?}"), lines] {
            assert!(trail.contains("gitferry-other"), "{trail}");
            assert!(!trail.contains(pseudonym()), "{trail}");
        }
    }
}
