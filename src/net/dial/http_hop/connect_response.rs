//! The hop's response to CONNECT: its head, and its text for people. Pure.

use super::{super::greeting::printable, page};
use crate::model::fault::HopLogin;

/// The head of a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConnectResponse {
    pub(super) status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    /// The length of the head in bytes.
    pub(super) length: usize,
}

/// The bytes are not HTTP/1.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedHead;

/// Parses the head at the start of `bytes`; `None` while its end is missing.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<ConnectResponse>, MalformedHead> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut response = httparse::Response::new(&mut headers);
    // Lenient, because hops may be old and this does not decide any framing: every reply that can be understood is accepted.
    let parsed = httparse::ParserConfig::default()
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true)
        .parse_response(&mut response, bytes)
        .map_err(|_| MalformedHead)?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let value = |value: &[u8]| printable(&String::from_utf8_lossy(value), usize::MAX);
    Ok(Some(ConnectResponse {
        status: response.code.ok_or(MalformedHead)?,
        reason: printable(response.reason.unwrap_or_default(), usize::MAX),
        headers: response
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), value(header.value)))
            .collect(),
        length,
    }))
}

/// The most characters of a text that are shown.
const MAX_SHOWN: usize = 200;

/// The most bytes of a body that are read.
const MAX_BODY: usize = 32 * 1024;

impl ConnectResponse {
    /// An interim response, which another one follows. 101 is final: no upgrade was requested.
    pub(super) fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// The tunnel is established. `Content-Length` and `Transfer-Encoding` have no meaning here (RFC 9110, section 9.3.6).
    pub(super) fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// True where `body` is incomplete and its text would be shown.
    pub(super) fn needs_more_body(&self, body: &[u8]) -> bool {
        let length = self.header("content-length").and_then(|n| n.parse().ok());
        let whole = if self.is_chunked() {
            page::dechunked(body).1
        } else {
            length.is_some_and(|length: usize| body.len() >= length)
        };
        self.is_readable() && !whole && body.len() < MAX_BODY
    }

    /// The hop's explanation of its refusal: reason phrase, text of the body, and its explanatory headers. `mask` masks each, because error
    /// pages quote requests.
    pub(super) fn explanation(&self, body: &[u8], mask: impl Fn(&str) -> String) -> String {
        let mut texts = vec![self.reason.clone()];
        for name in ["Proxy-Status", "X-Squid-Error", "Location"] {
            if let Some(value) = self.header(name) {
                texts.push(format!("{name}: {value}"));
            }
        }
        if self.is_readable() {
            texts.push(self.text(body.get(..MAX_BODY).unwrap_or(body)));
        }
        // Masked before truncation: a truncated password would not be found.
        let (html, head) = (self.is_html(), format!("{} {}", self.status, self.reason));
        let shown = |(at, part): (usize, &String)| {
            let part = mask(part);
            match self.is_readable() && at + 1 == texts.len() {
                true => page::reason(&part, html, &head, &mask),
                false => part.chars().take(MAX_SHOWN).collect::<String>(),
            }
        };
        let shown = texts.iter().enumerate().map(shown);
        let mut parts: Vec<String> = Vec::new();
        for part in shown.filter(|part| !part.is_empty()) {
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts.join("; ")
    }

    /// True where the hop requests credentials. tinyproxy answers wrong ones with 401; in a response to CONNECT it can only be the hop's.
    pub(super) fn wants_credentials(&self) -> bool {
        matches!(self.status, 401 | 407)
    }

    /// What a 407 means: `login`, unless the hop does not offer Basic; with the offered schemes as text.
    pub(super) fn authentication(&self, login: HopLogin) -> (HopLogin, String) {
        let schemes = self.schemes();
        let basic = schemes
            .iter()
            .any(|scheme| scheme.eq_ignore_ascii_case("basic"));
        let cause = login.cause();
        match schemes.as_slice() {
            [] => (login, cause.to_owned()),
            _ if basic => (login, format!("{cause}; it offers {}", schemes.join(", "))),
            _ => (
                HopLogin::OtherScheme,
                format!(
                    "{cause}; it offers only {}, and gitferry speaks only Basic",
                    schemes.join(", ")
                ),
            ),
        }
    }

    /// The schemes of every challenge (RFC 9110, section 11.6.1), a list of schemes and further parameters.
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

    /// Uncompressed text.
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
            page::dechunked(body).0
        } else {
            body.to_vec()
        };
        String::from_utf8_lossy(&body).into_owned()
    }

    fn is_html(&self) -> bool {
        self.header("content-type")
            .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/html"))
    }
}

#[cfg(test)]
mod tests;
