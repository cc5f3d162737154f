//! The daemon's answer to CONNECT: a tunnel and what came with it, or a reason.

use std::{
    io::{self, Read},
    net::TcpStream,
    time::Duration,
};

use crate::net::api;

/// No daemon of ours writes a longer head.
const MAX_HEAD: usize = 64 * 1024;

/// A daemon of ours sends none.
const MOST_INTERIMS: usize = 50;

/// What of a refusal's body is shown.
const MAX_BODY: usize = 4 * 1024;

/// A refusal is written in one go; its head alone is reason enough.
const BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the daemon said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Yes, and these bytes already came from the target.
    Tunnel(Vec<u8>),
    /// No, in words for the terminal, and what to do about it where the daemon says so.
    Refused(String, Option<String>),
}

struct Head {
    status: u16,
    phrase: String,
    proxy_status: Option<String>,
    body_length: Option<usize>,
    plain: bool,
}

/// Reads the answer, interim ones skipped; fails where none comes, or something that is no answer.
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

fn parse(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
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
    let head = Head {
        status: response.code.unwrap_or_default(),
        phrase: response.reason.unwrap_or_default().to_owned(),
        proxy_status: value("proxy-status"),
        body_length: value("content-length").and_then(|length| length.trim().parse().ok()),
        plain: value("content-type").is_some_and(|kind| kind.starts_with("text/plain")),
    };
    Ok(Some((head, length)))
}

/// The cause and the advice of our daemon; of another proxy `502 Bad Gateway (Proxy-Status's value): the body`.
fn refusal(head: &Head, mut body: Vec<u8>, stream: &mut TcpStream) -> Reply {
    let due = match head.body_length {
        Some(length) if head.plain => length.min(MAX_BODY),
        _ => 0,
    };
    if stream.set_read_timeout(Some(BODY_TIMEOUT)).is_ok() {
        while body.len() < due && matches!(read_more(stream, &mut body), Ok(1..)) {}
    }
    body.truncate(due);
    // It goes to a terminal, and what answered may be anything.
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
