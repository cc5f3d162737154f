//! The world of the tests: real clients, a real git host, real hops, and relays named after their fault.
//!
//! Every server listens on a free loopback port, keeps its files in the test's own directory, and ends with the test.
//! `.ci/install-test-deps` installs the servers.
//!
//! # Which to take
//!
//! The world: [`world::World`], one type. Its servers start on first use.
//! - What gitferry does on the wire, byte by byte: `World::with(routes)` or `World::in_front_of(name, origin)` (the `it` tests). The daemon
//!   runs inside the test, origins are scripts, and an answer takes milliseconds. Take this one where you can.
//! - The same with the binary: `World::run(Run::Binary, listen, routes)`. [`ferry::Run`] is the one difference.
//! - What a real client sees: `World::new()`, which has git, git-lfs, curl, a git host and LFS storage, and `Ferry::start(&settings)`
//!   with the config that [`settings::Settings`] makes.
//! - What the Hugging Face clients see: [`hub::Hub`] and [`hf::Hf`].
//! - What delay, loss and a narrow queue do: [`path::Path`]. It needs root.
//!
//! The daemon: [`ferry::Ferry`], one handle, in the process or as a binary. A world with a daemon dereferences to it.
//! - `next_fault`, `next_stall`, `next_end`, `faults` and `stalls` give its events as values, each wait with a deadline. A test that is
//!   not async waits with [`events::wait`].
//! - Only in the process: `shared`, `stop` with its grace, `reload` that is done on return.
//! - Only the binary: signals, exit code, `log`, lines of the log (`next_line`, `wait_for_event`), memory, descriptors.
//! - Assert `leg`, `stage`, `kind` and `code` of events; text of the log or of metrics only where that text is what is tested.
//!
//! The hop: [`hop::Hop`], one type; the page of [`hop`] lists its kinds. A real one by scheme: `World::hop`.
//!
//! The origin:
//! - A script for each connection: [`script::origin`].
//! - Real git: [`git_host::GitHost`]; LFS: [`lfs::LfsServer`]; a mirror: [`mirror::Mirror`]; ssh: [`sshd::Sshd`].
//! - Any of these with a fault on the way: a [`relay::Relay`], named after the fault, before it.
//! - A certificate with a flaw: [`ca::TestCa`] and [`ca::Flaw`].
#![allow(
    dead_code,
    reason = "several test binaries share this world, and none needs all of it"
)]

pub(crate) mod access_log;
pub(crate) mod background;
pub(crate) mod ca;
pub(crate) mod client;
pub(crate) mod events;
pub(crate) mod ferry;
pub(crate) mod git_host;
pub(crate) mod hf;
pub(crate) mod hop;
pub(crate) mod hub;
mod late_body;
pub(crate) mod lfs;
pub(crate) mod lfs_storage;
pub(crate) mod mirror;
pub(crate) mod path;
pub(crate) mod port;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod script;
pub(crate) mod settings;
pub(crate) mod skip;
pub(crate) mod small_disk;
pub(crate) mod sshd;
pub(crate) mod venv;
pub(crate) mod world;
