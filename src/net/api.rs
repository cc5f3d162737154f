//! Requests to the running daemon's own API, blocking. Called by the commands that need an answer from it, `doctor` among them.

use std::{
    error::Error,
    fmt,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::model::secret::Credentials;

/// The limit of each step. A daemon on this machine answers much sooner.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The largest response that is read.
const MAX_RESPONSE: u64 = 64 << 20;

/// The body of the response to `METHOD /path`, such as `GET /-/api/daemon`. HTTP/1.0: the response ends with the connection.
///
/// Fails where no daemon answers, with [`Denied`] where it denies access, and with the status line for any other status than 200.
pub(crate) fn ask(
    address: SocketAddr,
    credentials: Option<&Credentials>,
    request: &str,
) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let authorization = authorization("Authorization", credentials);
    let head = format!(
        "{request} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n{authorization}\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut response = String::new();
    stream.take(MAX_RESPONSE).read_to_string(&mut response)?;
    let (head, body) = response
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("the response is not HTTP"))?;
    let status_line = head.lines().next().unwrap_or_default();
    match status_line.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some("401" | "403" | "407") => {
            let (cause, advice) = refusal(body).unwrap_or((status_line, None));
            let denied = Denied {
                cause: cause.to_owned(),
                advice: advice.map(ToOwned::to_owned),
            };
            Err(io::Error::new(io::ErrorKind::PermissionDenied, denied))
        }
        _ => Err(io::Error::other(status_line.to_owned())),
    }
}

/// The cause and the advice in the body of a daemon's refusal; `None` for another server's.
pub(crate) fn refusal(body: &str) -> Option<(&str, Option<&str>)> {
    let mut lines = body
        .lines()
        .map_while(|line| line.strip_prefix("gitferry: "));
    Some((lines.next()?, lines.next()))
}

/// The field `name` with the credentials of `[listen]`, as a line of a head; empty where there are none.
pub(crate) fn authorization(name: &str, credentials: Option<&Credentials>) -> String {
    credentials.map_or_else(String::new, |credentials| {
        format!("{name}: {}\r\n", credentials.basic())
    })
}

/// The daemon answers, and denies access to this user.
#[derive(Debug)]
pub(crate) struct Denied {
    /// Why.
    pub cause: String,
    /// What the user can do, where the daemon says it.
    pub advice: Option<String>,
}

impl Denied {
    /// The denial that is the cause of `error`, if one is.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access denied: {}", self.cause)
    }
}

impl Error for Denied {}
