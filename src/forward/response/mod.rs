//! What the client receives: the origin's response, resumed or rewritten where needed, or an error in the client's format.

pub(crate) mod batch;
pub(crate) mod body;
mod delivery;
mod drain;
pub(crate) mod errors;
pub(crate) mod quoted;
pub(crate) mod rewrite;
pub(crate) mod segments;
