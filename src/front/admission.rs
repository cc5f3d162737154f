//! Which local users are served: compares the kernel's report on a client's socket with `[listen]`.
//!
//! Checked for every request with the current config, so that a reload applies to clients that keep their connection.

use std::sync::LazyLock;

use nix::unistd::geteuid;

use crate::{
    forward::{Forwarder, client::ClientConn},
    model::{
        Denial, Fault, FaultKind, Leg, Stage,
        access::{Admission, SocketOwner},
    },
};

/// The daemon's own user, which does not change.
static OWN_USER: LazyLock<u32> = LazyLock::new(|| geteuid().as_raw());

/// Why `client` is not served; `None` where it is.
pub(super) async fn refusal(forwarder: &Forwarder, client: &ClientConn) -> Option<Fault> {
    let owner = client.owner?;
    let listen = &forwarder.config.listen;
    if !listen.identifies_users() {
        return None;
    }
    let denied = |denial, detail: String| {
        let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Denied(denial));
        Some(fault.peer(client.address).detail(detail))
    };
    let uid = match owner {
        SocketOwner::User(uid) => uid,
        SocketOwner::Closed => {
            let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Gone);
            let why = "the client closed its connection before it was accepted";
            return Some(fault.peer(client.address).detail(why));
        }
        SocketOwner::Unknown(why) => return denied(Denial::UnknownUser, why.into()),
    };
    let why = match listen.access.admission(uid, *OWN_USER) {
        Admission::Serve => return None,
        Admission::Refuse => "is not among the `users` that `[listen]` serves".to_owned(),
        Admission::AskGroups => match forwarder.shared.groups.of(uid).await {
            Ok(groups) if listen.access.admits_member(&groups) => return None,
            Ok(_) => "is not in a group that `[listen]` serves".to_owned(),
            Err(error) => format!("has groups that cannot be looked up: {error}"),
        },
    };
    let user = forwarder.shared.groups.display_name(uid).await;
    denied(Denial::LocalUser, format!("the local user {user} {why}"))
}
