//! Captures the request line as received, because hyper drops targets that `http::Uri` cannot represent.
//!
//! It only observes. hyper alone decides what a request means, because a second parser in front of it enables request smuggling. A request
//! line that cannot be captured (of a pipelined request) is missing in the log, without other effect.

use std::sync::Arc;

use hyper::{Request, http::uri::PathAndQuery};

use crate::sync::Mutex;

/// The most bytes of a line that are kept.
const MAX_LINE: usize = 8 * 1024;

/// The first line received since the last response. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestLine(Arc<Mutex<CapturedLine>>);

#[derive(Debug, Default)]
struct CapturedLine {
    bytes: Vec<u8>,
    complete: bool,
    responded: bool,
    /// True where bytes arrived since the next request is expected.
    begun: bool,
    /// True where hyper understood the request and passed it on.
    received: bool,
    /// The status with which hyper refused the request itself.
    refused: Option<u16>,
}

impl RequestLine {
    /// Records bytes that were read.
    pub(crate) fn record(&self, read: &[u8]) {
        if read.is_empty() {
            return;
        }
        let mut line = self.0.lock();
        if line.responded {
            // The buffer is used again.
            let mut bytes = std::mem::take(&mut line.bytes);
            bytes.clear();
            *line = CapturedLine {
                bytes,
                ..CapturedLine::default()
            };
        }
        line.begun = true;
        if line.complete {
            return;
        }
        let mut rest = read;
        // Empty lines may precede a request (RFC 9112, section 2.2).
        while !line.complete && !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (piece, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            let room = MAX_LINE.saturating_sub(line.bytes.len()).min(piece.len());
            line.bytes
                .extend_from_slice(piece.get(..room).unwrap_or_default());
            rest = after;
            line.complete = end.is_some() || line.bytes.len() >= MAX_LINE;
            if line.bytes.trim_ascii().is_empty() {
                line.bytes.clear();
                line.complete = false;
            }
        }
    }

    /// A response is written: bytes after it belong to another request. hyper answers before it reports what it refused.
    ///
    /// Returns the status where `written` is hyper's own response to a request that it did not understand: a whole head without a body.
    pub(super) fn mark_responded(&self, written: &[u8]) -> Option<u16> {
        let mut line = self.0.lock();
        line.responded = true;
        if line.received {
            return None;
        }
        let status = written.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
        let end = written.windows(4).position(|four| four == b"\r\n\r\n")?;
        let is_refusal = status.starts_with(b"4") && end + 4 == written.len();
        line.refused = is_refusal.then(|| std::str::from_utf8(status).ok()?.parse().ok())?;
        line.refused
    }

    /// The next request is expected from here on.
    pub(crate) fn expect_next(&self) {
        let mut line = self.0.lock();
        (line.begun, line.received) = (false, false);
    }

    /// hyper has passed the request on: the next response is not its own.
    pub(crate) fn mark_received(&self) {
        self.0.lock().received = true;
    }

    /// The status with which hyper refused the last request.
    pub(crate) fn refused(&self) -> Option<u16> {
        self.0.lock().refused
    }

    /// True where bytes arrived since then.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.lock().begun
    }

    /// The first byte of the line, where one was captured.
    pub(crate) fn first_byte(&self) -> Option<u8> {
        self.0.lock().bytes.first().copied()
    }

    /// The part of the target that `http::Uri` cannot represent, and how to write it instead.
    pub(crate) fn objection(&self) -> Option<String> {
        let line = self.0.lock();
        let (_, target) = parts(&line.bytes)?;
        let byte = first_unsupported_byte(target)?;
        let shown = match byte {
            byte if byte.is_ascii_graphic() => format!(" ({})", char::from(byte)),
            _ => String::new(),
        };
        Some(format!(
            "the request target has the byte 0x{byte:02X}{shown}, which is written %{byte:02X} in a URL"
        ))
    }

    /// The same for a request from which hyper removed the fragment.
    pub(crate) fn fragment_objection<B>(&self, request: &Request<B>) -> Option<String> {
        let taken = request
            .uri()
            .path_and_query()
            .map_or("/", PathAndQuery::as_str);
        let is_cut = {
            let line = self.0.lock();
            parts(&line.bytes).is_some_and(|(method, target)| {
                let fragment = target.iter().position(|byte| *byte == b'#');
                let before = fragment.and_then(|at| target.get(..at));
                method == request.method().as_str().as_bytes()
                    && before.is_some_and(|before| before.ends_with(taken.as_bytes()))
            })
        };
        is_cut.then(|| self.objection()).flatten()
    }
}

