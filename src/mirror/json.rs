//! Replaces strings at known paths of a JSON document; no other byte changes.
//!
//! Parsing and serialising again would lose the order of keys, the precision of numbers, and bytes that a client may have hashed. So the
//! document is validated first, and then scanned once; only the paths need a stack.

use std::{borrow::Cow, fmt};

/// One step from a value to one inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathStep {
    /// The member of this name.
    Key(&'static str),
    /// Every member.
    AnyKey,
    /// Every member whose name is a number: the parts of a multipart upload.
    NumericKey,
    /// Every item.
    Item,
}

/// Paths in a document; at most [`MAX_PATHS`].
pub(crate) type Paths = &'static [&'static [PathStep]];

/// The number of bits in a mask.
pub(crate) const MAX_PATHS: usize = 32;
/// Rewritten responses nest up to six levels; deeper documents are passed on unchanged.
pub(crate) const MAX_DEPTH: usize = 64;

/// Why a document is passed on unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotJson {
    /// It is not UTF-8, the only charset of JSON on the network (RFC 8259, section 8.1).
    Charset,
    /// It is truncated or malformed.
    Syntax,
    /// It nests deeper than [`MAX_DEPTH`].
    Depth,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Charset => "the body is not UTF-8",
            Self::Syntax => "the body is not JSON, or incomplete",
            Self::Depth => "the JSON is nested too deeply",
        })
    }
}

/// Applies `map` to every string at one of `paths`; `None` where nothing changed.
///
/// Fails where `bytes` is not a JSON document.
pub(crate) fn splice(
    bytes: &[u8],
    paths: Paths,
    map: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<Option<Vec<u8>>, NotJson> {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut walk = JsonWalker::over(bytes, paths)?;
    while let Some((start, token)) = walk.next_string()? {
        let Some(changed) = unquote(token).and_then(|value| map(&value)) else {
            continue;
        };
        let quoted = serde_json::Value::String(changed).to_string();
        out.extend_from_slice(bytes.get(copied..start).unwrap_or_default());
        out.extend_from_slice(quoted.as_bytes());
        copied = start + token.len();
    }
    if copied == 0 {
        return Ok(None);
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    Ok(Some(out))
}

/// A string's value; `None` for a lone surrogate, which a Rust string cannot contain and a URL does not contain.
pub(super) fn unquote(token: &str) -> Option<Cow<'_, str>> {
    if token.contains('\\') {
        return serde_json::from_str(token).ok().map(Cow::Owned);
    }
    token
        .strip_prefix('"')?
        .strip_suffix('"')
        .map(Cow::Borrowed)
}

/// A scan of a valid document.
pub(super) struct JsonWalker<'t> {
    text: &'t str,
    at: usize,
    paths: Paths,
    open: Vec<JsonContainer>,
    /// The paths that match up to the next value, as a mask.
    next_paths: u32,
    expects_key: bool,
    /// The name of the current member, with its quotes.
    member: &'t str,
}

#[derive(Clone, Copy)]
struct JsonContainer {
    /// Where it begins.
    start: usize,
    object: bool,
    paths: u32,
}

impl<'t> JsonWalker<'t> {
    /// Fails where `bytes` is no JSON document.
    pub(super) fn over(bytes: &'t [u8], paths: Paths) -> Result<Self, NotJson> {
        let text = std::str::from_utf8(bytes).map_err(|_| NotJson::Charset)?;
        // Python's clients accept a byte order mark (RFC 8259, section 8.1).
        let document = text.strip_prefix('\u{feff}').unwrap_or(text);
        serde_json::from_str::<serde::de::IgnoredAny>(document).map_err(|_| NotJson::Syntax)?;
        Ok(Self {
            text,
            at: text.len() - document.len(),
            paths,
            open: Vec::new(),
            next_paths: u32::MAX,
            expects_key: false,
            member: "",
        })
    }

    /// How many containers are open, and where the one at `depth` begins.
    pub(super) fn container(&self, depth: usize) -> (usize, Option<usize>) {
        let start = self.open.get(depth).map(|container| container.start);
        (self.open.len(), start)
    }

