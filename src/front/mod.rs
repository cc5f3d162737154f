//! What the client speaks: CONNECT, absolute form, the reverse front.
