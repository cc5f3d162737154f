//! `gitferry connect`: connects stdin and stdout to a target through the running daemon, for ssh's `ProxyCommand`.
//!
//! It requests a tunnel as any client does, so that ssh uses the same routes and is in the same log. It uses threads and
//! blocking sockets, because tokio's stdin would keep the process alive after the tunnel's end.

mod reply;

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs as _},
    thread,
    time::Duration,
};

use clap::Args;

use super::Failure;
use crate::{
    config::Config,
    model::{Target, secret::Credentials},
    net::api,
};

/// The daemon is usually on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The daemon replies after dialling, and it tries every upstream several times: this limit is only for a broken daemon.
const REPLY_TIMEOUT: Duration = Duration::from_secs(600);

/// `gitferry connect HOST:PORT`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry connect github.com:22\n  ssh -o ProxyCommand='gitferry connect %h:%p' git@github.com"
)]
pub(crate) struct ConnectArgs {
    /// The host and port to connect to.
    #[arg(value_name = "HOST:PORT", value_parser = target)]
    target: Target,
    /// The address of the daemon; default: as in the config.
    #[arg(long, value_name = "HOST:PORT", value_parser = target)]
    address: Option<Target>,
}

/// Parses the argument; a URL is refused.
fn target(text: &str) -> Result<Target, String> {
    if text.contains('/') {
        return Err(
            "expected host and port, such as huggingface.co:22, without scheme and path".into(),
        );
    }
    Target::parse(text, None).map_err(|error| error.to_string())
}

/// Connects stdin and stdout to the target until it closes. Fails where no daemon answers, or it refuses.
pub(crate) fn run(args: &ConnectArgs, config: &Config) -> Result<(), Failure> {
    let (stream, first) = tunnel(args, config)?;
    bridge(&stream, &first, io::stdin(), io::stdout())
        .map_err(|error| Failure::during(format!("the tunnel to {} broke", args.target), error))
}

/// For tests: the first bytes of the tunnel, or the reason of the refusal.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn reply(stream: &mut TcpStream) -> Result<Vec<u8>, String> {
    match reply::read(stream) {
        Ok(reply::Reply::Tunnel(first)) => Ok(first),
        Ok(reply::Reply::Refused(reason, _)) => Err(reason),
        Err(error) => Err(error.to_string()),
    }
}

/// The tunnel and its first bytes: an ssh server speaks first, often in the same segment as the reply.
fn tunnel(args: &ConnectArgs, config: &Config) -> Result<(TcpStream, Vec<u8>), Failure> {
    let mut stream = reach(&daemon_addresses(args, config)?)?;
    let asked = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(REPLY_TIMEOUT)))
        .and_then(|()| {
            stream.write_all(request(&args.target, config.listen.credentials.as_ref()).as_bytes())
        });
    let answered = asked.and_then(|()| reply::read(&mut stream));
    let reply = answered.map_err(|error| {
        Failure::during(
            format!("the daemon did not answer the request for {}", args.target),
            error,
        )
    })?;
    match reply {
        reply::Reply::Tunnel(first) => stream
            .set_read_timeout(None)
            .map(|()| (stream, first))
            .map_err(Failure::new),
        reply::Reply::Refused(reason, advice) => {
            let failure = Failure::new(format!("cannot connect to {}: {reason}", args.target));
            Err(match advice {
                Some(advice) => failure.hint(advice),
                None => failure,
            })
        }
    }
}

fn daemon_addresses(args: &ConnectArgs, config: &Config) -> Result<Vec<SocketAddr>, Failure> {
    match &args.address {
        None => Ok(config
            .listen
            .addresses
            .iter()
            .copied()
            .map(super::daemon::reachable)
            .collect()),
        Some(target) => {
            let looked_up = match target.host.ip() {
                Some(ip) => Ok(vec![SocketAddr::new(ip, target.port)]),
                None => target.to_string().to_socket_addrs().map(Iterator::collect),
            };
            looked_up.map_err(|error| Failure::during(format!("cannot resolve {target}"), error))
        }
    }
}

fn reach(addresses: &[SocketAddr]) -> Result<TcpStream, Failure> {
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some((address, error)),
        }
    }
    let Some((address, error)) = last else {
        return Err(Failure::new("the config has no address of the daemon")
            .hint("set `address` of `[listen]`"));
    };
    Err(
        Failure::during(format!("no daemon answers at {address}"), error).hint(
            "start it with `gitferry run`, or name its address with `--address` or `--config`",
        ),
    )
}

fn request(target: &Target, credentials: Option<&Credentials>) -> String {
    let authorization = api::authorization("Proxy-Authorization", credentials);
    format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: gitferry-connect/{}\r\n{authorization}\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Copies both ways. The end of `input` half-closes the tunnel. The target's end ends the command, because ssh notices the end of
/// a `ProxyCommand` by its closed stdout. A thread that still waits for input ends with the process.
fn bridge(
    stream: &TcpStream,
    first: &[u8],
    mut input: impl Read + Send + 'static,
    mut output: impl Write,
) -> io::Result<()> {
    let mut up = stream.try_clone()?;
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            // The reading side reports errors of the socket; an error of the input counts as its end.
            let _ = copy(&mut input, &mut up);
            let _ = up.shutdown(Shutdown::Write);
        })?;
    output.write_all(first)?;
    output.flush()?;
    let mut down = stream;
    copy(&mut down, &mut output)
}

/// Like `io::copy`, but with a flush after each read: stdout buffers the bytes after the last line break.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(buffer.get(..count).unwrap_or_default())?;
        to.flush()?;
    }
}

#[cfg(test)]
mod tests;
