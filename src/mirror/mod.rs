//! URLs that must stay on their routes: a table of rewrites, each a pure function.
//!
//! Here so far: what the reverse front needs for git itself. `front` makes a [`ReverseBase`] per request, `forward`
//! applies it to answers.

pub mod location;

pub use location::ReverseBase;
