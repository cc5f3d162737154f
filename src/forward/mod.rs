//! From a routed request or tunnel to its end: dial, send, response.
//!
//! A [`Forwarder`] is one snapshot of the config with everything built from it. The fronts call [`Forwarder::exchange`] for a request and
//! [`tunnel`] for a tunnel. The fronts know the client's protocol; this module decides what goes to the origin.
//!
//! A submodule imports only from those to its left, which `tests/it/layers.rs` checks: `request → upstream → exchange → tunnel, response →
//! serve`; no files import each other in a circle. [`crate::model::attempts`] decides what follows a fault. [`upstream::plan`] carries the
//! decision out for connections, [`exchange`] for requests.

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
    body::{HttpResponse, ResponseBody},
    exchange_request::ExchangeRequest,
};
