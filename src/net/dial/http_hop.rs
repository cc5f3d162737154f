//! CONNECT through an http or https hop (RFC 9110, section 9.3.6), and plain requests that the hop forwards.
//!
//! gitferry has its own codec: hyper-util's `Tunnel` loses bytes that arrive in one segment with the reply (an ssh banner), and hides the
//! reply's status. A route's overrides apply here too: gitferry then requests the address instead of the name.

mod connect_response;
mod page;

use std::{net::SocketAddr, time::Duration};

use hyper::header::HeaderValue;
use tokio::time::timeout;

use self::connect_response::ConnectResponse;
use super::{
    AbsoluteForm, DialRequest, DialledConnection, direct,
    greeting::{Greeting, MAX_ADDRESSES, is_address_specific, within},
    protocol,
    trail::Trail,
};
use crate::{
    config::Hop,
    io::{BoxIo, Tcp},
    model::{Fault, FaultKind, Leg, Scheme, Stage, fault::HopLogin, secret::Credentials},
};

/// Connects to the hop and requests a tunnel to the attempt's target.
///
/// Plain HTTP needs no tunnel, and many hops refuse one to port 80: the connection then ends at the hop, and requests are written in
/// absolute form. Only an override needs a tunnel even then, because a hop forwards by the name.
///
/// Of several overrides, the next one is requested where the hop cannot reach one.
pub(crate) async fn dial(hop: &Hop, attempt: &DialRequest<'_>) -> Result<DialledConnection, Fault> {
    let target = attempt.target;
    let overrides = attempt.overrides(&target.host);
    let authorities = match (overrides, attempt.scheme) {
        ([], Scheme::Https) => vec![target.to_string()],
        ([], Scheme::Http) => return absolute_form(hop, attempt).await,
        (overrides, _) => overrides
            .iter()
            .take(MAX_ADDRESSES)
            .map(|over| SocketAddr::new(over.ip, over.port.unwrap_or(target.port)).to_string())
            .collect(),
    };
    let mut last = None;
    for authority in authorities {
        match tunnel(hop, attempt, &authority).await {
            Err(fault) if is_address_specific(&fault.kind) => last = Some(fault),
            result => return result,
        }
    }
    Err(last.unwrap_or_else(|| Fault::new(Leg::Hop, Stage::Greeting, FaultKind::Local)))
}

async fn absolute_form(hop: &Hop, attempt: &DialRequest<'_>) -> Result<DialledConnection, Fault> {
    let (io, tcp, peer) = connect(hop, attempt).await?;
    let absolute_form = AbsoluteForm {
        authorization: hop.credentials.as_ref().and_then(authorization),
        via: hop.via,
    };
    Ok(DialledConnection {
        absolute_form: Some(absolute_form),
        ..DialledConnection::new(io, tcp, peer)
    })
}

async fn tunnel(
    hop: &Hop,
    attempt: &DialRequest<'_>,
    authority: &str,
) -> Result<DialledConnection, Fault> {
    let (io, tcp, peer) = connect(hop, attempt).await?;
    let credentials = hop.credentials.as_ref();
    (attempt.progress)(Stage::Greeting);
    let mut greeting = Greeting::new(io, peer).with_secrets(secrets(credentials));
    greeting.name_target(&hop.granted, attempt.target);
    let request = encode(authority, hop, attempt.trail);
    let limit = attempt.route.dial.greet_timeout;
    let response = match within(limit, peer, ask(&mut greeting, &request)).await {
        Ok(response) => response,
        Err(fault) if fault.kind == FaultKind::TargetRefused && hop.granted.is_empty() => {
            // A server of another protocol also closes the connection at the first line.
            return Err(protocol::explain(fault, hop, attempt).await);
        }
        Err(fault) => return Err(fault),
    };
    if !response.is_success() {
        return Err(refusal(&mut greeting, &response, credentials).await);
    }
    hop.granted.record_target(attempt.target);
    Ok(DialledConnection::new(greeting.into_tunnel(), tcp, peer))
}

/// The tunnel that a hop gives on an existing stream, for tests.
#[cfg(any(test, feature = "testing"))]
pub(crate) async fn greet(
    io: BoxIo,
    peer: SocketAddr,
    credentials: &Credentials,
) -> Result<BoxIo, Fault> {
    let mut greeting = Greeting::new(io, peer).with_secrets(secrets(Some(credentials)));
    greeting.name_any_target();
    let response = ask(&mut greeting, b"CONNECT").await?;
    if !response.is_success() {
        return Err(refusal(&mut greeting, &response, Some(credentials)).await);
    }
    Ok(greeting.into_tunnel())
}

/// A stream to the hop, inside TLS where it is an https hop.
async fn connect(hop: &Hop, attempt: &DialRequest<'_>) -> Result<(BoxIo, Tcp, SocketAddr), Fault> {
    let (tcp, peer) = direct::connect(attempt, &hop.target, &[], Leg::Hop).await?;
    let io: BoxIo = Box::new(tcp.clone());
    if !hop.kind.row().tls {
        return Ok((io, tcp, peer));
    }
    (attempt.progress)(Stage::Handshaking);
    let limit = attempt.route.dial.handshake_timeout;
    let secured = tokio::select! {
        biased;
        secured = attempt.connector.secure(io, hop, peer, limit) => secured,
        // A server of another protocol waits for more than a ClientHello.
        fault = protocol::detect_if_silent(hop, attempt, &tcp) => return Err(fault),
    };
    match secured {
        Ok(io) => Ok((io, tcp, peer)),
        Err(fault) if fault.is_hang_up() || fault.kind == FaultKind::BadAnswer => {
            Err(protocol::explain(fault, hop, attempt).await)
        }
        Err(fault) => Err(fault),
    }
}

