//! The world of the tests: real clients, a real git host, real hops, and relays named after their fault.
//!
//! Every server listens on loopback on a port that was free, keeps its files in the test's own directory, and ends
//! with the test. The daemon is a black box here: only its binary, config file, log and state directory are used.
//! What the servers are is installed by `.ci/install-test-deps`.
//!
//! # Which to take
//!
//! The world:
//! - What gitferry does on the wire, byte by byte: `World` of `tests/it/world.rs`. The daemon runs inside the test, origins are
//!   scripts, and an answer takes milliseconds. Take this one where you can.
//! - What a real client sees: [`world::World`], with git, git-lfs, curl and a git host with LFS storage, and a [`ferry::Ferry`].
//! - What the Hugging Face clients see: [`hub::Hub`] and [`hf::Hf`].
//! - What delay, loss and a narrow queue do: [`path::Path`]. It needs root.
//!
//! The daemon:
//! - `World` of `tests/it/world.rs` starts and reloads it in the process. `faults`, `stalls`, `next_fault`, `next_stall` and `ended`
//!   give its events as values, each with a deadline. Where the daemon is stopped, take its parts: `let World { daemon, events, .. }`.
//! - [`ferry::Ferry`] is the binary with a config file made of [`settings::Settings`]: for signals, exit codes, start, the log and
//!   memory. `next_fault`, `next_stall` and `next_end` read the same events from its JSON log.
//! - Assert `leg`, `stage`, `kind` and `code` of events; text of the log or of metrics only where that text is what is tested.
//!
//! The hop:
//! - A real one that asks for a password, by HTTP, HTTPS or SOCKS: [`hops::Hop`], or `World::hop` with a scheme.
//! - One that answers what the test says: [`hops::ScriptedHop`].
//! - One that nothing may reach: [`trap::Trap`].
//! - One beyond a [`path::Path`]: [`path::hop::FarHop`].
//!
//! The origin:
//! - A script for each connection: `origin` of `tests/it/world.rs`.
//! - Real git: [`git_host::GitHost`]; LFS: [`lfs::LfsServer`]; a mirror: [`mirror::Mirror`]; ssh: [`sshd::Sshd`].
//! - Any of these with a fault on the way: a [`relay::Relay`], named after the fault, before it.
//! - A certificate with a flaw: [`ca::TestCa`] and [`ca::Flaw`].
#![allow(
    dead_code,
    reason = "several test binaries share this world, and none needs all of it"
)]

pub(crate) mod background;
pub(crate) mod ca;
pub(crate) mod client;
pub(crate) mod ferry;
pub(crate) mod git_host;
pub(crate) mod hf;
pub(crate) mod hops;
pub(crate) mod hub;
pub(crate) mod lfs;
pub(crate) mod lfs_storage;
pub(crate) mod mirror;
pub(crate) mod path;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod settings;
pub(crate) mod small_disk;
pub(crate) mod sshd;
pub(crate) mod trap;
pub(crate) mod world;
