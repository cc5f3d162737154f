//! Where a message's body ends (RFC 9112, section 6). Framing that hyper reads in one way and another party may read in another is refused.
//!
//! [`exchange`](super::exchange) calls this with the head of a request, and with the head of a response before it reaches the client.

use hyper::{
    HeaderMap, Response, Version,
    body::Body,
    header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING},
};

/// What is wrong with a request's framing. Origin and gitferry must agree on the end of the body.
pub(crate) fn request_objection(headers: &HeaderMap) -> Option<&'static str> {
    if headers.contains_key(TRANSFER_ENCODING) && codings(headers) != [&b"chunked"[..]] {
        return Some("the request has a Transfer-Encoding other than chunked");
    }
    let malformed = "the request has differing or malformed Content-Length values";
    length(headers).is_err().then_some(malformed)
}

/// Closes the connection after this response, because the start of the next request is uncertain (RFC 9112, section 6.3).
pub(crate) fn close(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

/// What is wrong with a response's framing. Otherwise the client would read its transfer coding as content.
///
/// A leading `identity` (RFC 2616, section 3.6) has no effect; clients ignore it.
pub(crate) fn response_objection(headers: &HeaderMap) -> Option<&'static str> {
    if headers.contains_key(TRANSFER_ENCODING) {
        let codings = codings(headers);
        let known = codings.iter().position(|coding| *coding != b"identity");
        let last = codings.len().checked_sub(1);
        let chunked = codings.last().is_some_and(|coding| *coding == b"chunked");
        let readable = known.is_none() || known == last && chunked;
        if codings.is_empty() || !readable {
            return Some("the response has a transfer coding other than chunked");
        }
    }
    let malformed = "the response has differing or malformed Content-Length values";
    length(headers).is_err().then_some(malformed)
}

/// True where only the end of the connection marks the end of the response (RFC 9112, section 6.3).
pub(crate) fn is_close_delimited(response: &Response<impl Body>) -> bool {
    let chunked = || {
        let codings = codings(response.headers());
        codings.last().is_some_and(|coding| coding == b"chunked")
    };
    let length = response.body().size_hint().exact();
    length.is_none() && response.version() < Version::HTTP_2 && !chunked()
}

/// Merges several equal lengths into one (RFC 9110, section 8.6).
pub(crate) fn merge_lengths(headers: &mut HeaderMap) {
    if members(headers, &CONTENT_LENGTH).nth(1).is_some()
        && let Ok(Some(length)) = length(headers)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// The length in the head; fails where a value is invalid, or two differ.
fn length(headers: &HeaderMap) -> Result<Option<u64>, ()> {
    let mut known = None;
    for member in members(headers, &CONTENT_LENGTH) {
        let digits = !member.is_empty() && member.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(member)
            .ok()
            .filter(|_| digits)
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or(())?;
        if known.is_some_and(|known| known != length) {
            return Err(());
        }
        known = Some(length);
    }
    Ok(known)
}

/// The codings of a body in their order.
fn codings(headers: &HeaderMap) -> Vec<Vec<u8>> {
    members(headers, &TRANSFER_ENCODING)
        .filter(|coding| !coding.is_empty())
        .map(<[u8]>::to_ascii_lowercase)
        .collect()
}

/// The members of a list that may be spread over several fields (RFC 9110, section 5.6.1).
fn members<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h [u8]> {
    let values = headers.get_all(name).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body of unknown length.
    struct Endless;

    impl Body for Endless {
        type Data = hyper::body::Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }

    fn fields(name: HeaderName, values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| value.parse().unwrap());
        values.map(|value| (name.clone(), value)).collect()
    }

    #[test]
    fn a_request_with_a_transfer_coding_other_than_chunked_is_refused() {
        for values in [&[][..], &["chunked"], &[" Chunked "], &["chunked,"]] {
            let headers = fields(TRANSFER_ENCODING, values);
            assert_eq!(request_objection(&headers), None, "{values:?}");
        }
        for values in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["chunked", "chunked"],
            &["identity"],
            &["identity, chunked"],
            &["chunked;q=1"],
            &["xchunked"],
            &[""],
            &["\u{e9}chunked"],
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(TRANSFER_ENCODING, value);
            }
            assert!(request_objection(&headers).is_some(), "{headers:?}");
        }
    }

    #[test]
    fn a_response_without_length_or_chunks_is_close_delimited() {
        for (values, ends) in [
            (&[][..], true),
            (&["identity"], true),
            (&["chunked"], false),
            (&["identity, chunked"], false),
        ] {
            let mut response = Response::new(Endless);
            *response.headers_mut() = fields(TRANSFER_ENCODING, values);
            assert_eq!(is_close_delimited(&response), ends, "{values:?}");
        }
    }

    #[test]
    fn a_response_with_a_transfer_coding_other_than_chunked_is_refused() {
        for values in [
            &[][..],
            &["chunked"],
            &["identity"],
            &["identity, chunked"],
            &["Identity", "CHUNKED"],
        ] {
            let headers = fields(TRANSFER_ENCODING, values);
            assert_eq!(response_objection(&headers), None, "{values:?}");
        }
        for values in [
            &["gzip"][..],
            &["gzip, chunked"],
            &["chunked, gzip"],
            &["chunked, identity"],
            &["chunked", "chunked"],
            &["chunked;x"],
            &[""],
        ] {
            let headers = fields(TRANSFER_ENCODING, values);
            assert!(response_objection(&headers).is_some(), "{values:?}");
        }
    }

    #[test]
    fn equal_lengths_are_merged_and_differing_or_malformed_ones_refused() {
        for (values, one) in [
            (&["5"][..], "5"),
            (&["5", "5"], "5"),
            (&["5, 5"], "5"),
            (&["005", "5"], "5"),
        ] {
            let mut headers = fields(CONTENT_LENGTH, values);
            assert_eq!(request_objection(&headers), None, "{values:?}");
            assert_eq!(response_objection(&headers), None, "{values:?}");
            merge_lengths(&mut headers);
            let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(lengths, [one], "{values:?}");
        }
        for values in [
            &["5", "6"][..],
            &["5, 6"],
            &["5,"],
            &["+5"],
            &["-5"],
            &["5x"],
            &["0x5"],
            &[""],
            &["99999999999999999999"],
        ] {
            let headers = fields(CONTENT_LENGTH, values);
            assert!(request_objection(&headers).is_some(), "{values:?}");
            assert!(response_objection(&headers).is_some(), "{values:?}");
        }
    }
}
