//! The parameters of an exchange.

use crate::{
    forward::client::ClientConn,
    mirror::ReverseBase,
    model::{Scheme, Target},
    track::Front,
};

/// The parameters that a front passes in addition to the request.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeRequest {
    /// The front that received it.
    pub front: Front,
    /// The client's connection.
    pub client: ClientConn,
    /// The scheme toward the origin.
    pub scheme: Scheme,
    /// The requested target.
    pub target: Target,
    /// On the reverse front: the base for mapping the response's URLs.
    pub base: Option<ReverseBase>,
}
