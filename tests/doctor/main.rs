//! `gitferry doctor` before networks, repositories and clients with one fault each. The names of the tests are the promises.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod faults;
mod machine;
mod push;
mod run;
