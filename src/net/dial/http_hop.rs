//! CONNECT through an http or https hop.
