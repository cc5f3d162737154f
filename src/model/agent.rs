//! The client's product name from its `User-Agent` (RFC 9110, section 10.1.5), and known behaviour of such clients.

/// The first product of a `User-Agent` that is not `unknown`.
///
/// huggingface_hub writes `unknown/None; hf_hub/2.4.0; python/3.11.2` where the library that uses it has not set its name
/// (`utils/_headers.py`, `_http_user_agent`).
pub(crate) fn product(agent: &str) -> Option<&str> {
    let products = agent.split([' ', '\t', ';']);
    let mut products = products.filter(|product| !product.is_empty());
    products.find(|product| !product.starts_with("unknown/"))
}

/// Whether this client may check the certificate after the handshake and then close without an alert.
///
/// libcurl with GnuTLS does (`lib/vtls/gtls.c`, `Curl_gtls_verifyserver`), which Debian's git uses; so do Wget (`src/gnutls.c`,
/// `ssl_check_certificate`) and aria2 (`src/LibgnutlsTLSSession.cc`).
pub(crate) fn verifies_late(agent: &str) -> bool {
    let mut late = ["git/", "curl/", "libcurl/", "Wget/", "aria2/"].into_iter();
    product(agent).is_some_and(|product| late.any(|name| product.starts_with(name)))
}

/// Whether this client opens connections that it may not use, and closes them at any time.
///
/// Go does: a request uses a new connection or one that becomes free, whichever is first (`net/http/transport.go`, `getConn`). Go sends its
/// own name in a CONNECT, whatever the program. It reports an untrusted certificate with an alert.
pub(crate) fn opens_in_reserve(agent: &str) -> bool {
    let mut go = ["Go-http-client/", "git-lfs/"].into_iter();
    product(agent).is_some_and(|product| go.any(|name| product.starts_with(name)))
}

#[cfg(test)]
mod tests {
    use super::{opens_in_reserve, product, verifies_late};

    #[test]
    fn git_and_curl_verify_late_and_go_programs_open_connections_in_reserve() {
        for (agent, late, reserve) in [
            ("git/2.39.5", true, false),
            ("curl/7.88.1", true, false),
            ("Go-http-client/1.1", false, true),
            (
                "git-lfs/3.3.0 (GitHub; linux amd64; go 1.19.8)",
                false,
                true,
            ),
            ("unknown/None; hf_hub/2.4.0; python/3.11.2", false, false),
            ("", false, false),
        ] {
            assert_eq!(verifies_late(agent), late, "{agent:?}");
            assert_eq!(opens_in_reserve(agent), reserve, "{agent:?}");
        }
    }

    #[test]
    fn the_first_known_product_is_the_client() {
        for (agent, client) in [
            ("git/2.39.5", Some("git/2.39.5")),
            (
                "git-lfs/3.3.0 (GitHub; linux amd64; go 1.19.8)",
                Some("git-lfs/3.3.0"),
            ),
            (
                "unknown/None; hf_hub/2.4.0; python/3.11.2",
                Some("hf_hub/2.4.0"),
            ),
            ("transformers/5.0; hf_hub/2.4.0", Some("transformers/5.0")),
            ("unknown/None", None),
            (" ; ", None),
        ] {
            assert_eq!(product(agent), client, "{agent:?}");
        }
    }
}
