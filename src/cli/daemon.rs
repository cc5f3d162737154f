//! Asking the running daemon: one GET of its own pages, by every command that needs an answer from it.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;

/// Longer than a daemon of this machine ever takes.
const DEADLINE: Duration = Duration::from_secs(5);

/// The largest answer that is read.
const LIMIT: u64 = 64 << 20;

/// What `/-/api/daemon` says, as far as commands need it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Daemon {
    /// The config's file; none for the embedded default.
    pub config: Option<PathBuf>,
    /// The state directory, where the CA is.
    pub state_directory: PathBuf,
}

/// The daemon at `address`. Fails where nobody answers, or somebody else.
pub(crate) fn about(address: SocketAddr) -> io::Result<Daemon> {
    serde_json::from_str(&get(address, "/-/api/daemon")?).map_err(io::Error::other)
}

/// The body of one page. One HTTP/1.0 request: the answer ends with the connection.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(LIMIT).read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(
            head.lines().next().unwrap_or_default().to_owned(),
        )),
    }
}
