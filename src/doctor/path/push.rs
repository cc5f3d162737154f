//! Rehearses a push: whether this user may write, and where the LFS files would go. It uploads nothing.

use hyper::{
    Method, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use serde_json::{Value, json};

use super::{
    CheckResult, Probe,
    http::{HttpAnswer, ProbeRequest, send},
};
use crate::{
    doctor::{Outcome, Rehearsal, RemoteProtocol, url::RemoteUrl},
    model::{Fault, Scheme, columns::cut},
};

/// The first request of `git push` (gitprotocol-http, "Smart Service git-receive-pack").
pub(in crate::doctor) async fn refs(probe: &Probe) -> CheckResult {
    let Some((rehearsal, url)) = probe.rehearsed(|rehearsal| rehearsal.repository.as_ref()) else {
        return Ok(Outcome::skipped(""));
    };
    let path = format!("{}/info/refs?service=git-receive-pack", url.path);
    let ask = ProbeRequest {
        whole: true,
        ..ProbeRequest::get(&path)
    };
    let PushReply { answer, given } = authorized(probe, rehearsal, url, ask).await?;
    let kind = answer.headers.get(CONTENT_TYPE);
    let advertised =
        kind.is_some_and(|kind| kind == "application/x-git-receive-pack-advertisement");
    Ok(match (answer.status, advertised) {
        (StatusCode::OK, true) => Outcome::passed("push allowed"),
        (StatusCode::OK, false) => Outcome::warned("not a git answer")
            .detail("the site answers 200, but not like a git server"),
        _ => refusal(probe, &answer, given, "the repository"),
    })
}

/// The LFS batch request for an object that does not exist (git-lfs: docs/api/batch.md).
pub(in crate::doctor) async fn batch(probe: &Probe) -> CheckResult {
    let Some((rehearsal, url)) = probe.rehearsed(|rehearsal| rehearsal.lfs.as_ref()) else {
        return Ok(Outcome::skipped(""));
    };
    let path = format!("{}/objects/batch", url.path);
    let oid: String = (0..64).map(|_| fastrand::digit(16)).collect();
    let question = json!({
        "operation": "upload",
        "transfers": ["basic"],
        "objects": [{ "oid": oid, "size": 1024 }],
        "hash_algo": "sha256",
    });
    let ask = ProbeRequest {
        method: Method::POST,
        content_type: Some("application/vnd.git-lfs+json"),
        accept: "application/vnd.git-lfs+json",
        body: question.to_string().into(),
        whole: true,
        ..ProbeRequest::get(&path)
    };
    let PushReply { answer, given } = authorized(probe, rehearsal, url, ask).await?;
    if answer.status == StatusCode::OK {
        return Ok(storage(&answer));
    }
    if rehearsal.lfs_over_ssh && answer.status.is_client_error() {
        return Ok(without_ssh_token(answer.status));
    }
    if rehearsal.uses_lfs {
        return Ok(refusal(probe, &answer, given, "the LFS API"));
    }
    Ok(
        Outcome::unmeasured(format!("{}: no LFS?", answer.status.as_u16()))
            .detail("the site has no LFS API for this repository, which has no LFS files either"),
    )
}

/// git-lfs uses a token of `git-lfs-authenticate` (git-lfs: docs/api/authentication.md). Doctor does not get one: it would have to log in
/// with the user's key, which may wait for a passphrase, a confirmation or a touch.
fn without_ssh_token(status: StatusCode) -> Outcome {
    Outcome::unmeasured(format!("{}: needs an ssh token", status.as_u16())).detail(
        "git-lfs gets a token over ssh, and doctor does not log in: the storage host is not known, and can be \
         checked by its name",
    )
}

/// The hosts that uploads go to. The URLs are credentials: only scheme, host and port leave this function.
fn storage(answer: &HttpAnswer) -> Outcome {
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return Outcome::failed("no JSON").detail("the LFS API answers 200, but not with JSON");
    };
    let message = body
        .pointer("/objects/0/error")
        .map(|error| error.get("message").and_then(Value::as_str));
    if let Some(message) = message {
        let message = message.unwrap_or("no reason given");
        return Outcome::failed("refused").detail(format!(
            "the LFS API refuses an upload: {}",
            crate::track::redact::text(message)
        ));
    }
    let hosts: Vec<RemoteUrl> = ["upload", "verify"]
        .into_iter()
        .filter_map(|name| {
            body.pointer(&format!("/objects/0/actions/{name}/href"))?
                .as_str()
        })
        .filter_map(RemoteUrl::parse)
        .collect();
    let Some(first) = hosts.first() else {
        return Outcome::warned("no upload URL").detail("the LFS API returns no upload URL");
    };
    let words = format!("uploads go to {}", first.target.host);
    let upload_hosts = hosts.into_iter().map(|url| (url.target, url.protocol));
    Outcome::passed(words).fact(|facts| facts.upload_hosts = upload_hosts.collect())
}

