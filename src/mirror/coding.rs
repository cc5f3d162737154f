//! Content codings of a response that is to be rewritten (RFC 9110, section 8.4.1): gzip and deflate, up to a limit.
//!
//! gitferry requests `identity`, but some origins and middleboxes compress anyway. `br` and `zstd`, which no server uses unless asked, are
//! not decoded: such a response is not rewritten.

use std::{
    fmt,
    io::{self, Read},
};

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use hyper::{HeaderMap, header::CONTENT_ENCODING};

/// The content coding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// No coding.
    Identity,
    /// RFC 1952; `x-gzip` is the same.
    Gzip,
    /// RFC 1950; some origins omit its two header bytes (RFC 9110, section 8.4.1.2).
    Deflate,
    /// Another coding, or several.
    Unknown,
}

/// Why a body is not decoded.
#[derive(Debug)]
pub(crate) enum DecodeError {
    /// The decoded body would exceed this many bytes.
    TooLarge(usize),
    /// It is truncated or damaged, or does not match its `Content-Encoding`.
    Damaged(io::Error),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(limit) => write!(
                f,
                "the decompressed body is larger than `max_body` of `[rewrite]`, {limit} bytes"
            ),
            Self::Damaged(error) => write!(f, "the body cannot be decompressed: {error}"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl Coding {
    /// The coding that the head declares.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut coding = Self::Identity;
        let values = headers.get_all(CONTENT_ENCODING).iter();
        for name in values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')) {
            let next = match name.trim_ascii().to_ascii_lowercase().as_slice() {
                b"" | b"identity" => continue,
                b"gzip" | b"x-gzip" => Self::Gzip,
                b"deflate" => Self::Deflate,
                _ => Self::Unknown,
            };
            coding = match coding {
                Self::Identity => next,
                Self::Gzip | Self::Deflate | Self::Unknown => Self::Unknown,
            };
        }
        coding
    }

    /// Decodes `body`, up to `limit` bytes: nothing beyond the limit is decompressed or kept.
    ///
    /// Fails where the body is damaged, its coding is unknown, or the result exceeds `limit`.
    pub(crate) fn decode(self, body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeError> {
        match self {
            Self::Identity => Ok(body.to_vec()),
            Self::Gzip => read(MultiGzDecoder::new(body), limit),
            // A zlib header is a multiple of 31 with method 8 (RFC 1950, section 2.2).
            Self::Deflate => match body {
                [first, second, ..]
                    if first & 0x0f == 8
                        && u16::from_be_bytes([*first, *second]).is_multiple_of(31) =>
                {
                    read(ZlibDecoder::new(body), limit)
                }
                _ => read(DeflateDecoder::new(body), limit),
            },
            Self::Unknown => Err(DecodeError::Damaged(io::ErrorKind::Unsupported.into())),
        }
    }
}

fn read(from: impl Read, limit: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoded = Vec::new();
    let read_limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    from.take(read_limit)
        .read_to_end(&mut decoded)
        .map_err(DecodeError::Damaged)?;
    if decoded.len() > limit {
        return Err(DecodeError::TooLarge(limit));
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use hyper::header::HeaderValue;

    use super::*;

    const TEXT: &[u8] = b"{\"objects\":[]}";

    macro_rules! packed {
        ($encoder:ident, $bytes:expr) => {{
            let mut encoder = $encoder::new(Vec::new(), Compression::best());
            encoder.write_all($bytes).unwrap();
            encoder.finish().unwrap()
        }};
    }

    fn of(values: &[&'static str]) -> Coding {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        Coding::of(&headers)
    }

    #[test]
    fn the_coding_follows_from_content_encoding() {
        for (values, coding) in [
            (&[][..], Coding::Identity),
            (&["identity"], Coding::Identity),
            (&["GZip"], Coding::Gzip),
            (&["x-gzip"], Coding::Gzip),
            (&["identity, gzip"], Coding::Gzip),
            (&[" deflate "], Coding::Deflate),
            (&["br"], Coding::Unknown),
            (&["gzip, gzip"], Coding::Unknown),
            (&["gzip", "deflate"], Coding::Unknown),
            (&["zstd, gzip"], Coding::Unknown),
        ] {
            assert_eq!(of(values), coding, "{values:?}");
        }
    }

    #[test]
    fn each_coding_is_decoded() {
        let two = [
            packed!(GzEncoder, &TEXT[..5]),
            packed!(GzEncoder, &TEXT[5..]),
        ]
        .concat();
        for (coding, body) in [
            (Coding::Gzip, packed!(GzEncoder, TEXT)),
            (Coding::Gzip, two),
            (Coding::Deflate, packed!(ZlibEncoder, TEXT)),
            (Coding::Deflate, packed!(DeflateEncoder, TEXT)),
            (Coding::Identity, TEXT.to_vec()),
        ] {
            let decoded = coding.decode(&body, TEXT.len()).unwrap();
            assert_eq!(decoded, TEXT, "{coding:?}");
        }
    }

    #[test]
    fn a_body_beyond_the_limit_is_not_decompressed_further() {
        // A thousand times smaller than what it stands for.
        let bomb = packed!(GzEncoder, &vec![b' '; 64 * 1024 * 1024]);
        assert!(bomb.len() < 128 * 1024);
        let error = Coding::Gzip.decode(&bomb, 1000).unwrap_err();
        assert!(matches!(error, DecodeError::TooLarge(1000)), "{error}");
        assert!(error.to_string().contains("`max_body` of `[rewrite]`"));
    }

    #[test]
    fn a_truncated_body_fails_and_a_damaged_one_does_not_panic() {
        let whole = packed!(GzEncoder, TEXT);
        for length in 0..whole.len() {
            let cut = Coding::Gzip.decode(&whole[..length], 1000);
            assert!(cut.is_err(), "{length}");
        }
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let mut noise = whole.clone();
            let at = random.usize(..noise.len());
            noise[at] = random.u8(..);
            for coding in [Coding::Gzip, Coding::Deflate, Coding::Unknown] {
                let _ = coding.decode(&noise, 1000);
            }
        }
        assert!(Coding::Gzip.decode(TEXT, 1000).is_err());
    }
}
