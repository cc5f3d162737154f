//! From a routed request or tunnel to its end: dial, send, answer.
//!
//! A [`Forwarder`] is one snapshot of the config with everything that was built from it. The fronts call [`Forwarder::exchange`] for a
//! request and [`tunnel`] for bytes; what the client spoke is theirs, what goes to the origin is decided here.
//!
//! A room imports only from those to its left, which `tests/it/layers.rs` checks: `request → upstream → exchange → tunnel, response →
//! serve`; no files import each other in a circle. What follows a fault is
//! [`crate::model::attempts`]'s decision; [`upstream::plan`] carries it out as far as connections go, [`exchange`] for requests.

pub(crate) mod client;
mod client_check;
pub(crate) mod credentials;
pub(crate) mod downloads;
pub(crate) mod exchange;
mod forwarder;
pub(crate) mod framing;
pub(crate) mod headers;
mod keep_alive;
pub(crate) mod limits;
pub(crate) mod request;
pub(crate) mod response;
mod serve;
pub(crate) mod tunnel;
pub(crate) mod upstream;

pub use forwarder::Shared;
pub(crate) use forwarder::{Current, Forwarder};
pub(crate) use request::{
    body::{Answer, AnswerBody},
    exchange_request::ExchangeRequest,
};
