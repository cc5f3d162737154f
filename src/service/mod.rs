//! The daemon as a service: signals, readiness, reload, draining.
