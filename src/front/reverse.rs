//! `GET /huggingface.co/user/repo…`: the first segment is the target; the client needs neither a proxy setting nor the CA.
//!
//! Only hosts that a route or `[reverse] allow` names are served: any program on this machine, including a web page in a browser, can send
//! a request to a loopback port.

use std::sync::Arc;

use hyper::{
    HeaderMap, Request, Uri,
    body::Incoming,
    header::{CONTENT_SECURITY_POLICY, HOST, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS},
};

use super::{
    access::SecretSegment,
    own::{self, SEC_FETCH_SITE},
    refuse::{bad_request, bad_target, refuse, without_user_info},
};
use crate::{
    forward::{ExchangeRequest, Forwarder, HttpResponse, client::ClientConn, headers},
    mirror::{ReverseBase, reverse::parse_segment},
    model::{Denial, Fault, FaultKind, Host, Leg, Scheme, Stage, Target, target::TargetError},
    track::Front,
};

/// Forwards the request to the host of its first segment.
pub(super) async fn serve(
    forwarder: Arc<Forwarder>,
    mut request: Request<Incoming>,
    client: &ClientConn,
) -> HttpResponse {
    let secret = request.extensions_mut().remove::<SecretSegment>();
    let secret = secret.map(|SecretSegment(secret)| secret);
    let (scheme, target, path) = match split(request.uri()) {
        Ok(split) => split,
        Err(fault) => return refuse(&forwarder, &request, client, None, fault).await,
    };
    if let Err(fault) = admit(&forwarder, &request, &target) {
        let known = !matches!(fault.kind, FaultKind::BadRequest);
        return refuse(
            &forwarder,
            &request,
            client,
            known.then_some(&target),
            fault,
        )
        .await;
    }
    let host = headers::text(request.headers(), &HOST).unwrap_or("127.0.0.1");
    let ports = forwarder.config.listen.addresses.iter();
    let base = ReverseBase::new(host, secret.as_deref().unwrap_or_default())
        .with_ports(ports.map(std::net::SocketAddr::port));
    *request.uri_mut() = path;
    let exchange_request = ExchangeRequest {
        front: Front::Reverse,
        client: client.clone(),
        scheme,
        target,
        base: Some(base),
    };
    let mut response = forwarder.exchange(request, exchange_request).await;
    add_browser_restrictions(response.headers_mut());
    response
}

/// Fails where the reverse front does not serve this request: it serves only named hosts, no browsers, and only under this machine's own
/// names.
fn admit(forwarder: &Forwarder, request: &Request<Incoming>, target: &Target) -> Result<(), Fault> {
    let denied = |denial: Denial, detail: &str| {
        let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Denied(denial));
        Err(fault.peer(target).detail(detail.to_owned()))
    };
    let host = &target.host;
    if !forwarder.config.serves(target) {
        if is_one_label(host) {
            return Err(missing_host(&format!(
                "{host} is not a host that is served here"
            )));
        }
        let detail = format!(
            "neither a `[[route]]` nor `allow` of `[reverse]` names {host}: the reverse front serves no other host"
        );
        return denied(Denial::NotServed, &detail);
    }
    // A browser's navigation has no Origin, and its page would belong to this daemon's origin.
    if [ORIGIN, SEC_FETCH_SITE]
        .iter()
        .any(|name| request.headers().contains_key(name))
    {
        let detail = "a request with Origin or Sec-Fetch-Site comes from a browser, which the reverse front does not serve";
        return denied(Denial::Browser, detail);
    }
    // A client with the password of `[listen]` is no web page, and may use its own name for this machine.
    let has_password = forwarder.config.listen.credentials.is_some();
    if !has_password && !own::is_for_this_daemon(request, forwarder) {
        let detail = "the reverse front is served only under an address or localhost";
        return denied(Denial::ForeignName, detail);
    }
    Ok(())
}

/// All hosts share one web origin here, together with the daemon's pages: if a browser shows a response after all, these fields keep it
/// from running scripts and from guessing another content type. Other clients ignore them.
fn add_browser_restrictions(headers: &mut HeaderMap) {
    headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// The fault of a path that does not begin with a host, as if the daemon were the site.
fn missing_host(why: &str) -> Fault {
    bad_request(format!(
        "{why}: the path must begin with the host, as in /huggingface.co/user/repo"
    ))
}

/// True for `me` of `/me/model`, where the user more likely forgot the host than to allow one.
fn is_one_label(host: &Host) -> bool {
    matches!(host, Host::Name(name) if !name.contains('.'))
}

/// The origin, and the rest of the path.
fn split(uri: &Uri) -> Result<(Scheme, Target, Uri), Fault> {
    let whole = uri.path_and_query().map_or("/", |path| path.as_str());
    let rest = whole.strip_prefix('/').unwrap_or(whole);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (segment, path) = rest.split_at(end);
    let (scheme, target) = parse_segment(segment).map_err(|error| match error {
        TargetError::BadPort | TargetError::UserInfo => {
            bad_target(&without_user_info(segment), error)
        }
        TargetError::BadHost | TargetError::NoPort => missing_host(&error.to_string()),
    })?;
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    let path = path
        .parse()
        .map_err(|_| Fault::new(Leg::Client, Stage::Accepted, FaultKind::BadRequest))?;
    Ok((scheme, target, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_is_the_target_and_the_rest_is_unchanged() {
        for (uri, origin, path) in [
            (
                "/hf.co/user/repo.git/info/refs?service=git-upload-pack",
                "https hf.co:443",
                "/user/repo.git/info/refs?service=git-upload-pack",
            ),
            ("/hf.co", "https hf.co:443", "/"),
            ("/hf.co?x=1", "https hf.co:443", "/?x=1"),
            (
                "/localhost:8443//a%2Fb/../c",
                "https localhost:8443",
                "//a%2Fb/../c",
            ),
            ("/[::1]:8443/x", "https [::1]:8443", "/x"),
            ("/hf.co:80/x", "http hf.co:80", "/x"),
            ("/http:hf.co:8080/x", "http hf.co:8080", "/x"),
        ] {
            let (scheme, target, rest) = split(&uri.parse().unwrap()).unwrap();
            assert_eq!(format!("{scheme} {target}"), origin, "{uri}");
            assert_eq!(rest.to_string(), path, "{uri}");
        }
        for uri in ["/", "/user@hf.co/x", "/%20/x", "//hf.co/x"] {
            assert_eq!(
                split(&uri.parse().unwrap()).unwrap_err().kind,
                FaultKind::BadRequest,
                "{uri}"
            );
        }
    }
}
