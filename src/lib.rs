//! gitferry: a local forwarding proxy that gets git, git-lfs and the Hugging Face tools through networks that break them.
//!
//! # Words
//!
//! *client* (git, git-lfs, curl, ssh) → *gitferry* → *hop* (an upstream proxy, if any) → *origin* (the site or its mirror).
//! A failure lies on one of three **legs**: client, hop, origin. A *target* is the host and port that the client requests; an *upstream*
//! is one configured way to an origin; a *route* names hosts, says what to do with their TLS, and lists their upstreams in order. A
//! *transfer* is one request or one tunnel. A *fault* is a failure with its leg, stage and kind; a *stall* is a transfer in which nothing
//! moves although something should.
//!
//! # Layers
//!
//! A module imports only from modules to its left; `tests/it/layers.rs` reads the source and checks it:
//!
//! `sync → rt, model → config → io → track → tls → net → mirror → forward → admin, doctor → front → service → cli`
//!
//! # Walk A: CONNECT to a terminated host
//!
//! [`net::listen`] accepts → [`front`] serves HTTP/1.1 with upgrades → `front::connect` asks [`config::Config::route`] → 200 →
//! `front::intercept` detects the protocol from the first bytes ([`tls::accept`]) and accepts TLS with a leaf certificate → each inner
//! request goes to [`forward::exchange`]: it begins a [`track::Transfer`], asks [`model::attempts`] for the next command, carries it out
//! (take a pooled connection or dial with [`net::dial`] and [`tls::connect`], send, wait for the response) and reports the outcome, until
//! the response is delivered or given up → the response body owns the exchange, and the exchange owns the `Transfer`: when the client has
//! the body's last byte, the transfer ends and its log line is written.
//!
//! # Walk B: the reverse front
//!
//! Origin form → `front::reverse` takes the first path segment as the target → [`forward::exchange`] as above, with a mapping that
//! rewrites absolute URLs in the response so that they point to gitferry.

// Without the feature no code uses `testing`, and the compiler reports what only `testing` exports as unused.
#![cfg_attr(not(any(test, feature = "testing")), allow(dead_code, unreachable_pub))]
// Test functions may contain long tables.
#![cfg_attr(test, allow(clippy::too_many_lines))]

mod admin;
mod cli;
mod config;
mod doctor;
mod forward;
mod front;
mod io;
mod mirror;
mod model;
mod net;
mod rt;
mod service;
mod sync;
mod tls;
mod track;

pub use cli::main;

/// What tests, benches and fuzz targets outside the crate use; nothing else is public.
#[doc(hidden)]
#[cfg(any(test, feature = "testing"))]
pub mod testing;