/// The CONNECT request.
fn encode(authority: &str, hop: &Hop, trail: &Trail) -> Vec<u8> {
    let mut head = format!(
        "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: gitferry/{}\r\n",
        env!("CARGO_PKG_VERSION"),
    );
    head.push_str(&trail.lines(hop.via));
    if let Some(credentials) = &hop.credentials {
        head.push_str("Proxy-Authorization: ");
        head.push_str(&credentials.basic());
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The secrets that an error page with the request would show.
fn secrets(credentials: Option<&Credentials>) -> Vec<String> {
    let each = |credentials: &Credentials| {
        let token = credentials.basic();
        [
            token.trim_start_matches("Basic ").to_owned(),
            credentials.password.expose().to_owned(),
        ]
    };
    credentials.into_iter().flat_map(each).collect()
}

fn authorization(credentials: &Credentials) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(credentials.basic()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Sends the request and reads the final response's head; skips interim responses.
async fn ask(greeting: &mut Greeting, request: &[u8]) -> Result<ConnectResponse, Fault> {
    greeting.send_all(request).await?;
    let mut skipped = 0;
    loop {
        match connect_response::decode(&greeting.received) {
            Ok(Some(response)) => {
                let _ = greeting.received.split_to(response.length);
                if !response.is_interim() {
                    return Ok(response);
                }
                skipped += response.length;
            }
            Ok(None) => greeting.receive().await?,
            Err(connect_response::MalformedHead) => return Err(greeting.bad_response()),
        }
        if skipped + greeting.received.len() > MAX_HEAD {
            return Err(greeting
                .fault(FaultKind::BadAnswer)
                .detail("the head of its response is too long"));
        }
    }
}

/// The largest head accepted.
const MAX_HEAD: usize = 64 * 1024;

/// Why there is no tunnel, with the hop's own text where it arrives without delay.
async fn refusal(
    greeting: &mut Greeting,
    response: &ConnectResponse,
    credentials: Option<&Credentials>,
) -> Fault {
    if response.wants_credentials() {
        let (login, text) = response.authentication(HopLogin::of(credentials));
        return greeting
            .fault(FaultKind::HopAuthentication(login))
            .detail(greeting.mask(&text));
    }
    if response.status == 508 {
        // The status of RFC 5842, section 7.2, from another gitferry or another proxy.
        let fault = greeting.fault(FaultKind::Loop);
        return fault.detail("the hop reports a loop");
    }
    let reading = async {
        while response.needs_more_body(&greeting.received) && greeting.receive().await.is_ok() {}
    };
    // The part that has arrived is shown.
    let _ = timeout(BODY_TIMEOUT, reading).await;
    let text = response.explanation(&greeting.received, |text| greeting.mask(text));
    let fault = greeting.fault(FaultKind::HopRefused(response.status));
    let text = match response.status {
        // The responses of web servers to an unknown method.
        400 | 405 | 501 => format!("{text}; not a CONNECT proxy?"),
        _ => text,
    };
    if text.is_empty() {
        fault
    } else {
        fault.detail(text)
    }
}

/// How long to wait for an explanation while the client waits.
const BODY_TIMEOUT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::super::trail::EMPTY_TRAIL;
    use super::*;
    use crate::model::{Secret, pseudonym};

    fn hop(credentials: Option<Credentials>, via: bool) -> Hop {
        Hop {
            name: "office".into(),
            kind: crate::config::HopKind::Http,
            target: crate::model::Target::parse("proxy.example:3128", None).unwrap(),
            credentials,
            via,
            pipeline: false,
            peer: crate::config::PeerTls::default(),
            granted: crate::config::GrantedTargets::default(),
        }
    }

    #[test]
    fn a_connect_request_has_target_host_via_and_credentials() {
        let credentials = Credentials {
            username: "me".into(),
            password: Secret::new("pass\r\nword"),
        };
        let with = hop(Some(credentials.clone()), true);
        let request = String::from_utf8(encode("[::1]:22", &with, &EMPTY_TRAIL)).unwrap();
        let lines: Vec<&str> = request.split("\r\n").collect();
        assert_eq!(lines[0], "CONNECT [::1]:22 HTTP/1.1");
        assert_eq!(lines[1], "Host: [::1]:22");
        assert!(lines[2].starts_with("User-Agent: gitferry/"));
        assert_eq!(lines[3], format!("Via: 1.1 {}", pseudonym()));
        assert_eq!(lines[4], "Proxy-Authorization: Basic bWU6cGFzcw0Kd29yZA==");
        assert_eq!(lines[5..], ["", ""]);
        let bare = String::from_utf8(encode("hf.co:443", &hop(None, true), &EMPTY_TRAIL)).unwrap();
        assert!(!bare.contains("Authorization"));
        assert!(format!("{:?}", authorization(&credentials)).contains("Sensitive"));
    }

    #[test]
    fn a_hop_with_via_false_gets_no_via() {
        let request =
            String::from_utf8(encode("hf.co:443", &hop(None, false), &EMPTY_TRAIL)).unwrap();
        assert!(!request.contains("Via:"), "{request}");
    }
}
