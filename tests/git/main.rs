//! Real git and git-lfs through the real daemon. The names of the tests are the promises.
//!
//! `cargo test --test git -- --skip slow::` leaves out what moves gigabytes or starts many clients at once.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod ctrl_c;
mod facts;
mod fronts;
mod handshakes;
mod lfs;
mod lifecycle;
mod mirrors;
mod network_change;
mod refusals;
mod report;
mod secrets;
mod slow;
mod ssh;
mod strangers;
mod tokens;
mod vanishing;
