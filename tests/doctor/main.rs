//! `gitferry doctor` before networks, repositories and clients with one fault each. The names of the tests are the promises.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod faults;
mod island;
mod machine;
#[allow(dead_code, reason = "tests/stall needs all of it")]
#[path = "../stall/network.rs"]
mod network;
mod networks;
mod push;
mod run;
