//! One struct per event: it writes the log line and the counter.
