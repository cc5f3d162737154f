//! The hop's answer to CONNECT: its head, and what it says for people. Pure.

use super::super::greeting::printable;

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    /// How many bytes the head takes.
    pub(super) length: usize,
}

/// What came is not HTTP/1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads the head at the start of `bytes`; `None` as long as its end is missing.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<Answer>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut response = httparse::Response::new(&mut headers);
    // Hops are old and odd, and nothing here decides how a message is framed: a reply is taken where it can be understood.
    let parsed = httparse::ParserConfig::default()
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true)
        .parse_response(&mut response, bytes)
        .map_err(|_| Malformed)?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let value = |value: &[u8]| printable(&String::from_utf8_lossy(value), usize::MAX);
    Ok(Some(Answer {
        status: response.code.ok_or(Malformed)?,
        reason: printable(response.reason.unwrap_or_default(), usize::MAX),
        headers: response
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), value(header.value)))
            .collect(),
        length,
    }))
}

/// As much of a text is shown.
const SHOWN: usize = 200;

/// As much of a body is read.
const MAX_BODY: usize = 4096;

impl Answer {
    /// An answer that another one follows. 101 is not: nobody asked for an upgrade.
    pub(super) fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// The tunnel stands. `Content-Length` and `Transfer-Encoding` mean nothing here (RFC 9110, section 9.3.6).
    pub(super) fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// True where `body` may go on and would be shown.
    pub(super) fn wants_more(&self, body: &[u8]) -> bool {
        let length = self.header("content-length").and_then(|n| n.parse().ok());
        let whole = if self.is_chunked() {
            dechunked(body).1
        } else {
            length.is_some_and(|length: usize| body.len() >= length)
        };
        self.is_readable() && !whole && body.len() < MAX_BODY
    }

    /// What the hop says about its refusal: reason phrase, text of the body, the headers that were made for it; each without
    /// `secrets`, for error pages quote requests.
    pub(super) fn refusal(&self, body: &[u8], secrets: &[&str]) -> String {
        let mut said = vec![self.reason.clone()];
        if self.is_readable() {
            said.push(self.text(body.get(..MAX_BODY).unwrap_or(body)));
        }
        for name in ["Proxy-Status", "X-Squid-Error"] {
            if let Some(value) = self.header(name) {
                said.push(format!("{name}: {value}"));
            }
        }
        // Before anything is cut off: half a password would not be found.
        let shown = |part: &String| {
            let secrets = secrets.iter().filter(|secret| !secret.is_empty());
            let part = secrets.fold(part.clone(), |part, secret| part.replace(*secret, "***"));
            part.chars().take(SHOWN).collect::<String>()
        };
        said.retain(|part| !part.is_empty());
        said.iter().map(shown).collect::<Vec<_>>().join("; ")
    }

    /// What a 407 means for the reader: which schemes there are, and whether credentials were given.
    pub(super) fn authentication(&self, had_credentials: bool) -> String {
        let schemes = self.schemes();
        let basic = schemes
            .iter()
            .any(|scheme| scheme.eq_ignore_ascii_case("basic"));
        let given = if had_credentials {
            "the hop refused the configured credentials"
        } else {
            "the hop wants credentials and none are configured"
        };
        match schemes.as_slice() {
            [] => given.to_owned(),
            _ if basic => format!("{given}; it offers {}", schemes.join(", ")),
            _ => format!(
                "{given}; it offers only {}, and gitferry speaks only Basic",
                schemes.join(", ")
            ),
        }
    }

    /// The schemes of every challenge (RFC 9110, section 11.6.1): a list whose elements are a scheme or one more parameter of it.
    fn schemes(&self) -> Vec<&str> {
        let mut schemes: Vec<&str> = Vec::new();
        let values = self
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authenticate"));
        for element in values.flat_map(|(_, value)| value.split(',')) {
            let word = element.split_whitespace().next().unwrap_or_default();
            let is_token = !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if is_token && !schemes.iter().any(|known| known.eq_ignore_ascii_case(word)) {
                schemes.push(word);
            }
        }
        schemes
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    }

    /// Text that is not compressed.
    fn is_readable(&self) -> bool {
        let text = self.header("content-type").is_some_and(|kind| {
            let kind = kind.to_ascii_lowercase();
            kind.starts_with("text/plain") || kind.starts_with("text/html")
        });
        text && self
            .header("content-encoding")
            .is_none_or(|coding| coding == "identity")
    }

    fn text(&self, body: &[u8]) -> String {
        let body = if self.is_chunked() {
            dechunked(body).0
        } else {
            body.to_vec()
        };
        let text = String::from_utf8_lossy(&body);
        let html = self
            .header("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"));
        if html {
            printable(&without_tags(&text), usize::MAX)
        } else {
            printable(&text, usize::MAX)
        }
    }
}

/// The data of as many chunks as there are, and whether the last one is among them (RFC 9112, section 7.1).
fn dechunked(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.split(';').next())
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        match size {
            Some(0) | None => return (data, true),
            Some(size) => data.extend_from_slice(after.get(..size).unwrap_or(after)),
        }
        // The line end after the chunk is not data.
        rest = size
            .and_then(|size| size.checked_add(2))
            .and_then(|next| after.get(next..))
            .unwrap_or_default();
    }
    (data, false)
}

/// What of a page is for reading: neither tags nor comments, styles and scripts.
fn without_tags(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while let Some((before, tag)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        let lower = tag.get(..8).unwrap_or(tag).to_ascii_lowercase();
        let end = [
            ("!--", "-->"),
            ("style", "</style>"),
            ("script", "</script>"),
        ]
        .iter()
        .find(|(start, _)| lower.starts_with(start))
        .map_or(">", |(_, end)| end);
        rest = match find_ignoring_case(tag, end) {
            Some(at) => tag.get(at + end.len()..).unwrap_or_default(),
            None => "",
        };
    }
    text.push_str(rest);
    [
        ("&nbsp;", " "),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text, |text, (entity, plain)| text.replace(entity, plain))
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    text.as_bytes()
        .windows(wanted.len())
        .position(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}

#[cfg(test)]
mod tests;
