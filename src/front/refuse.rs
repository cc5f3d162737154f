//! Requests that this daemon refuses, and how the transfers of all requests begin.

use std::{borrow::Cow, net::SocketAddr};

use hyper::{
    Method, Request,
    body::Incoming,
    header::{HOST, USER_AGENT},
};

use crate::{
    forward::{
        Forwarder, HttpResponse, client::ClientConn, headers, response::errors::ErrorFormat,
    },
    mirror::reverse::parse_segment,
    model::{Fault, FaultKind, Host, Leg, Stage, Target, resource, target::TargetError},
    track::{self, Transfer, TransferStart},
};

/// A client that sent no request, or no readable one.
pub(super) struct UnreadableClient<'a> {
    pub(super) front: track::Front,
    pub(super) client: SocketAddr,
    pub(super) target: &'a Target,
    pub(super) method: &'a str,
    pub(super) agent: Option<&'a str>,
}

/// Logs the end of a connection without a readable request.
pub(super) fn log_refusal(forwarder: &Forwarder, from: &UnreadableClient<'_>, fault: Fault) {
    let transfer = forwarder.shared.tracker.begin(TransferStart {
        front: from.front,
        client: from.client,
        target: from.target,
        method: from.method,
        path: "",
        route: forwarder.config.route(from.target),
        agent: from.agent,
    });
    transfer.enter(fault.stage);
    transfer.fail(fault);
}

/// The same for a connection that named no target.
pub(super) fn log_refusal_without_target(forwarder: &Forwarder, client: SocketAddr, fault: Fault) {
    let unreadable = UnreadableClient {
        front: track::Front::Unknown,
        client,
        target: &no_target(),
        method: resource::NO_METHOD,
        agent: None,
    };
    log_refusal(forwarder, &unreadable, fault);
}

/// A malformed request.
pub(super) fn bad_request(why: impl Into<Box<str>>) -> Fault {
    Fault::new(Leg::Client, Stage::Accepted, FaultKind::BadRequest).detail(why)
}

/// The placeholder target of a request that names none.
fn no_target() -> Target {
    Target::new(Host::Name("-".into()), 0)
}

/// Two `Host` fields: another recipient may read the other one (RFC 9112, section 3.2).
pub(super) fn bad_hosts(request: &Request<Incoming>) -> Option<Fault> {
    let several = request.headers().get_all(HOST).iter().count() > 1;
    several.then(|| bad_request("more than one Host field"))
}

/// The fault of an invalid `Host`, authority or first path segment.
pub(super) fn bad_target(text: &str, error: TargetError) -> Fault {
    let text: String = text
        .chars()
        .take(80)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect();
    // User info may be a secret, and a target has none.
    let shown = text.rsplit('@').next().unwrap_or_default();
    bad_request(format!("{error}: {shown:?}"))
}

/// Answers with a fault before a transfer began, and logs it as a transfer.
pub(super) async fn refuse<B>(
    forwarder: &Forwarder,
    request: &Request<B>,
    client: &ClientConn,
    target: Option<&Target>,
    fault: Fault,
) -> HttpResponse {
    let placeholder = no_target();
    let transfer = begin(forwarder, request, client, target.unwrap_or(&placeholder));
    let given_up = transfer.give_up(fault);
    ErrorFormat::of(request)
        .refuse(&given_up, &transfer, None)
        .await
}

pub(super) fn begin<B>(
    forwarder: &Forwarder,
    request: &Request<B>,
    client: &ClientConn,
    target: &Target,
) -> Transfer {
    let front = if request.method() == Method::CONNECT {
        track::Front::Tunnel
    } else if request.uri().scheme().is_some() {
        track::Front::Absolute
    } else {
        track::Front::Reverse
    };
    let path = match front {
        track::Front::Tunnel => String::new(),
        // The path of an absolute URL may be one of the reverse front.
        track::Front::Reverse | track::Front::Absolute => redacted_path(request.uri().path()),
        track::Front::Intercept | track::Front::Unknown => request.uri().path().to_owned(),
    };
    let transfer = forwarder.shared.tracker.begin(TransferStart {
        front,
        client: client.address,
        target,
        method: request.method().as_str(),
        path: &path,
        route: forwarder.config.route(target),
        agent: headers::text(request.headers(), &USER_AGENT),
    });
    client.watch(&transfer);
    transfer
}

/// A path for the log of a refused request: clients write `user:password@host` where only a host is valid.
pub(super) fn redacted_path(path: &str) -> String {
    let parts: Vec<_> = path.split('/').map(without_user_info).collect();
    parts.join("/")
}

/// A segment without the part before an `@`, and without the part after the colon where it is not host and port.
pub(super) fn without_user_info(segment: &str) -> Cow<'_, str> {
    // ASCII lower case does not move bytes.
    let lower = segment.to_ascii_lowercase();
    let at = lower.rfind('@').max(lower.rfind("%40"));
    if let Some(at) = at.filter(|at| *at > 0) {
        return format!("***{}", segment.get(at..).unwrap_or_default()).into();
    }
    let colon = [lower.find(':'), lower.find("%3a")]
        .into_iter()
        .flatten()
        .min();
    match colon {
        Some(colon) if parse_segment(segment).is_err() => {
            format!("{}:***", segment.get(..colon).unwrap_or_default()).into()
        }
        _ => segment.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_path_has_no_user_info() {
        for (path, expected) in [
            ("/me:secret@hf.co/x", "/***@hf.co/x"),
            ("/me%3Asecret%40hf.co/x", "/***%40hf.co/x"),
            ("/http:me:secret@hf.co:80/x", "/***@hf.co:80/x"),
            ("/https://me:secret@hf.co/x", "/https:***//***@hf.co/x"),
            ("//me:secret@hf.co/x", "//***@hf.co/x"),
            ("/me:secret/x", "/me:***/x"),
            ("/me%3asecret/x", "/me:***/x"),
            ("/hf.co:8443/x", "/hf.co:8443/x"),
            ("/http:hf.co:80/@scope/x", "/http:hf.co:80/@scope/x"),
        ] {
            assert_eq!(redacted_path(path), expected, "{path}");
        }
    }
}
