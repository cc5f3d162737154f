//! The first entropy of the random number generator.

use std::thread;

use rustls::crypto::aws_lc_rs;

/// Gathers it in the background: AWS-LC measures CPU jitter for 25 ms, and the first key generation would wait for it.
pub(crate) fn seed_generator() {
    let seeding = || {
        let generator = aws_lc_rs::default_provider().secure_random;
        drop(generator.fill(&mut [0; 1]));
    };
    if let Err(error) = thread::Builder::new().name("seed".into()).spawn(seeding) {
        tracing::debug!(%error, "the random generator is seeded when it is needed");
    }
}
