//! A request and its response, over a verified stream.

use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    header::{
        AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderValue, LOCATION, PROXY_AUTHORIZATION,
        USER_AGENT,
    },
};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};
use tokio_util::bytes::Bytes;

use super::{CheckResult, Probe, Stream, shown};
use crate::{
    doctor::{Outcome, machine::Skew},
    forward::headers::date,
    model::{Fault, FaultKind, Leg, Scheme, Secret, Stage, Target, classify},
};

/// A response.
pub(in crate::doctor) struct HttpAnswer {
    pub(in crate::doctor) status: StatusCode,
    pub(in crate::doctor) headers: HeaderMap,
    pub(in crate::doctor) body: Bytes,
}

/// A request.
pub(in crate::doctor) struct ProbeRequest<'a> {
    pub(in crate::doctor) method: Method,
    pub(in crate::doctor) path: &'a str,
    pub(in crate::doctor) content_type: Option<&'static str>,
    pub(in crate::doctor) accept: &'static str,
    /// The value of `Authorization`, only for the host that it belongs to.
    pub(in crate::doctor) authorization: Option<&'a Secret>,
    pub(in crate::doctor) body: Bytes,
    /// Whether the body of the response is read.
    pub(in crate::doctor) whole: bool,
}

impl<'a> ProbeRequest<'a> {
    /// A GET without credentials; the body of the response is not read.
    pub(in crate::doctor) fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            content_type: None,
            accept: "*/*",
            authorization: None,
            body: Bytes::new(),
            whole: false,
        }
    }
}

/// The part of a body that is read.
const LIMIT: usize = 1 << 20;

/// How long a response may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(8);

pub(in crate::doctor) async fn run(probe: &Probe) -> CheckResult {
    if probe.protocol == super::RemoteProtocol::Ssh {
        return Ok(Outcome::skipped(""));
    }
    let begun = Instant::now();
    let answer = send(probe, &ProbeRequest::get("/")).await?;
    let status = answer.status.as_u16();
    let words = format!("{status}, {}", shown(begun.elapsed()));
    let location = answer.headers.get(LOCATION);
    let location = location.and_then(|value| redirect_target(value.as_bytes()));
    let outcome = match status {
        511 => Outcome::failed(words)
            .detail("511 Network Authentication Required: the network requires a log-in")
            .fact(|facts| facts.portal = Some(None)),
        502..=504 => Outcome::warned(words).detail(format!(
            "the site, or a proxy in front of it, answers {status}"
        )),
        _ if probe.origin().0 == Scheme::Http
            && redirects_elsewhere(probe, location.as_deref()) =>
        {
            Outcome::warned(words)
                .detail(
                    "the response redirects to another host, as the log-in page of a network does",
                )
                .fact(|facts| facts.portal = Some(location))
        }
        _ => Outcome::passed(words),
    };
    let skew = skew(&answer.headers);
    if let Some(skew) = skew {
        probe.setup.skew.send_replace(Skew::Known(skew));
    }
    Ok(outcome.fact(|facts| facts.clock_skew = skew))
}

/// Where a `Location` sends the client.
pub(super) fn redirect_target(value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok()?;
    // A query may contain a session.
    let shown = value.split(['?', '#']).next().unwrap_or_default();
    Some(crate::track::redact::escaped(shown).into_owned())
}

/// True for a redirect to a host that is neither this one nor one below or above it.
pub(super) fn redirects_elsewhere(probe: &Probe, location: Option<&str>) -> bool {
    let authority = location.and_then(|location| {
        let (_, rest) = location.split_once("://")?;
        rest.split('/').next()
    });
    let Some(Ok(target)) = authority.map(|name| Target::parse(name, Some(443))) else {
        return false;
    };
    let (there, here) = (target.host.to_string(), probe.origin().1.host.to_string());
    let below = |a: &str, b: &str| a.strip_suffix(b).is_some_and(|rest| rest.ends_with('.'));
    there != here && !below(&there, &here) && !below(&here, &there)
}

/// The server's clock minus ours.
fn skew(headers: &HeaderMap) -> Option<i64> {
    let there = date(headers.get(DATE)?.to_str().ok()?)?.assume_utc();
    let here = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(there.unix_timestamp() - i64::try_from(here.as_secs()).ok()?)
}

/// One request over a connection of its own.
pub(in crate::doctor) async fn send(
    probe: &Probe,
    ask: &ProbeRequest<'_>,
) -> Result<HttpAnswer, Fault> {
    let stream = probe.open().await?;
    let peer = stream.tcp.socket().peer_addr().ok();
    let fault = |stage, kind| {
        let fault = Fault::new(Leg::Origin, stage, kind);
        match peer {
            Some(peer) => fault.peer(peer),
            None => fault.peer(probe.origin().1),
        }
    };
    let request = request(probe, &stream, ask)
        .ok_or_else(|| fault(Stage::SendingHead, FaultKind::BadRequest))?;
    let tcp = stream.tcp.clone();
    let answered = timeout(TIMEOUT, answer(stream, request, ask.whole)).await;
    if let Some(path) = tcp.path() {
        probe.evidence().path = Some(path);
    }
    match answered {
        Err(_) => Err(fault(Stage::AwaitingHead, FaultKind::TimedOut)
            .detail(format!("no answer within {TIMEOUT:?}"))),
        Ok(Err(error)) => Err(fault(Stage::AwaitingHead, classify::io(&*error)).source(error)),
        Ok(Ok(answer)) => Ok(answer),
    }
}

async fn answer(
    stream: Stream,
    request: Request<Full<Bytes>>,
    whole: bool,
) -> Result<HttpAnswer, crate::model::fault::BoxError> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream.io)).await?;
    let asking = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        // A body that is too large or incomplete counts as empty: the head says enough.
        let body = match whole {
            true => Limited::new(body, LIMIT).collect().await.ok(),
            false => None,
        };
        Ok(HttpAnswer {
            status: head.status,
            headers: head.headers,
            body: body.map(|body| body.to_bytes()).unwrap_or_default(),
        })
    };
    let driving = async {
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        biased;
        answer = asking => answer,
        () = driving => Err("the connection ended".into()),
    }
}

fn request(probe: &Probe, stream: &Stream, ask: &ProbeRequest<'_>) -> Option<Request<Full<Bytes>>> {
    let (scheme, target) = probe.origin();
    let authority = target.authority(scheme);
    let base = probe.upstream.mirror.as_ref();
    let path = format!(
        "{}{}",
        base.map_or("", |mirror| &mirror.base_path),
        ask.path
    );
    let uri = match stream.absolute_form {
        Some(_) => format!("http://{authority}{path}"),
        None => path,
    };
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(uri)
        .header(HOST, authority)
        .header(
            USER_AGENT,
            concat!("gitferry-doctor/", env!("CARGO_PKG_VERSION")),
        )
        .header("accept", ask.accept)
        .header("connection", "close")
        .body(Full::new(ask.body.clone()))
        .ok()?;
    let headers = request.headers_mut();
    if let Some(content_type) = ask.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Some(secret) = ask.authorization {
        let mut value = HeaderValue::try_from(secret.expose()).ok()?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    if let Some(form) = &stream.absolute_form
        && let Some(value) = &form.authorization
    {
        headers.insert(PROXY_AUTHORIZATION, value.clone());
    }
    Some(request)
}
