#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test whose preparation fails has failed"
)]

use std::{
    io::Write as _,
    net::{Ipv4Addr, Ipv6Addr, Shutdown},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use super::*;
use crate::rt::skip::{Need, is_root, skipped};

/// A user id that is not the overflow user, and unused on a usual machine.
const STRANGER: u32 = 12_345;

fn owners() -> SocketOwners {
    SocketOwners::open(Ipv4Addr::LOCALHOST.into()).unwrap()
}

#[test]
fn an_open_or_half_closed_connection_of_this_process_belongs_to_its_user() {
    for loopback in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let Ok(listener) = TcpListener::bind((loopback, 0)) else {
            skipped(Need::Kernel, &format!("no {loopback}"));
            continue;
        };
        let owners = SocketOwners::open(loopback).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, peer) = listener.accept().unwrap();
        let own = SocketOwner::User(geteuid().as_raw());
        let owner = || owners.owner(server.local_addr().unwrap(), peer);
        assert_eq!(owner(), own);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(owner(), own, "half closed");
    }
}

/// A shell of [`STRANGER`] that runs `script` with the connection as its descriptor 3. `None`, with a message, unless root runs the test.
fn stranger(to: SocketAddr, script: &str) -> Option<Child> {
    if !is_root("only root can be somebody else") {
        return None;
    }
    let port = to.port();
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && {script}");
    let mut bash = Command::new("bash");
    let bash = bash.uid(STRANGER).args(["-c", &script]);
    Some(bash.stdin(Stdio::piped()).spawn().unwrap())
}

#[test]
fn another_users_connection_belongs_to_that_user() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let Some(mut child) = stranger(address, "read wait") else {
        return;
    };
    let (server, peer) = listener.accept().unwrap();
    assert_eq!(
        owners().owner(server.local_addr().unwrap(), peer),
        SocketOwner::User(STRANGER)
    );
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    child.wait().unwrap();
}

#[test]
fn a_closed_connection_of_a_user_does_not_count_as_root() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    for script in [
        "echo GET >&3",
        "{ echo GET >&3; exec 3>&- 3<&-; read wait; }",
    ] {
        let Some(mut child) = stranger(address, script) else {
            return;
        };
        let (mut server, peer) = listener.accept().unwrap();
        // The end of the stream: the client has closed.
        let mut sent = String::new();
        server.read_to_string(&mut sent).unwrap();
        assert_eq!(sent, "GET\n");
        let owner = owners().owner(server.local_addr().unwrap(), peer);
        assert_eq!(owner, SocketOwner::Closed, "{script}");
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

#[test]
fn a_missing_socket_has_no_owner() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    assert!(matches!(
        owners().owner(address, nobody),
        SocketOwner::Unknown(_)
    ));
    // The kernel returns the listener itself where the queried connection would belong to it.
    assert!(matches!(
        owners().owner(nobody, address),
        SocketOwner::Unknown(_)
    ));
}
