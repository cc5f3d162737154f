//! What the client sends: its body, when it may leave, and what is kept of it so that it can be sent again.

pub(crate) mod body;
pub(crate) mod exchange_request;
pub(crate) mod gate;
pub(crate) mod outgoing;
pub(crate) mod partial_response;
pub(crate) mod replay;
pub(crate) mod spool;
pub(crate) mod uploads;
