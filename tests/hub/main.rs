//! The real Hugging Face clients against a small Hub, straight and through the daemon. The names of the tests are the promises.
//!
//! Where the daemon is used, the clients have no other way: everything that would go past it goes to a hop that refuses and
//! writes it down.
#![cfg(test)]

#[path = "../support/mod.rs"]
mod support;

mod direct;
mod downloads;
mod multipart;
mod scenes;
mod stalls;
mod through;
mod ways;
