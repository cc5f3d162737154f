//! URLs that must stay on their routes: a table of rewrites, each a pure function.
//!
//! A [`Mapping`] says where a URL comes from and where it has to lead: a mirror's back to the original, and on the reverse
//! front any host's to a path of this daemon. [`REWRITES`] says where URLs stand, and who reads them there. `front` makes
//! a [`ReverseBase`] per request, `forward` applies the table to answers; nothing here waits or logs.

pub mod coding;
pub mod fields;
pub mod json;
pub mod mapping;
pub mod reverse;
pub mod table;
pub mod url;

pub use coding::Coding;
pub use mapping::{Mapped, Mapping, mirror_path};
pub use reverse::ReverseBase;
pub use table::{Findings, REWRITES, Rewrite};
