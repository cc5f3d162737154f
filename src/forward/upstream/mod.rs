//! The path to an origin: which upstream is next, one attempt at it, its circuit, and the idle connections.

pub(crate) mod address;
pub(crate) mod attempt;
pub(crate) mod background_dial;
pub(crate) mod circuit;
pub(crate) mod destination;
pub(crate) mod driver;
pub(crate) mod flood;
pub(crate) mod head_check;
mod http1;
pub(crate) mod plan;
pub(crate) mod pool;
pub(crate) mod send;
pub(crate) mod spare;
pub(crate) mod stale;
pub(crate) mod withhold;
