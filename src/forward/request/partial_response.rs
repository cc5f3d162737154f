//! Which downloads can be resumed after a break, and how the rest is requested (RFC 9110, sections 13.1.5, 14.2 and 15.3.7).
//!
//! Pure. Only a GET whose response has a strong validator and a known length: then the rest belongs to the same bytes, or the origin reports
//! that they changed and the download fails as without resumption.

use std::ops::Range;

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        HeaderName, HeaderValue, IF_RANGE, RANGE,
    },
};

use crate::{
    forward::headers,
    model::{Fault, FaultKind, Leg, Stage},
};

/// The bytes that a response promised; the validator identifies their representation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartialResponse {
    first: u64,
    last: u64,
    /// The length of the whole, where known.
    complete: Option<u64>,
    etag: HeaderValue,
    /// `Content-Encoding`: with another coding the bytes differ.
    encoding: Option<HeaderValue>,
}

impl PartialResponse {
    /// The part that `response` promises; `None` where its rest cannot be requested.
    pub(crate) fn of(method: &Method, status: StatusCode, response: &HeaderMap) -> Option<Self> {
        let text = |name| headers::text(response, &name);
        let etag = single(response, &ETAG)?.clone();
        let strong = etag.as_bytes().starts_with(b"\"");
        let refuses = text(ACCEPT_RANGES).is_some_and(|units| units.eq_ignore_ascii_case("none"));
        let codings = response.get_all(CONTENT_ENCODING).iter().count();
        if method != Method::GET || !strong || refuses || codings > 1 {
            return None;
        }
        let length: u64 = text(CONTENT_LENGTH)?.parse().ok()?;
        let (first, last, complete) = match status {
            StatusCode::OK => (0, length.checked_sub(1)?, Some(length)),
            StatusCode::PARTIAL_CONTENT => received_range(response)?,
            _ => return None,
        };
        (last.checked_sub(first)?.checked_add(1)? == length).then_some(Self {
            first,
            last,
            complete,
            etag,
            encoding: response.get(CONTENT_ENCODING).cloned(),
        })
    }

    /// How many bytes were promised.
    pub(crate) fn length(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// True for a whole representation without a content coding.
    pub(crate) fn is_plain_whole(&self) -> bool {
        self.first == 0 && self.complete == Some(self.length()) && self.encoding.is_none()
    }

    /// Requests the bytes after the first `got`. Fails where there are none.
    pub(crate) fn request_rest(&self, got: u64, request: &mut HeaderMap) -> Result<(), Fault> {
        self.request_range(&(got..self.length()), request)
    }

    /// Requests this range of its bytes. Fails where it is empty.
    pub(crate) fn request_range(
        &self,
        bytes: &Range<u64>,
        request: &mut HeaderMap,
    ) -> Result<(), Fault> {
        let range = self
            .absolute(bytes)
            .and_then(|(first, last)| HeaderValue::try_from(format!("bytes={first}-{last}")).ok());
        let Some(range) = range else {
            let fault = Fault::new(Leg::Origin, Stage::ReceivingBody, FaultKind::BadAnswer);
            return Err(fault.detail("no part of the response is missing"));
        };
        request.insert(RANGE, range);
        request.insert(IF_RANGE, self.etag.clone());
        Ok(())
    }

    /// First and last byte of the representation; `None` where `bytes` are outside this part.
    fn absolute(&self, bytes: &Range<u64>) -> Option<(u64, u64)> {
        let first = self.first.checked_add(bytes.start)?;
        let last = self.first.checked_add(bytes.end.checked_sub(1)?)?;
        (first <= last && last <= self.last).then_some((first, last))
    }

    /// True where `response` is exactly the requested rest after `got` bytes: the same range of the same representation.
    pub(crate) fn is_continued_by(
        &self,
        got: u64,
        status: StatusCode,
        response: &HeaderMap,
    ) -> bool {
        self.is_range(&(got..self.length()), status, response)
    }

    /// True where `response` has exactly this range.
    ///
    /// A 206 carries its validator where the 200 did (RFC 9110, section 15.3.7). Some servers ignore `If-Range` and send part of another version
    /// without a validator; then the lengths differ.
    pub(crate) fn is_range(
        &self,
        bytes: &Range<u64>,
        status: StatusCode,
        response: &HeaderMap,
    ) -> bool {
        let text = |name| headers::text(response, &name);
        let Some((first, last, complete)) = received_range(response) else {
            return false;
        };
        let codings = response.get_all(CONTENT_ENCODING);
        let same_whole = complete
            .zip(self.complete)
            .is_none_or(|(now, then)| now == then);
        let length = text(CONTENT_LENGTH).map(str::parse);
        let wanted = bytes.end.saturating_sub(bytes.start);
        status == StatusCode::PARTIAL_CONTENT
            && Some((first, last)) == self.absolute(bytes)
            && same_whole
            && length.is_none_or(|length| length == Ok(wanted))
            && single(response, &ETAG) == Some(&self.etag)
            && codings.iter().eq(self.encoding.as_ref())
    }

    /// True where `response` says that the requested representation is gone: another version, or another length.
    pub(crate) fn is_gone(&self, status: StatusCode, response: &HeaderMap) -> bool {
        status == StatusCode::RANGE_NOT_SATISFIABLE
            || status.is_success() && response.get(ETAG).is_some_and(|etag| *etag != self.etag)
    }
}

/// The value of a field that occurs once. Of several values nobody knows which one holds.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// First, last and the whole's length, where the body is that range. In a multipart body the ranges are between other bytes, whatever
/// `Content-Range` says (RFC 9110, section 15.3.7.2).
fn received_range(response: &HeaderMap) -> Option<(u64, u64, Option<u64>)> {
    const MULTIPART: &[u8] = b"multipart/byteranges";
    let is_multipart = response.get_all(CONTENT_TYPE).iter().any(|value| {
        let kind = value.as_bytes().trim_ascii_start().get(..MULTIPART.len());
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case(MULTIPART))
    });
    if is_multipart {
        return None;
    }
    content_range(single(response, &CONTENT_RANGE)?.to_str().ok()?)
}

