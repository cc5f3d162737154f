//! What the client sends: the request body, when it may be sent, and the copy kept for sending it again.

pub(crate) mod body;
pub(crate) mod exchange_request;
pub(crate) mod gate;
pub(crate) mod outgoing;
pub(crate) mod partial_response;
pub(crate) mod replay;
pub(crate) mod spool;
pub(crate) mod uploads;
