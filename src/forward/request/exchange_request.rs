//! What a front asks for.

use crate::{
    forward::client::ClientConn,
    mirror::ReverseBase,
    model::{Scheme, Target},
    track::Front,
};

/// What a front asks for, beside the request itself.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeRequest {
    /// How it came in.
    pub front: Front,
    /// The client's connection.
    pub client: ClientConn,
    /// The scheme toward the origin.
    pub scheme: Scheme,
    /// Where to.
    pub target: Target,
    /// On the reverse front: what the answer's URLs are mapped back to.
    pub base: Option<ReverseBase>,
}
