//! The types and decisions of gitferry: values in, a decision out.
//!
//! Nothing here opens a socket, spawns a task or reads a clock; `now` is an argument. Tests can therefore run thousands of cases with
//! the exact timing of a user's log. All other modules may import this one.

pub(crate) mod access;
pub(crate) mod address;
pub(crate) mod advice;
pub(crate) mod agent;
pub(crate) mod attempts;
pub(crate) mod classify;
pub(crate) mod columns;
pub(crate) mod congestion;
pub(crate) mod credential_memory;
pub(crate) mod fault;
pub(crate) mod fields;
pub(crate) mod health;
mod leg;
pub(crate) mod named;
pub(crate) mod password_guesses;
pub(crate) mod quoted;
pub(crate) mod rate;
pub(crate) mod recent_peak;
pub(crate) mod refusals;
pub(crate) mod request_loop;
pub(crate) mod resource;
pub(crate) mod route;
pub(crate) mod secret;
pub(crate) mod segment_size;
pub(crate) mod segments;
pub(crate) mod siblings;
pub(crate) mod size;
pub(crate) mod stale;
pub(crate) mod stall;
pub(crate) mod target;
pub(crate) mod unit;
pub(crate) mod untrusted;

use std::sync::LazyLock;

pub(crate) use fault::{Denial, Fault, FaultKind};
pub(crate) use leg::{Leg, Stage};
pub(crate) use route::{HostPattern, Role, TlsMode};
pub(crate) use secret::Secret;
pub use target::Target;
pub(crate) use target::{Host, Scheme};

/// The name of this process in `Via` (RFC 9110, section 7.6.3): `gitferry-` and eight random characters.
///
/// A request that already carries it has looped back. The random part tells two daemons in one chain apart.
pub fn pseudonym() -> &'static str {
    static PSEUDONYM: LazyLock<String> = LazyLock::new(|| {
        let random = (0..8).map(|_| fastrand::alphanumeric().to_ascii_lowercase());
        format!("gitferry-{}", random.collect::<String>())
    });
    &PSEUDONYM
}