    /// The name of the current member.
    pub(super) fn member(&self) -> Cow<'t, str> {
        unquote(self.member).unwrap_or_default()
    }

    /// The byte range of the next string at the end of a path, including its quotes.
    pub(super) fn next_string(&mut self) -> Result<Option<(usize, &'t str)>, NotJson> {
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b'{' | b'[' => self.enter(*byte == b'{')?,
                b'}' | b']' => self.leave_container(),
                b',' => self.begin_member(),
                b'"' => {
                    let (start, token) = (self.at, self.string());
                    self.at += token.len();
                    if self.expects_key {
                        self.key(token);
                    } else if self.is_at_path_end() {
                        return Ok(Some((start, token)));
                    }
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        Ok(None)
    }

    fn enter(&mut self, object: bool) -> Result<(), NotJson> {
        if self.open.len() == MAX_DEPTH {
            return Err(NotJson::Depth);
        }
        self.open.push(JsonContainer {
            start: self.at,
            object,
            paths: self.next_paths,
        });
        self.begin_member();
        Ok(())
    }

    fn leave_container(&mut self) {
        self.open.pop();
        self.expects_key = false;
    }

    /// Prepares for what follows an opening bracket or a comma.
    fn begin_member(&mut self) {
        let object = self.open.last().is_some_and(|open| open.object);
        self.expects_key = object;
        if !object {
            self.next_paths = self.matching_paths(|step| step == PathStep::Item);
        }
    }

    fn key(&mut self, token: &'t str) {
        self.expects_key = false;
        self.member = token;
        let name = unquote(token).unwrap_or_default();
        // git-lfs does not distinguish case (Go: encoding/json, Unmarshal).
        self.next_paths = self.matching_paths(|step| match step {
            PathStep::Key(key) => name.eq_ignore_ascii_case(key),
            PathStep::AnyKey => true,
            PathStep::NumericKey => !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()),
            PathStep::Item => false,
        });
    }

    /// The paths that include the innermost container and whose next step satisfies `taken`.
    fn matching_paths(&self, taken: impl Fn(PathStep) -> bool) -> u32 {
        let Some(open) = self.open.last() else {
            return 0;
        };
        let depth = self.open.len() - 1;
        let mut mask = 0;
        for (bit, path) in self.paths.iter().take(MAX_PATHS).enumerate() {
            let alive = open.paths & (1 << bit) != 0;
            if alive && path.get(depth).is_some_and(|step| taken(*step)) {
                mask |= 1 << bit;
            }
        }
        mask
    }

    /// True where the current value is at the end of a path.
    fn is_at_path_end(&self) -> bool {
        self.paths
            .iter()
            .take(MAX_PATHS)
            .enumerate()
            .any(|(bit, path)| self.next_paths & (1 << bit) != 0 && path.len() == self.open.len())
    }

    /// The string that begins at the current position, including its quotes.
    fn string(&self) -> &'t str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut escaped = false;
        for (at, byte) in rest.bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return rest.get(..=at).unwrap_or(rest),
                _ => {}
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: Paths = &[
        &[
            PathStep::Key("objects"),
            PathStep::Item,
            PathStep::AnyKey,
            PathStep::Key("href"),
        ],
        &[PathStep::Key("parts"), PathStep::NumericKey],
        &[PathStep::Key("url")],
    ];

    fn spliced(text: &str) -> Option<String> {
        splice(text.as_bytes(), PATHS, &mut |url| {
            url.strip_prefix("https://").map(|rest| format!("x:{rest}"))
        })
        .unwrap()
        .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_strings_at_the_paths_change() {
        let text = "{ \"url\" :\t\"https://a\", \"n\": 1.10e400, \"n\": 1.10e400,\r\n \"objects\": [ {\"up\": {\"href\": \
                    \"https:\\/\\/b\", \"url\": \"https://kept\"}, \"href\": \"https://kept\"}, \"https://kept\" ],\
                    \"parts\": {\"1\": \"https://c\", \"00002\": \"https://d\", \"1a\": \"https://kept\"},\
                    \"\\u0075rl\": \"https://e\", \"deep\": {\"url\": \"https://kept\", \"s\": \"\\\\\\\"url\\\":\"} }";
        let expected = text
            .replace("https://a", "x:a")
            .replace("https:\\/\\/b", "x:b")
            .replace("https://c", "x:c")
            .replace("https://d", "x:d")
            .replace("https://e", "x:e");
        assert_eq!(spliced(text), Some(expected));
    }

    #[test]
    fn a_document_without_such_strings_is_unchanged() {
        for text in [
            "null",
            "\"https://a\"",
            "[]",
            "{}",
            "[\"https://a\"]",
            "{\"url\": 3}",
            "{\"url\": [\"https://a\"]}",
            "{\"url\": \"ftp://a\"}",
            "{\"url\": \"\\ud800https://a\"}",
            "{\"objects\": {\"up\": {\"href\": \"https://a\"}}}",
        ] {
            assert_eq!(spliced(text), None, "{text}");
        }
    }

    #[test]
    fn a_document_that_is_not_json_fails_with_the_reason() {
        let deep = "[".repeat(MAX_DEPTH + 1) + &"]".repeat(MAX_DEPTH + 1);
        let cases: [(&[u8], NotJson); 7] = [
            (b"", NotJson::Syntax),
            (b"{\"url\": \"https://a", NotJson::Syntax),
            (b"{\"url\": \"https://a\"} trailing", NotJson::Syntax),
            (b"<html>", NotJson::Syntax),
            (b"{\"url\": \"https://\xe9\"}", NotJson::Charset),
            (b"\xff\xfe{\0}\0", NotJson::Charset),
            (deep.as_bytes(), NotJson::Depth),
        ];
        for (bytes, why) in cases {
            assert_eq!(splice(bytes, PATHS, &mut |_| None), Err(why), "{bytes:?}");
        }
    }
}
