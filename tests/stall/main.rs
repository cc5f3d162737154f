//! Every way in which a transfer stands still, made by the real condition, with real git-lfs and git as clients.
//!
//! Paths that lose packets are network namespaces that the tests make themselves, which takes root; where that is not to be had, they
//! say so aloud and are skipped.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod acting;
mod disk;
mod far;
mod network;
mod seeds;
mod table;
mod verdicts;
