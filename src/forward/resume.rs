//! Which downloads can go on after a break, and how the rest is asked for (RFC 9110, sections 13.1.5, 14.2 and 15.3.7).
//!
//! Pure. Only a GET whose answer has a strong validator and a known length: the rest is then the rest of the same bytes, or the
//! origin says that they have changed and the download ends as it would have.

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE, RANGE},
};

/// The bytes that an answer promised, of a representation that is known again by its validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    first: u64,
    last: u64,
    etag: HeaderValue,
}

impl Part {
    /// What `answer` promises; `None` where its rest could not be asked for.
    pub fn of(method: &Method, status: StatusCode, answer: &HeaderMap) -> Option<Self> {
        let text = |name| {
            answer
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let etag = answer.get(ETAG)?.clone();
        let strong = etag.as_bytes().starts_with(b"\"");
        let refuses = text(ACCEPT_RANGES).is_some_and(|units| units.eq_ignore_ascii_case("none"));
        if method != Method::GET || !strong || refuses {
            return None;
        }
        let length: u64 = text(CONTENT_LENGTH)?.parse().ok()?;
        let (first, last) = match status {
            StatusCode::OK => (0, length.checked_sub(1)?),
            StatusCode::PARTIAL_CONTENT => content_range(text(CONTENT_RANGE)?)?,
            _ => return None,
        };
        (last.checked_sub(first)?.checked_add(1)? == length).then_some(Self { first, last, etag })
    }

    /// Asks for what is missing after `got` bytes; `false` where nothing is.
    pub fn ask(&self, got: u64, request: &mut HeaderMap) -> bool {
        let Some(first) = self
            .first
            .checked_add(got)
            .filter(|first| *first <= self.last)
        else {
            return false;
        };
        let Ok(range) = HeaderValue::try_from(format!("bytes={first}-{}", self.last)) else {
            return false;
        };
        request.insert(RANGE, range);
        request.insert(IF_RANGE, self.etag.clone());
        true
    }

    /// True where `answer` is exactly what was asked for after `got` bytes.
    pub fn goes_on(&self, got: u64, status: StatusCode, answer: &HeaderMap) -> bool {
        let range = answer
            .get(CONTENT_RANGE)
            .and_then(|value| value.to_str().ok())
            .and_then(content_range);
        status == StatusCode::PARTIAL_CONTENT
            && range == Some((self.first + got, self.last))
            && answer.get(ETAG).is_none_or(|etag| *etag == self.etag)
    }
}

/// `bytes 0-9/100` or `bytes 0-9/*`; a list of ranges comes as multipart and has none.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (unit, rest) = text.split_once(' ')?;
    let (range, _) = rest.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    unit.eq_ignore_ascii_case("bytes")
        .then_some((first.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| {
                (
                    hyper::header::HeaderName::from_static(name),
                    value.parse().unwrap(),
                )
            })
            .collect()
    }

    fn part(status: u16, list: &[(&'static str, &str)]) -> Option<Part> {
        Part::of(
            &Method::GET,
            StatusCode::from_u16(status).unwrap(),
            &headers(list),
        )
    }

    const WHOLE: [(&str, &str); 2] = [("etag", "\"v1\""), ("content-length", "1000")];

    #[test]
    fn the_rest_of_a_whole_answer_is_asked_for_by_its_validator() {
        let part = part(200, &WHOLE).unwrap();
        let mut request = headers(&[("accept", "*/*")]);
        assert!(part.ask(600, &mut request));
        assert_eq!(request[RANGE], "bytes=600-999");
        assert_eq!(request[IF_RANGE], "\"v1\"");
        assert!(!part.ask(1000, &mut request));
    }

    #[test]
    fn the_rest_of_a_part_is_counted_from_where_the_part_began() {
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
        assert!(part.ask(1, &mut request));
        assert_eq!(request[RANGE], "bytes=401-499");
    }

    #[test]
    fn only_exactly_the_rest_is_taken() {
        let part = part(200, &WHOLE).unwrap();
        let answered = |status: u16, list: &[(&'static str, &str)]| {
            part.goes_on(600, StatusCode::from_u16(status).unwrap(), &headers(list))
        };
        assert!(answered(206, &[("content-range", "bytes 600-999/1000")]));
        assert!(answered(
            206,
            &[("content-range", "bytes 600-999/*"), ("etag", "\"v1\"")]
        ));
        // If-Range did not hold: the whole of something else.
        assert!(!answered(200, &WHOLE));
        assert!(!answered(
            206,
            &[("content-range", "bytes 600-999/1000"), ("etag", "\"v2\"")]
        ));
        assert!(!answered(206, &[("content-range", "bytes 599-999/1000")]));
        assert!(!answered(206, &[("content-range", "bytes 600-998/1000")]));
        assert!(!answered(206, &[]));
        assert!(!answered(416, &[("content-range", "bytes */500")]));
    }

    #[test]
    fn what_could_be_other_bytes_is_not_gone_on_with() {
        let length = ("content-length", "1000");
        for (status, list) in [
            (200, vec![length]),
            (200, vec![length, ("etag", "W/\"v1\"")]),
            (200, vec![("etag", "\"v1\"")]),
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
        let head = Part::of(&Method::HEAD, StatusCode::OK, &headers(&WHOLE));
        assert_eq!(head, None);
    }
}
