//! The local CA before real clients, through the real daemon: they take its leaves for the configured hosts, and for no
//! others even with its key; a rotation is taken up; HTTP/2 carries the same bytes.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod constraints;
mod ends;
mod http2;
mod http2_errors;
mod http2_windows;
mod progress;
mod refusals;
mod rotation;

use std::net::SocketAddr;

use support::{
    ferry::Ferry,
    world::{MAIN, World},
};

/// A daemon that reaches the main site at `address` over HTTP/2.
fn over_http2(world: &World, address: SocketAddr) -> Ferry {
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], address)
        .route_line("http = \"2\"");
    Ferry::start(&settings)
}
