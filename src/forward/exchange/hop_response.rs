//! Responses made by a hop itself: to plain requests in absolute form, and inside TLS where the hop intercepts.
//!
//! The client must not mistake them for the site's responses: at a 401, git erases the password that it stored for the site.

use hyper::{
    HeaderMap, Response, StatusCode,
    ext::ReasonPhrase,
    header::{
        CONTENT_TYPE, HeaderName, HeaderValue, PROXY_AUTHENTICATE, SERVER, VIA, WWW_AUTHENTICATE,
    },
};

use crate::{
    forward::upstream::pool::ConnectionInfo,
    model::{Fault, FaultKind, Leg, Stage, fault::HopLogin},
};

/// squid puts its reason here, also with custom error pages.
const X_SQUID_ERROR: HeaderName = HeaderName::from_static("x-squid-error");

/// The challenge of tinyproxy 1.11.1, for a wrong password and for a missing one.
const TINYPROXY_CHALLENGE: &str = "Basic realm=\"Tinyproxy\"";

/// `Server` values of proxies in their own responses; forwarded responses keep the origin's value.
const PROXY_SERVERS: [&str; 8] = [
    "squid",
    "tinyproxy",
    "privoxy",
    "mitmproxy",
    "proxy.py",
    "cntlm",
    "http-mitm-proxy",
    "bluecoat",
];

/// The fault of a response with which a plain HTTP hop requests credentials. gitferry sends them: the hop must not see the client's
/// password.
///
/// tinyproxy answers a wrong password with 401.
pub(super) fn credentials_fault<B>(response: &Response<B>, info: &ConnectionInfo) -> Option<Fault> {
    let form = info.absolute_form.as_ref()?;
    let headers = response.headers();
    let asks = match response.status() {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => true,
        StatusCode::UNAUTHORIZED => {
            let mut challenges = headers.get_all(WWW_AUTHENTICATE).iter();
            let is_tinyproxy = server(headers).is_some_and(|s| s.starts_with("tinyproxy"));
            // An origin that is itself tinyproxy uses another realm: its 401 is for the client.
            let is_own_realm = |value: &HeaderValue| value == TINYPROXY_CHALLENGE;
            !headers.contains_key(WWW_AUTHENTICATE) || is_tinyproxy && challenges.all(is_own_realm)
        }
        _ => false,
    };
    if !asks {
        return None;
    }
    let login = HopLogin::of(form.authorization.as_ref());
    let cause = login.cause();
    let basic = headers.get_all(PROXY_AUTHENTICATE).iter().any(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        value.starts_with(b"basic") || value.windows(7).any(|word| word == b", basic")
    });
    let login = match headers.contains_key(PROXY_AUTHENTICATE) && !basic {
        true => HopLogin::OtherScheme,
        false => login,
    };
    let kind = FaultKind::HopAuthentication(login);
    let fault = Fault::new(Leg::Hop, Stage::AwaitingHead, kind);
    Some(fault.peer(info.peer).detail(cause))
}

/// The evidence that a hop made this refusal, as a sentence; `None` where the response seems to be the origin's.
///
/// An origin may be a squid itself. Inside TLS its certificate shows that: certificates of an intercepting hop's CA are in no public log.
pub(super) fn hop_evidence<B>(response: &Response<B>, info: &ConnectionInfo) -> Option<Box<str>> {
    let (status, headers) = (response.status(), response.headers());
    // Only an origin sends these: a hop requests credentials with 407.
    let of_origin = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND);
    if !info.hop || info.genuine || status.as_u16() < 400 || of_origin {
        return None;
    }
    let mut evidence = Vec::new();
    if let Some(error) = headers.get(X_SQUID_ERROR) {
        let error = String::from_utf8_lossy(error.as_bytes());
        evidence.push(format!("X-Squid-Error: {error}"));
    }
    match server(headers) {
        Some(server) if PROXY_SERVERS.iter().any(|proxy| server.starts_with(proxy)) => {
            evidence.push(format!("Server: {server}"));
        }
        // HAProxy and privoxy name themselves in neither field when they answer for a server that they did not reach.
        None if info.absolute_form.is_some()
            && !headers.contains_key(VIA)
            && is_page(headers)
            && (502..=504).contains(&status.as_u16()) =>
        {
            evidence.push("neither `Server` nor `Via`".into());
        }
        Some(_) | None => {}
    }
    if evidence.is_empty() {
        return None;
    }
    let phrase = response.extensions().get::<ReasonPhrase>();
    let phrase = phrase.map(|phrase| String::from_utf8_lossy(phrase.as_bytes()));
    let phrase = phrase.or_else(|| Some(status.canonical_reason()?.into()));
    let text = format!(
        "the hop's own answer: {}; {}",
        phrase.unwrap_or_default(),
        evidence.join("; ")
    );
    let printable = text.chars().filter(|c| !c.is_control());
    Some(printable.take(MAX_SHOWN).collect::<String>().into())
}

/// The most characters shown.
const MAX_SHOWN: usize = 300;

fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

fn server(headers: &HeaderMap) -> Option<String> {
    let server = headers.get(SERVER)?;
    Some(String::from_utf8_lossy(server.as_bytes()).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{forward::upstream::pool::tests::connection_info, net::dial::AbsoluteForm};

    #[tokio::test]
    async fn a_401_or_404_with_a_squids_server_field_is_the_origins() {
        let intercepted = connection_info(true).await;
        for (status, by_hop) in [(401, false), (404, false), (403, true), (503, true)] {
            let response = Response::builder()
                .status(status)
                .header(SERVER, "squid/6.10");
            let response = response.body(()).unwrap();
            let hops = hop_evidence(&response, &intercepted).is_some();
            assert_eq!(hops, by_hop, "{status}");
            let genuine = ConnectionInfo {
                genuine: true,
                ..connection_info(true).await
            };
            assert_eq!(hop_evidence(&response, &genuine), None, "{status}");
        }
    }

    #[tokio::test]
    async fn a_401_of_tinyproxy_or_without_challenge_is_the_hops() {
        let mut info = connection_info(true).await;
        info.absolute_form = Some(AbsoluteForm {
            authorization: None,
            via: true,
        });
        let hops = |challenge: Option<&str>, server: &str| {
            let response = Response::builder().status(401).header(SERVER, server);
            let response = match challenge {
                Some(challenge) => response.header(WWW_AUTHENTICATE, challenge),
                None => response,
            };
            credentials_fault(&response.body(()).unwrap(), &info).is_some()
        };
        assert!(hops(Some(TINYPROXY_CHALLENGE), "tinyproxy/1.11.1"));
        assert!(hops(None, "nginx"));
        assert!(!hops(Some("Basic realm=\"git\""), "tinyproxy/1.11.1"));
        assert!(!hops(Some(TINYPROXY_CHALLENGE), "nginx"));
    }
}
