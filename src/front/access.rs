//! The credentials of `[listen]`: which clients must send them, and in which form.
//!
//! Every front accepts `Proxy-Authorization`. The daemon's own pages accept `Authorization`, which has no other use there. On the reverse
//! front `Authorization` is for the origin: a client that cannot set header fields writes `USER:PASSWORD` as the first path segment. A URL
//! with this segment belongs to the reverse front, under any name of this machine, also in absolute form.

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    body::Incoming,
    header::{
        AUTHORIZATION, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
        WWW_AUTHENTICATE,
    },
};
use percent_encoding::{percent_decode, percent_decode_str};
use subtle::ConstantTimeEq;
use tokio::time::{Instant, sleep_until};

use super::own;
use crate::{
    forward::{HttpResponse, client::ClientConn, headers},
    model::{
        Fault, FaultKind, Leg, Stage,
        password_guesses::{GuessSource, PasswordGuesses},
        secret::Credentials,
    },
};

/// The secret first segment of a request's path, with its slash, as the client wrote it: URLs in the response begin with it.
#[derive(Clone)]
pub(super) struct SecretSegment(pub(super) Box<str>);

/// Admits the request, or returns the reason against it. Removes a secret segment from the path before it can be logged.
pub(super) async fn admit(
    request: &mut Request<Incoming>,
    credentials: &Credentials,
    guesses: &PasswordGuesses,
    client: &ClientConn,
) -> Result<(), Fault> {
    let fault = |kind| Fault::new(Leg::Client, Stage::Accepted, kind).peer(client.address);
    let source = GuessSource::of(client.address.ip(), client.owner);
    let presented = presented_credentials(request);
    if presented.is_empty() {
        return Err(fault(FaultKind::Unauthorized));
    }
    let Some(at) = guesses.next_check(source, Instant::now()) else {
        return Err(fault(FaultKind::TooManyGuesses));
    };
    if at > Instant::now() {
        sleep_until(at).await;
    }
    let wanted = format!("{}:{}", credentials.username, credentials.password.expose());
    // Constant time: it does not reveal the position of the first difference.
    let accepted = presented
        .iter()
        .find(|presented| presented.pair.ct_eq(wanted.as_bytes()).into());
    let Some(accepted) = accepted else {
        guesses.note_wrong(source, Instant::now());
        return Err(fault(FaultKind::Unauthorized));
    };
    guesses.note_right(source, Instant::now());
    strip_fields_with_credentials(request.headers_mut(), &wanted);
    if let Some(rest) = &accepted.rest {
        let whole = request
            .uri()
            .path_and_query()
            .map_or("", |path| path.as_str());
        let secret = whole.strip_suffix(rest.strip_prefix('/').unwrap_or(rest));
        let secret = SecretSegment(secret.unwrap_or_default().trim_end_matches('/').into());
        let origin_form = rest
            .parse()
            .map_err(|_| Fault::new(Leg::Client, Stage::Accepted, FaultKind::BadRequest))?;
        use_origin_form(request, origin_form);
        request.extensions_mut().insert(secret);
    }
    Ok(())
}

/// Replaces the request's URI by one in origin form. The authority of an absolute URI replaces `Host` (RFC 9112, section 3.2.2).
pub(super) fn use_origin_form<B>(request: &mut Request<B>, uri: Uri) {
    let authority = request.uri().authority().map(|name| name.as_str().parse());
    if let Some(Ok(host)) = authority {
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = uri;
}

/// Removes fields whose URL begins with the credentials: `Referer`, and `Destination` and `If` of WebDAV, which `git push` sends to a
/// server without the smart protocol. They would disclose the credentials to the origin.
fn strip_fields_with_credentials(headers: &mut HeaderMap, credentials: &str) {
    let segment = format!("/{credentials}").into_bytes();
    let quotes = |value: &HeaderValue| {
        let text: Vec<u8> = percent_decode(value.as_bytes()).collect();
        text.windows(segment.len()).any(|window| window == segment)
    };
    let quoting = headers.iter().filter(|(_, value)| quotes(value));
    let names: Vec<HeaderName> = quoting.map(|(name, _)| name.clone()).collect();
    for name in names {
        headers.remove(name);
    }
}

/// For the daemon's own pages the response requests `Authorization`, as by any server.
pub(super) fn challenge_as_origin(response: &mut HttpResponse) {
    if response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response.headers_mut().remove(PROXY_AUTHENTICATE);
        let challenge = HeaderValue::from_static("Basic realm=\"gitferry\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
}

/// The credentials of a request.
struct PresentedCredentials {
    /// `USER:PASSWORD`.
    pair: Vec<u8>,
    /// Where they are in the path: the path after their segment.
    rest: Option<String>,
}

fn presented_credentials(request: &Request<Incoming>) -> Vec<PresentedCredentials> {
    let credentials_in_field = |name| {
        basic(request.headers(), &name).map(|pair| PresentedCredentials { pair, rest: None })
    };
    // The path first: a secret segment is removed also where a field is right.
    let mut all: Vec<PresentedCredentials> =
        credentials_in_path(request.uri()).into_iter().collect();
    all.extend(credentials_in_field(PROXY_AUTHORIZATION));
    let in_origin_form = request.uri().scheme().is_none() && request.method() != Method::CONNECT;
    if in_origin_form && own::is_own(request.uri().path()) {
        all.extend(credentials_in_field(AUTHORIZATION));
    }
    all
}

/// Defined in RFC 7617.
fn basic(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let (scheme, encoded) = headers::text(headers, name)?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    BASE64_STANDARD.decode(encoded.trim()).ok()
}

/// A first segment with a colon. `HOST:PORT` has one too, and does not match.
fn credentials_in_path(uri: &Uri) -> Option<PresentedCredentials> {
    let whole = uri.path_and_query()?.as_str();
    let rest = whole.strip_prefix('/')?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (segment, rest) = rest.split_at(end);
    let pair: Vec<u8> = percent_decode_str(segment).collect();
    let slash = if rest.starts_with('/') { "" } else { "/" };
    pair.contains(&b':').then(|| PresentedCredentials {
        pair,
        rest: Some(format!("{slash}{rest}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_path_are_its_first_segment_with_a_colon() {
        for (uri, pair, rest) in [
            ("/me:secret/hf.co/x?y", "me:secret", "/hf.co/x?y"),
            ("/me%3Ase%2fcret%25/hf.co", "me:se/cret%", "/hf.co"),
            ("/me:secret", "me:secret", "/"),
            ("/me:secret?x", "me:secret", "/?x"),
            ("/m%é:%4/x", "m%é:%4", "/x"),
        ] {
            let presented = credentials_in_path(&uri.parse().unwrap()).unwrap();
            assert_eq!(presented.pair, pair.as_bytes(), "{uri}");
            assert_eq!(presented.rest.as_deref(), Some(rest), "{uri}");
        }
        assert!(credentials_in_path(&"/hf.co/me:secret/x".parse().unwrap()).is_none());
    }
}
