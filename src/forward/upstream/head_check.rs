//! Watches the raw heads of HTTP/1 responses for what hyper does not report.
//!
//! hyper skips a field line with an invalid byte, as curl and Go do. Where that field decides on the framing, the client would get chunks as
//! content, so such a response is refused.

/// Reads the heads of the responses to one request, and ignores the body.
#[derive(Debug, Default)]
pub(super) struct HeadCheck {
    line: Vec<u8>,
    /// A status line was read.
    begun: bool,
    interim: bool,
    /// The current field, which the next line may continue, decides on the framing.
    framing: bool,
    over: bool,
}

/// The most bytes of a line that are kept: the names that count are short, and the check of the value is for its first bytes.
const MAX_KEPT: usize = 256;

pub(super) const MALFORMED: &str =
    "the response has a Transfer-Encoding or Content-Length field with an invalid byte";

impl HeadCheck {
    /// Reads received bytes; true where a field that decides on the framing is malformed.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> bool {
        while !self.over && !bytes.is_empty() {
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.keep(bytes);
                return false;
            };
            let (line, rest) = bytes.split_at(end);
            bytes = rest.get(1..).unwrap_or_default();
            // A line in one piece, as usual, is not copied.
            let malformed = if self.line.is_empty() {
                self.is_malformed(line)
            } else {
                self.keep(line);
                let mut whole = std::mem::take(&mut self.line);
                let malformed = self.is_malformed(&whole);
                whole.clear();
                self.line = whole;
                malformed
            };
            if malformed {
                return true;
            }
        }
        false
    }

    fn keep(&mut self, part: &[u8]) {
        let room = MAX_KEPT.saturating_sub(self.line.len());
        self.line.extend(part.iter().take(room));
    }

    fn is_malformed(&mut self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !self.begun {
            // `HTTP/1.1 103 Early Hints`; empty lines may precede it.
            let status = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            self.begun = !line.is_empty();
            self.interim = status.starts_with(b"1") && status != b"101";
            return false;
        }
        if line.is_empty() {
            self.over = !self.interim;
            (self.begun, self.framing) = (false, false);
            return false;
        }
        let continued = line.starts_with(b" ") || line.starts_with(b"\t");
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if !continued {
            let is_named = |wanted: &[u8]| {
                let letters = name.iter().filter(|byte| byte.is_ascii_graphic());
                letters
                    .map(u8::to_ascii_lowercase)
                    .eq(wanted.iter().copied())
            };
            self.framing = is_named(b"transfer-encoding") || is_named(b"content-length");
        }
        let invalid = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        let odd_name = !continued && !name.trim_ascii_end().iter().all(u8::is_ascii_graphic);
        self.framing && (odd_name || line.iter().any(invalid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framing_field_with_an_invalid_byte_is_malformed_in_reads_of_any_size() {
        for (head, malformed) in [
            (&b"Transfer-Encoding: \x0bchunked\r\n"[..], true),
            (b"Transfer-Encoding: chunked\x01\r\n", true),
            (b"transfer-encoding:\r\n \x0cchunked\r\n", true),
            (b"Transfer-Encoding\x0b: chunked\r\n", true),
            (b"\x0bTransfer-Encoding: chunked\r\n", true),
            (b"Content-Length: 5\x7f\n", true),
            (b"Transfer-Encoding : chunked\r\n", false),
            (b"Transfer-Encoding:\tchunked\r\nX: \x01\r\n\x01\r\n", false),
            (b"X: a\r\n Content-Length: \x01\r\n", false),
        ] {
            for first in ["", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"] {
                let bytes = [
                    first.as_bytes(),
                    b"HTTP/1.1 200 OK\r\n",
                    head,
                    b"\r\nContent-Length: \x01\r\n\r\n",
                ]
                .concat();
                for step in [1, 7, 4096] {
                    let mut check = HeadCheck::default();
                    let found = bytes.chunks(step).any(|chunk| check.read(chunk));
                    assert_eq!(found, malformed, "{:?}", String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
}
