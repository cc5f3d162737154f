//! The size of TCP segments on paths that lose large ones.

/// A segment size in bytes that passes nested tunnels: IPv6 guarantees packets of 1280 bytes (RFC 8200, section 5), minus two headers.
pub(crate) const SMALL_SEGMENT: u32 = 1200;