/// `bytes 0-9/100` or `bytes 0-9/*`: first, last and the whole's length.
fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (unit, rest) = text.split_once(' ')?;
    let (range, complete) = rest.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let complete = match complete {
        "*" => None,
        length => Some(length.parse().ok()?),
    };
    unit.eq_ignore_ascii_case("bytes").then_some((
        first.parse().ok()?,
        last.parse().ok()?,
        complete,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    fn part(status: u16, list: &[(&'static str, &str)]) -> Option<PartialResponse> {
        PartialResponse::of(
            &Method::GET,
            StatusCode::from_u16(status).unwrap(),
            &headers(list),
        )
    }

    const WHOLE: [(&str, &str); 2] = [("etag", "\"v1\""), ("content-length", "1000")];

    #[test]
    fn the_rest_is_requested_with_range_and_if_range() {
        let part = part(200, &WHOLE).unwrap();
        let mut request = headers(&[("accept", "*/*")]);
        part.request_rest(600, &mut request).unwrap();
        assert_eq!(request[RANGE], "bytes=600-999");
        assert_eq!(request[IF_RANGE], "\"v1\"");
        assert!(part.request_rest(1000, &mut request).is_err());
    }

    #[test]
    fn the_rest_of_a_part_counts_from_the_parts_start() {
        let part = part(
            206,
            &[
                ("etag", "\"v1\""),
                ("content-length", "100"),
                ("content-range", "bytes 400-499/1000"),
            ],
        )
        .unwrap();
        let mut request = HeaderMap::new();
        part.request_rest(1, &mut request).unwrap();
        assert_eq!(request[RANGE], "bytes=401-499");
    }

    #[test]
    fn only_the_requested_range_of_the_same_version_continues_a_response() {
        let part = part(200, &WHOLE).unwrap();
        let continued = |status: u16, list: &[(&'static str, &str)]| {
            part.is_continued_by(600, StatusCode::from_u16(status).unwrap(), &headers(list))
        };
        let (range, etag) = (("content-range", "bytes 600-999/1000"), ("etag", "\"v1\""));
        assert!(continued(206, &[range, etag]));
        assert!(continued(206, &[range, etag, ("content-length", "400")]));
        assert!(continued(
            206,
            &[("content-range", "bytes 600-999/*"), etag]
        ));
        // If-Range did not match: the whole of another version.
        assert!(!continued(200, &WHOLE));
        for other in [
            vec![range, ("etag", "\"v2\"")],
            // A server that ignores If-Range may omit the validator; the length shows the other version.
            vec![range],
            vec![("content-range", "bytes 600-999/5000"), etag],
            vec![range, etag, ("content-encoding", "gzip")],
            // Two values: a client or a proxy on the path may use the other one.
            vec![range, etag, ("etag", "\"v2\"")],
            vec![range, ("content-range", "bytes 601-1000/1001"), etag],
            // Parts with their heads in between, although the length fits.
            vec![
                range,
                etag,
                ("content-length", "400"),
                ("content-type", "Multipart/ByteRanges; boundary=x"),
            ],
            vec![range, etag, ("content-length", "300")],
            vec![range, etag, ("content-length", "500")],
            vec![("content-range", "bytes 599-999/1000"), etag],
            vec![("content-range", "bytes 600-998/1000"), etag],
            vec![etag],
        ] {
            assert!(!continued(206, &other), "{other:?}");
        }
        assert!(!continued(416, &[("content-range", "bytes */500")]));
        let gone = |status: u16, list: &[(&'static str, &str)]| {
            part.is_gone(StatusCode::from_u16(status).unwrap(), &headers(list))
        };
        assert!(gone(416, &[]) && gone(200, &[("etag", "\"v2\"")]));
        assert!(!gone(403, &[]) && !gone(200, &WHOLE) && !gone(206, &[range]));
    }

    #[test]
    fn a_response_without_strong_validator_and_length_is_not_resumable() {
        let length = ("content-length", "1000");
        for (status, list) in [
            (200, vec![length]),
            (200, vec![length, ("etag", "W/\"v1\"")]),
            (200, vec![("etag", "\"v1\"")]),
            (200, vec![WHOLE[0], ("etag", "\"v2\""), WHOLE[1]]),
            (200, vec![WHOLE[0], WHOLE[1], ("accept-ranges", "none")]),
            (200, vec![WHOLE[0], ("content-length", "0")]),
            (404, WHOLE.to_vec()),
            (206, WHOLE.to_vec()),
            (
                206,
                vec![WHOLE[0], WHOLE[1], ("content-range", "bytes 0-9/10")],
            ),
            (
                206,
                vec![WHOLE[0], WHOLE[1], ("content-range", "bytes 9-0/10")],
            ),
            (
                206,
                vec![
                    WHOLE[0],
                    WHOLE[1],
                    ("content-range", "bytes 0-18446744073709551615/*"),
                ],
            ),
        ] {
            assert_eq!(part(status, &list), None, "{status} {list:?}");
        }
        let head = PartialResponse::of(&Method::HEAD, StatusCode::OK, &headers(&WHOLE));
        assert_eq!(head, None);
    }
}
