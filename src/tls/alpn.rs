//! The HTTP version of a connection by ALPN (RFC 7301).

use crate::config::HttpVersion;

/// The versions to offer.
pub(super) fn offered(http: HttpVersion) -> Vec<Vec<u8>> {
    match http {
        HttpVersion::Http1 => vec![b"http/1.1".to_vec()],
        HttpVersion::Http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    }
}

/// The chosen version; HTTP/1.1 where none was chosen.
pub(super) fn chosen(alpn: Option<&[u8]>) -> HttpVersion {
    if alpn == Some(b"h2") {
        HttpVersion::Http2
    } else {
        HttpVersion::Http1
    }
}