/// Method and target of a request line; `None` where it is malformed.
fn parts(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii();
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (method, rest) = (line.get(..space)?, line.get(space + 1..)?);
    let version = rest.windows(6).rposition(|window| window == b" HTTP/");
    let target = rest.get(..version?)?;
    (!method.is_empty() && method.iter().all(u8::is_ascii_uppercase)).then_some((method, target))
}

/// The first byte of `target` that `http::Uri` refuses or cuts off.
fn first_unsupported_byte(target: &[u8]) -> Option<u8> {
    let mut query = false;
    for byte in target {
        query |= *byte == b'?';
        let sample: &[u8] = if query {
            &[b'/', b'?', *byte]
        } else {
            &[b'/', *byte]
        };
        if *byte == b'#' || byte.is_ascii() && PathAndQuery::try_from(sample).is_err() {
            return Some(*byte);
        }
    }
    let error = std::str::from_utf8(target).err()?;
    target.get(error.valid_up_to()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objection(pieces: &[&[u8]]) -> Option<String> {
        let line = RequestLine::default();
        for piece in pieces {
            line.record(piece);
        }
        line.objection()
    }

    #[test]
    fn an_unsupported_byte_is_reported_with_its_escape() {
        for (line, escape) in [
            (&b"GET /a<b HTTP/1.1\r\nHost: x\r\n\r\n"[..], "%3C"),
            (b"GET /a`b HTTP/1.1\r\n", "%60"),
            (b"GET /a?x=\"1\" HTTP/1.1\r\n", "%22"),
            (b"GET /a#b HTTP/1.1\r\n", "%23"),
            (b"GET /a b HTTP/1.1\r\n", "%20"),
            (b"GET http://h/a>b HTTP/1.1\r\n", "%3E"),
            // The bytes before it in the same read are no line.
            (b"\r\n\r\nGET /a<b HTTP/1.1\r\n", "%3C"),
            (b"GET /\xff HTTP/1.1\r\n", "%FF"),
        ] {
            let text = objection(&[line]).unwrap();
            assert!(text.contains(escape), "{text}");
        }
        for line in [
            &b"GET /a?b=|^{}\\ HTTP/1.1\r\n"[..],
            b"GET /\xc3\xa4 HTTP/1.1\r\n",
            b"nonsense\r\n",
            b"x=<1>&y HTTP/1.1\r\n",
            b"",
        ] {
            let uri = parts(line.split(|byte| *byte == b'\r').next().unwrap());
            let held = uri.is_none_or(|(_, target)| PathAndQuery::try_from(target).is_ok());
            assert_eq!(objection(&[line]).is_none(), held, "{line:?}");
        }
    }

    #[test]
    fn a_line_in_pieces_is_joined_and_later_lines_ignored() {
        let text = objection(&[
            b"\r\n",
            b"GET /",
            b"<",
            b" HTTP/1.1\r",
            b"\nGET /> HTTP/1.1\r\n",
        ]);
        assert!(text.unwrap().contains("%3C"));
        let line = RequestLine::default();
        line.record(b"GET /< HTTP/1.1\r\n");
        line.mark_responded(b"");
        line.record(b"GET /> HTTP/1.1\r\n");
        assert!(line.objection().unwrap().contains("%3E"));
        line.mark_responded(b"");
        line.record(&vec![b'<'; 3 * MAX_LINE]);
        assert!(line.0.lock().bytes.len() <= MAX_LINE);
    }

    #[test]
    fn a_removed_fragment_is_reported() {
        let line = RequestLine::default();
        line.record(b"GET /a?b#c HTTP/1.1\r\n");
        let request = |uri: &str| Request::get(uri).body(()).unwrap();
        assert!(
            line.fragment_objection(&request("/a?b"))
                .unwrap()
                .contains("%23")
        );
        assert_eq!(line.fragment_objection(&request("/other")), None);
    }
}
