//! From a routed request or tunnel to its end: dial, send, answer.
