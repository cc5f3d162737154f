//! `gitferry doctor`: tries every leg of every upstream before a push does, and says in two sentences what works and what does not.
//!
//! [`CHECKS`] is the one table: what a check is called, what it needs, how it is run, what its failure means. [`engine`] runs the checks
//! of each [`Examined`] subject as soon as what they need is known, [`board`] holds what they found, [`verdict`] (pure) reads it. The
//! sockets are those of `net` and `tls`; nothing here listens, and nothing is sent that could act. Called by `cli::doctor`.

pub(crate) mod board;
mod certificate;
mod check;
pub(crate) mod engine;
mod hosts;
mod path;
mod session;
pub(crate) mod verdict;

pub(crate) use board::{Board, Finding, Subject};
pub(crate) use check::{CHECKS, Check, Fact, Outcome, Run, State};
pub(crate) use hosts::{PlannedHost, of_config};
pub(crate) use path::{Means, Probe, Purpose};
pub(crate) use session::Session;