/// A response, and whether the request had credentials.
struct PushReply {
    answer: HttpAnswer,
    given: bool,
}

/// Sends the request without credentials first, as git does. It adds them after a 401, and only over verified TLS.
async fn authorized(
    probe: &Probe,
    rehearsal: &Rehearsal,
    url: &RemoteUrl,
    ask: ProbeRequest<'_>,
) -> Result<PushReply, Fault> {
    let answer = send(probe, &ask).await?;
    let wanted = answer.status == StatusCode::UNAUTHORIZED;
    // `Probe::open` verifies the certificate before a byte is written.
    let safe = probe.is_tls() && url.protocol == RemoteProtocol::Requests(Scheme::Https);
    let secret = match wanted && safe {
        true => rehearsal.credentials.authorization(url).await,
        false => None,
    };
    let Some(secret) = secret else {
        return Ok(PushReply {
            answer,
            given: false,
        });
    };
    let ask = ProbeRequest {
        authorization: Some(&secret),
        ..ask
    };
    let answer = send(probe, &ask).await?;
    Ok(PushReply {
        answer,
        given: true,
    })
}

/// What an error status means for a push.
fn refusal(probe: &Probe, answer: &HttpAnswer, given: bool, whose: &str) -> Outcome {
    let status = answer.status.as_u16();
    let host = &probe.target.host;
    let said = message(&answer.body);
    let (words, sentence, advice) = match (status, given) {
        (401, false) => (
            "no credentials",
            format!("{host} requires a user name and a password or token, and git has none stored"),
            Some(format!(
                "store a token for {host} with `git credential approve`, or let `git push` ask for it once"
            )),
        ),
        (401 | 403, true) => (
            "not allowed",
            format!("{host} does not accept the stored token for writing to {whose}"),
            Some(format!(
                "make a new token with write access on {host}, and replace the stored one"
            )),
        ),
        (403, false) => (
            "not allowed",
            format!("{host} does not allow anonymous writes to {whose}"),
            None,
        ),
        (404, _) => (
            "not found",
            format!("{host} has no such repository, or this user may not see it"),
            Some("check the remote's URL: `git remote -v`".to_owned()),
        ),
        (300..=399, _) => {
            let to = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.and_then(RemoteUrl::parse);
            let to = to.map_or("elsewhere".into(), |url| url.target.host.to_string());
            return Outcome::warned(format!("moved ({status})"))
                .detail(format!("{host} redirects {whose} to {to}"));
        }
        _ => (
            "refused",
            format!("{host} answers {status} for {whose}"),
            None,
        ),
    };
    let mut outcome = Outcome::failed(format!("{words} ({status})")).detail(match said {
        Some(said) => format!("{sentence}: \"{said}\""),
        None => sentence,
    });
    outcome.advice = advice;
    outcome
}

/// The message of an LFS server, on one line.
fn message(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let text = value.get("message")?.as_str()?;
    Some(cut(&crate::track::redact::text(text), 120))
}
