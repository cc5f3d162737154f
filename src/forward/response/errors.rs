//! A fault as a response, in a form that the client shows to its user.
//!
//! git shows a `text/plain` body of `GET info/refs` and nothing of a failed POST, but prints side-band packets; git-lfs shows a JSON
//! `message`; every client gets `Proxy-Status` (RFC 9209).

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, PROXY_AUTHENTICATE, USER_AGENT},
};
use tokio_util::bytes::{BufMut, Bytes, BytesMut};

use crate::forward::headers::{self, PROXY_STATUS};
use crate::forward::request::body::{HttpResponse, RequestBody, full};
use crate::{
    model::{
        Fault, FaultKind, Leg,
        advice::{Advice, AdviceContext},
    },
    track::{FinalFault, Transfer, TransferOutcome, redact},
};

/// The kind of client, which decides the form of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorFormat {
    /// `POST git-receive-pack`, uncompressed: side-band, where the request allows it.
    ReceivePack,
    /// git-lfs: JSON.
    Lfs,
    /// A CONNECT: only curl -v and gitferry's own bridge show its body.
    Connect,
    /// Any other client: text.
    Other,
}

const LFS_JSON: &str = "application/vnd.git-lfs+json";
/// How many bytes of a push are read before it is refused: libcurl loses a response that comes with a reset.
const DRAIN_LIMIT: usize = 8 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(5);

impl ErrorFormat {
    /// From the method, the path and the client's header fields.
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let header = |name| headers::text(request.headers(), &name).unwrap_or("");
        if request.method() == Method::CONNECT {
            Self::Connect
        } else if request.method() == Method::POST
            && request.uri().path().ends_with("/git-receive-pack")
            && header(CONTENT_ENCODING).is_empty()
        {
            Self::ReceivePack
        } else if header(USER_AGENT).starts_with("git-lfs/")
            || header(ACCEPT).contains(LFS_JSON)
            || header(CONTENT_TYPE).contains(LFS_JSON)
        {
            Self::Lfs
        } else {
            Self::Other
        }
    }

    /// Answers a fault and ends its transfer. `body` is the request's, where nothing of it was sent.
    pub(crate) async fn refuse(
        self,
        fault: &FinalFault,
        transfer: &Transfer,
        body: Option<RequestBody>,
    ) -> HttpResponse {
        let status = status(fault);
        transfer.finish(TransferOutcome::Refused {
            status: status.as_u16(),
            code: fault.code().into(),
        });
        let lines = reason(fault, transfer);
        if self == Self::ReceivePack
            && fault.unsent
            && let Some(body) = body
            && accepts_side_band(body).await
        {
            return side_band(fault, &lines);
        }
        let (content_type, text) = match self {
            Self::Lfs => (
                LFS_JSON,
                serde_json::json!({ "message": lines.join("\n") }).to_string(),
            ),
            Self::ReceivePack | Self::Connect | Self::Other => {
                ("text/plain; charset=utf-8", lines.join("\n") + "\n")
            }
        };
        let mut response = response(status, fault, content_type, text.into());
        if fault.kind == FaultKind::Unauthorized {
            let challenge = HeaderValue::from_static("Basic realm=\"gitferry\"");
            response.headers_mut().insert(PROXY_AUTHENTICATE, challenge);
        }
        response
    }
}

fn response(
    status: StatusCode,
    fault: &Fault,
    content_type: &'static str,
    body: Bytes,
) -> HttpResponse {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert("cache-control", HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::try_from(proxy_status(fault)) {
        response.headers_mut().insert(PROXY_STATUS, value);
    }
    response
}

/// The value of `Proxy-Status`.
pub(crate) fn proxy_status(fault: &Fault) -> String {
    let (error, code) = (fault.proxy_error(), fault.code());
    format!("gitferry; error={error}; details=\"{code}\"")
}

/// The text for a client whose request was not understood.
pub(crate) fn plain_text(fault: &Fault) -> String {
    let lines = lines(fault, fault.advice(AdviceContext::default()));
    lines.join("\n") + "\n"
}

/// The text for the client's user: what went wrong, the code and cause, then the advice.
fn reason(fault: &Fault, transfer: &Transfer) -> Vec<String> {
    let mut lines = lines(fault, transfer.advice(fault));
    if let Some(upstream) = transfer.upstream()
        && fault.leg != Leg::Client
        && let Some(line) = lines.first_mut()
    {
        line.push_str(&format!(", upstream {upstream}"));
    }
    lines
}

fn lines(fault: &Fault, advice: Option<Advice>) -> Vec<String> {
    let cause = format!("gitferry: {}: {}", fault.kind.as_clause(), fault.chain());
    let advice = advice.map(|advice| format!("gitferry: {}", advice.text));
    [redact::text(&cause)].into_iter().chain(advice).collect()
}

fn status(fault: &Fault) -> StatusCode {
    StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// Reads the request and checks whether its first line permits side-band responses (gitprotocol-pack, "Reference Update Request"): only then
/// does git understand a 200 with packets.
async fn accepts_side_band(mut body: RequestBody) -> bool {
    let mut head = Vec::new();
    let mut taken = 0;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(data) = frame.data_ref() else {
                continue;
            };
            taken += data.len();
            // The longest pkt-line.
            if head.len() < 65_520 {
                head.extend_from_slice(data);
            }
            if taken > DRAIN_LIMIT {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
    first_capabilities(&head).is_some_and(|list| {
        let has = |name: &[u8]| {
            list.split(|byte| *byte == b' ' || *byte == b'\n')
                .any(|word| word == name)
        };
        has(b"side-band-64k") && (has(b"report-status") || has(b"report-status-v2"))
    })
}

/// The text after the NUL of the first pkt-line.
fn first_capabilities(head: &[u8]) -> Option<&[u8]> {
    let length = head
        .get(..4)
        .and_then(|hex| std::str::from_utf8(hex).ok())?;
    let length = usize::from_str_radix(length, 16).ok()?;
    let line = head.get(4..length)?;
    let nul = line.iter().position(|byte| *byte == 0)?;
    line.get(nul + 1..)
}

/// Band 2 is printed as `remote: …`; band 3 ends the push (gitprotocol-pack, "side-band").
fn side_band(fault: &Fault, lines: &[String]) -> HttpResponse {
    let mut packets = BytesMut::new();
    for line in lines {
        packet(&mut packets, 2, &format!("{line}\n"));
    }
    packet(&mut packets, 3, &format!("gitferry: {}\n", fault.code()));
    packets.put_slice(b"0000");
    response(
        StatusCode::OK,
        fault,
        "application/x-git-receive-pack-result",
        packets.freeze(),
    )
}

fn packet(packets: &mut BytesMut, band: u8, text: &str) {
    // The payload of a band in a pkt-line of 1000 bytes, which every side-band version accepts.
    for chunk in text.as_bytes().chunks(995) {
        packets.put_slice(format!("{:04x}", chunk.len() + 5).as_bytes());
        packets.put_u8(band);
        packets.put_slice(chunk);
    }
}

#[cfg(test)]
mod tests;
