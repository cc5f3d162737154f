//! Paths, queries and headers without what is secret in them.
