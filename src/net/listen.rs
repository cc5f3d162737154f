//! The listening sockets: bound here, or handed over by systemd.
