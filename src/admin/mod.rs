//! The daemon's own pages under `/-/`: status, API, metrics, the CA certificate (never its key).
