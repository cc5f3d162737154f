//! gitferry: a local forwarding proxy that gets git, git-lfs and the Hugging Face tools through networks that break them.
//!
//! # Words
//!
//! *client* (git, git-lfs, curl, ssh) → *gitferry* → *hop* (an upstream proxy, if any) → *origin* (the site or its mirror).
//! A failure lies on one of three **legs**: client, hop, origin. A *target* is the host and port asked for; an *upstream* is one
//! configured way to an origin; a *route* says for which hosts, what to do with their TLS, and which upstreams in which order. A
//! *transfer* is one request, or one tunnel, being ferried. A *fault* is a failure with its address; a *stall* is a transfer in which
//! nothing moves although something should.
//!
//! # Layers
//!
//! A module imports only from those to its left, which `tests/it/layers.rs` reads the source to check:
//!
//! `rt, model → config → io → track → tls → net → mirror → forward → admin, doctor → front → service → cli`
//!
//! # Walk A: CONNECT to a terminated host
//!
//! [`net::listen`] accepts → [`front`] serves HTTP/1.1 with upgrades → `front::connect` asks [`config::Config::route`] → 200 →
//! `front::intercept` looks at the first bytes ([`tls::accept`]), accepts TLS with a leaf → each inner request goes to
//! [`forward::exchange`]: begin a [`track::Transfer`], ask [`model::attempts`] what to do, do it (take a pooled connection or dial by
//! [`net::dial`] and [`tls::connect`], send, wait for the answer), report what happened, until the answer is delivered or given up →
//! the answer's body owns the exchange, and the exchange owns the `Transfer`: with it the transfer ends, and its line is written.
//!
//! # Walk B: the reverse front
//!
//! Origin form → `front::reverse` takes the first segment as target → [`forward::exchange`] as above, with a mapping that brings
//! absolute URLs back.

// Without the feature nobody reaches `testing`, and what only it shows looks unused.
#![cfg_attr(not(any(test, feature = "testing")), allow(dead_code, unreachable_pub))]
// A test may be a long table.
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
mod tls;
mod track;

pub use cli::main;

/// What tests, benches and fuzz targets outside the crate reach; nothing else is public.
#[doc(hidden)]
#[cfg(any(test, feature = "testing"))]
pub mod testing;
