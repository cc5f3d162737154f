//! The world of the tests: real clients, a real git host, real hops, and relays named after their fault.
//!
//! Every server listens on loopback on a port that was free, keeps its files in the test's own directory, and ends
//! with the test. The daemon is a black box here: only its binary, config file, log and state directory are used.
//! What the servers are is installed by `.ci/install-test-deps`.
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
