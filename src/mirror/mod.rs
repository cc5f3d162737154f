//! URLs that must stay on their routes: a table of rewrites.
