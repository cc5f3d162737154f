//! Redacts paths, queries and free text, and escapes control characters, so that nobody can forge a log line.

use std::borrow::Cow;

/// Query parameters with harmless and useful values; every other value is replaced by stars.
const HARMLESS: &[&str] = &[
    "service",
    "partNumber",
    "part_number",
    "cursor",
    "limit",
    "ref",
    "refspec",
    "recursive",
    "expand",
];

/// Prefixes of well-known tokens (each vendor's documentation, or its secret-scanning pattern).
const TOKENS: &[&str] = &[
    "hf_",
    "api_org_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "gldt-",
    "glcbt-",
    "glptt-",
    "AKIA",
    "ASIA",
    "xoxb-",
    "xoxp-",
    "eyJ",
];

/// The first bytes of [`TOKENS`], and of `://`.
#[expect(
    clippy::indexing_slicing,
    reason = "a byte is below 256, and the compiler evaluates it"
)]
const FIRST_BYTES: [bool; 256] = {
    let mut first = [false; 256];
    first[b':' as usize] = true;
    let mut rest = TOKENS;
    while let [token, after @ ..] = rest {
        if let [byte, ..] = token.as_bytes() {
            first[*byte as usize] = true;
        }
        rest = after;
    }
    first
};

/// A path with its query: all values but the harmless ones, and all tokens, are replaced by stars.
pub(crate) fn path(path: &str) -> String {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let mut safe = text(path);
    if let Some(query) = query {
        safe.push('?');
        let pairs: Vec<String> = query.split('&').map(pair).collect();
        safe.push_str(&pairs.join("&"));
    }
    safe
}

fn pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((key, value)) if HARMLESS.contains(&key) => format!("{}={}", text(key), text(value)),
        Some((key, _)) => format!("{}=***", text(key)),
        None => "***".into(),
    }
}

/// Free text: tokens, user info and queries of URLs are replaced by stars; terminal control characters are escaped.
pub(crate) fn text(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut safe = String::with_capacity(text.len());
    for (at, word) in text.split([' ', '\t']).enumerate() {
        if at > 0 {
            safe.push(' ');
        }
        safe.push_str(&self::redact_word(word));
    }
    safe
}

/// True where `text` has nothing to redact or escape, as in most requests.
pub(super) fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let begins = |(at, byte): (usize, &u8)| {
        let rest = bytes.get(at..).unwrap_or_default();
        let starts =
            |with: &str| with.as_bytes().first() == Some(byte) && rest.starts_with(with.as_bytes());
        FIRST_BYTES.get(usize::from(*byte)) == Some(&true)
            && (starts("://") || TOKENS.iter().any(|token| starts(token)))
    };
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) && !bytes.iter().enumerate().any(begins)
}

/// True where `text` contains what looks like a vendor's token or a JWT (`eyJ….….…`).
pub(crate) fn has_token(text: &str) -> bool {
    TOKENS.iter().any(|token| {
        text.match_indices(token).any(|(at, _)| {
            let run = token_run(text.get(at + token.len()..).unwrap_or_default());
            // The base64 of any JSON begins like a JWT, for example in the Hub's cursors.
            let jwt = *token != "eyJ" || run.matches('.').count() == 2;
            run.len() >= SHORTEST && jwt
        })
    })
}

/// The characters after a token's prefix that belong to it.
fn token_run(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "_-.=".contains(c)));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// Shorter matches are words: `hf_hub`.
const SHORTEST: usize = 12;

fn redact_word(word: &str) -> String {
    let mut word = word.to_owned();
    if let Some(scheme) = word.find("://") {
        let rest = word.get(scheme + 3..).unwrap_or_default();
        let end = rest.find('/').unwrap_or(rest.len());
        if let Some(at) = rest.get(..end).and_then(|authority| authority.rfind('@')) {
            word.replace_range(scheme + 3..scheme + 3 + at, "***");
        }
        if let Some(query) = word.find('?') {
            let pairs: Vec<String> = word
                .get(query + 1..)
                .unwrap_or_default()
                .split('&')
                .map(pair_name)
                .collect();
            word.truncate(query + 1);
            word.push_str(&pairs.join("&"));
        }
    }
    for token in TOKENS {
        let mut from = 0;
        while let Some(found) = word.get(from..).and_then(|rest| rest.find(token)) {
            let start = from + found;
            let body = start + token.len();
            let length = token_run(word.get(body..).unwrap_or_default()).len();
            if length >= SHORTEST {
                word.replace_range(body..body + length, "***");
            }
            from = body;
        }
    }
    match escaped(&word) {
        Cow::Owned(escaped) => escaped,
        Cow::Borrowed(_) => word,
    }
}

/// True for characters that a terminal does not show: control characters, and marks that change the direction of a line or have no width
/// (Unicode Standard Annex 9, section 2).
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

/// `text` with hidden characters escaped.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_hidden(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown.into()
}

fn pair_name(pair: &str) -> String {
    pair.split_once('=')
        .map_or_else(|| "***".into(), |(key, _)| format!("{key}=***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_paths_queries_urls_and_texts_are_redacted() {
        for (planted, shown) in [
            (
                "/b/oid?X-Amz-Signature=SECRET&X-Amz-Credential=SECRET",
                "/b/oid?X-Amz-Signature=***&X-Amz-Credential=***",
            ),
            (
                "/r/info/refs?service=git-receive-pack",
                "/r/info/refs?service=git-receive-pack",
            ),
            ("a\u{202e}b\u{1b}[31m", "a\\u{202e}b\\u{1b}[31m"),
            ("/x?SECRET", "/x?***"),
            ("/api/hf_SECRETSECRETSECRET/x", "/api/hf_***/x"),
            ("/datasets/hf_hub/x", "/datasets/hf_hub/x"),
        ] {
            assert_eq!(path(planted), shown);
        }
        for planted in [
            "see https://me:SECRET@host/x now",
            "Put \"https://s3.test/o?X-Amz-Signature=SECRET&y=SECRET\": denied",
            "token ghp_SECRETSECRETSECRETSECRET, sorry",
        ] {
            assert!(!text(planted).contains("SECRET"), "{}", text(planted));
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            text("a\r\nfault code=x\u{1b}[31m"),
            "a\\r\\nfault code=x\\u{1b}[31m"
        );
    }
}
