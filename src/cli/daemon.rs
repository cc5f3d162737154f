//! Asking the running daemon: one GET of its own pages, by every command that needs an answer from it.

use std::{
    error::Error,
    fmt,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::OnceLock,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::Deserialize;

use super::Failure;
use crate::{config::Config, model::secret::Credentials};

/// Longer than a daemon of this machine ever takes.
const DEADLINE: Duration = Duration::from_secs(5);

/// The largest answer that is read.
const LIMIT: u64 = 64 << 20;

/// What `/-/api/daemon` says, as far as commands need it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RunningDaemon {
    /// The config's file; none for the embedded default.
    pub config: Option<PathBuf>,
    /// The state directory, where the CA is.
    pub state_directory: PathBuf,
}

/// The credentials of `[listen]`, for a command that asks by its config. A command is one process.
static CREDENTIALS: OnceLock<Credentials> = OnceLock::new();

/// Every later request of this command gives these credentials.
pub(super) fn authenticate(credentials: Option<&Credentials>) {
    if let Some(credentials) = credentials {
        let _ = CREDENTIALS.set(credentials.clone());
    }
}

/// Where clients on this machine reach the daemon of `config`: at its first address.
pub(crate) fn address(config: &Config) -> Option<SocketAddr> {
    config.listen.addresses.first().copied().map(reachable)
}

/// Where a client of this machine reaches a listening address: loopback where it is "every address".
pub(crate) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The daemon at `address`. Fails where nobody answers, or somebody else.
pub(crate) fn about(address: SocketAddr) -> io::Result<RunningDaemon> {
    serde_json::from_str(&get(address, "/-/api/daemon")?).map_err(io::Error::other)
}

/// The body of one page. One HTTP/1.0 request: the answer ends with the connection.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let authorization = authorization("Authorization", CREDENTIALS.get());
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{authorization}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(LIMIT).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("the response is not HTTP"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        Some("401" | "403" | "407") => {
            let denied = Denied::read(head, body);
            Err(io::Error::new(io::ErrorKind::PermissionDenied, denied))
        }
        _ => Err(io::Error::other(
            head.lines().next().unwrap_or_default().to_owned(),
        )),
    }
}

/// Nobody answers at `address`, or the daemon there denies access; `start` says how to get one running.
pub(super) fn unreachable(address: SocketAddr, error: io::Error, start: &str) -> Failure {
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(Denied { cause, advice }) => {
            Failure::new(format!("the daemon at {address} denies access: {cause}"))
                .hint(advice.clone())
        }
        None => Failure::during(format!("no daemon answers at {address}"), error).hint(start),
    }
}

/// The daemon is there, and serves somebody else.
#[derive(Debug)]
struct Denied {
    cause: String,
    advice: String,
}

impl Denied {
    /// The daemon's own words; of another server its status line.
    fn read(head: &str, body: &str) -> Self {
        let mut lines = body
            .lines()
            .map_while(|line| line.strip_prefix("gitferry: "));
        let cause = lines.next().or(head.lines().next()).unwrap_or_default();
        let advice = lines.next();
        Self {
            cause: cause.to_owned(),
            advice: advice
                .unwrap_or("`gitferry help access` explains who is served")
                .to_owned(),
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "access denied: {}", self.cause)
    }
}

impl Error for Denied {}

/// The line by which a command gives the credentials of `[listen]` in the field `name`; nothing where there are none.
pub(super) fn authorization(name: &str, credentials: Option<&Credentials>) -> String {
    credentials.map_or_else(String::new, |credentials| {
        let pair = format!("{}:{}", credentials.username, credentials.password.expose());
        format!("{name}: Basic {}\r\n", BASE64_STANDARD.encode(pair))
    })
}
