//! In-process integration: a daemon on port 0, clients and origins that say exactly what a test tells them to.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    reason = "a test that cannot go on fails by panicking, spawns on its own runtime, and lists its cases in one place"
)]

mod access;
mod again;
mod api;
mod back_pressure;
mod check;
mod circuits;
mod closing_line;
mod config;
mod connect_order;
mod dead_resolver;
mod errors;
mod fake_ip;
mod flood;
mod forward;
mod framing;
mod guard;
mod healthy;
mod identity;
mod idle_clients;
mod layers;
mod liberal;
mod lifecycle;
mod log;
mod loops;
mod many;
mod messages;
mod methods;
mod mirrors;
mod observed;
mod one_host;
mod patience;
mod peer;
mod progress;
mod refusals;
mod replay;
mod report;
mod resume;
mod reverse;
mod segments;
mod skips;
mod spares;
mod state;
mod terminated;
mod tls_hop;
mod tunnels;
mod users;

#[path = "../support/mod.rs"]
mod support;

/// What most of these tests take.
mod world {
    pub(crate) use crate::support::{
        ferry::Run,
        hop::Hop,
        script::{
            Client, Connections, DEADLINE, GET, OK, all_at_once, answers_once, origin, read_until,
            reset, soon,
        },
        world::{World, route, route_by},
    };
}
