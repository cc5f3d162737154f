//! The words of gitferry and its decisions: values in, a decision out.
//!
//! Nothing here opens a socket, spawns a task or reads a clock; `now` is an argument. That is what lets the
//! rules be tested by the thousand with the exact timing of a user's log. Everything above calls this module.

pub mod advice;
pub mod classify;
pub mod fault;
pub mod health;
pub mod retry;
pub mod route;
pub mod secret;
pub mod target;

pub use fault::{Fault, FaultKind, Leg, Stage};
pub use route::{HostPattern, Role, TlsMode};
pub use secret::Secret;
pub use target::{Host, Scheme, Target};
