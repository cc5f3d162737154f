//! The daemon's reply to CONNECT: a tunnel with its first bytes, or a refusal.

use std::{
    io::{self, Read},
    net::TcpStream,
    time::Duration,
};

use crate::net::api;

/// The largest head; a gitferry daemon writes shorter ones.
const MAX_HEAD: usize = 64 * 1024;

/// The most interim responses; a gitferry daemon sends none.
const MOST_INTERIMS: usize = 50;

/// The part of a refusal's body that is shown.
const MAX_BODY: usize = 4 * 1024;

/// How long to wait for a refusal's body, which comes with the head.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// The daemon's reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// A tunnel, and the bytes of the target that came with the reply.
    Tunnel(Vec<u8>),
    /// The reason, and the advice if the daemon gives one.
    Refused(String, Option<String>),
}

struct ReplyHead {
    status: u16,
    phrase: String,
    proxy_status: Option<String>,
    body_length: Option<usize>,
    plain: bool,
}

/// Reads the reply and skips interim responses. Fails where no HTTP reply comes.
pub(super) fn read(stream: &mut TcpStream) -> io::Result<Reply> {
    let mut bytes = Vec::new();
    let mut interims = 0;
    loop {
        if let Some((head, length)) = parse(&bytes)? {
            let rest = bytes.split_off(length);
            match head.status {
                200..300 => return Ok(Reply::Tunnel(rest)),
                100 | 102..200 if interims < MOST_INTERIMS => {
                    interims += 1;
                    bytes = rest;
                    continue;
                }
                _ => return Ok(refusal(&head, rest, stream)),
            }
        }
        if bytes.len() > MAX_HEAD {
            return Err(no_answer("the response head is incomplete"));
        }
        if read_more(stream, &mut bytes)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn parse(bytes: &[u8]) -> io::Result<Option<(ReplyHead, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => {
            return Err(no_answer(&format!(
                "the server there is not a proxy: {error}"
            )));
        }
    };
    let value = |name: &str| {
        response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let head = ReplyHead {
        status: response.code.unwrap_or_default(),
        phrase: response.reason.unwrap_or_default().to_owned(),
        proxy_status: value("proxy-status"),
        body_length: value("content-length").and_then(|length| length.trim().parse().ok()),
        plain: value("content-type").is_some_and(|kind| kind.starts_with("text/plain")),
    };
    Ok(Some((head, length)))
}

/// The cause and the advice of a gitferry daemon; of another proxy `502 Bad Gateway (Proxy-Status's value): the body`.
fn refusal(head: &ReplyHead, mut body: Vec<u8>, stream: &mut TcpStream) -> Reply {
    let due = match head.body_length {
        Some(length) if head.plain => length.min(MAX_BODY),
        _ => 0,
    };
    if stream.set_read_timeout(Some(BODY_TIMEOUT)).is_ok() {
        while body.len() < due && matches!(read_more(stream, &mut body), Ok(1..)) {}
    }
    body.truncate(due);
    // It is printed on a terminal, and any server may have sent it.
    let shown = |text: &str| {
        let text = text.replace(|c: char| c.is_control() && c != '\n', " ");
        text.trim().to_owned()
    };
    let said = String::from_utf8_lossy(&body);
    if let Some((cause, advice)) = api::refusal(&said) {
        return Reply::Refused(shown(cause), advice.map(shown));
    }
    let mut text = format!("{} {}", head.status, head.phrase);
    if let Some(status) = &head.proxy_status {
        text.push_str(&format!(" ({status})"));
    }
    if !said.trim().is_empty() {
        text.push_str(": ");
        text.push_str(said.trim());
    }
    Reply::Refused(shown(&text), None)
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 8 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(count) => {
                bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn no_answer(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
