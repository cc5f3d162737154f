//! The truth table: each test cell injects a cause and runs the real git, git-lfs or Hugging Face client. The first line of the log about
//! the fault must have the right code, leg and time.
//!
//! The causes are rows of [`causes::CAUSES`]. The test runs them concurrently, with limits of a tenth of the defaults, and prints the table
//! (`--nocapture`). `GITFERRY_TRUTH=defaults` runs all of it on the default limits, which takes minutes: `tests/long` does that.
//! `GITFERRY_TRUTH=upload` runs only the rows and cells whose name contains `upload`.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod advice;
mod advice_cases;
mod causes;
mod clients;
mod expired;
mod faults;
#[allow(dead_code, reason = "tests/hops needs all of them")]
#[path = "../hops/programs/mod.rs"]
mod programs;
mod scene;
mod servers;
mod table;
