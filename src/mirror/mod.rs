//! Rewrites URLs in responses so that the client's next requests use its routes: a table of rewrites, each a pure function.
//!
//! A [`Mapping`] maps one URL: a mirror's URL back to the original, and on the reverse front any host's URL to a path of this daemon.
//! [`table::REWRITES`] lists where URLs occur and which client reads them there. `front` makes a [`ReverseBase`] per request, `forward`
//! applies the table to responses; nothing here waits or logs.

pub(crate) mod batch;
pub(crate) mod coding;
pub(crate) mod fields;
mod findings;
pub(crate) mod json;
pub(crate) mod mapping;
pub(crate) mod reverse;
pub(crate) mod table;
pub(crate) mod url;

pub(crate) use coding::Coding;
pub(crate) use findings::Findings;
pub(crate) use mapping::{MappedUrl, Mapping, mirror_path};
pub(crate) use reverse::ReverseBase;
pub(crate) use table::Rewrite;
