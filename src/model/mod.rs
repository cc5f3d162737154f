//! The words of gitferry and its decisions: values in, a decision out.
//!
//! Nothing here opens a socket, spawns a task or reads a clock; `now` is an argument. That is what lets the
//! rules be tested by the thousand with the exact timing of a user's log. Everything above calls this module.

pub mod address;
pub mod advice;
pub mod agent;
pub mod classify;
pub mod fault;
pub mod health;
pub mod rate;
pub mod retry;
pub mod route;
pub mod secret;
pub mod siblings;
pub mod stall;
pub mod target;

use std::sync::LazyLock;

pub use fault::{Denial, Fault, FaultKind, Leg, Stage};
pub use route::{HostPattern, Role, TlsMode};
pub use secret::Secret;
pub use target::{Host, Scheme, Target};

/// The name of this process in `Via` (RFC 9110, section 7.6.3): `gitferry-` and eight random characters.
///
/// A request that already bears it has come in a circle. It is random so that two daemons in one chain are two.
pub fn pseudonym() -> &'static str {
    static PSEUDONYM: LazyLock<String> = LazyLock::new(|| {
        let random = (0..8).map(|_| fastrand::alphanumeric().to_ascii_lowercase());
        format!("gitferry-{}", random.collect::<String>())
    });
    &PSEUDONYM
}
