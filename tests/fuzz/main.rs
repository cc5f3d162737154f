//! Every parser of bytes from outside gets mutated inputs: seeds that are cut, spliced and mixed with special words.
//!
//! Each target says what must hold beyond "it does not panic". In the suite it runs on the same few hundred inputs each time, so that an
//! unrelated change does not fail for a new input. For new inputs, and for one target:
//!
//! ```sh
//! GITFERRY_FUZZ_SECONDS=600 cargo test --release --test fuzz a_rewritten_location
//! ```
//!
//! A failure prints its input and a seed, which runs it again: `GITFERRY_FUZZ_SEED=0x… cargo test --test fuzz a_rewritten_location`. An
//! input that fails becomes a test beside its parser.
#![cfg(test)]

mod config;
mod fields;
mod hops;
mod json;
mod local;
mod logs;
mod peer;
mod resolve;
mod urls;

use std::{fmt::Write as _, time::Duration};

use arbtest::{
    arbitrary::{Result, Unstructured},
    arbtest,
};

/// Random sizes, flags and choices for one run of a target.
pub(crate) type Choices<'a, 'b> = &'a mut Unstructured<'b>;

/// How many inputs each target gets in the suite.
const INPUTS: u64 = 400;

/// Runs `check` on inputs made of `seeds` and `words`: always the same ones, or others until the time is over.
pub(crate) fn fuzz(
    seeds: &[&[u8]],
    words: &[&str],
    mut check: impl FnMut(&[u8], Choices<'_, '_>) -> Result<()>,
) {
    let mut property = |choices: Choices<'_, '_>| {
        let input = Shown(mutated(choices, seeds, words)?);
        check(&input.0, choices)
    };
    let variable = |name| std::env::var(name).ok();
    if let Some(seed) = variable("GITFERRY_FUZZ_SEED") {
        let seed = u64::from_str_radix(seed.trim_start_matches("0x"), 16);
        let seed = seed.expect("a seed as a failure prints it");
        return arbtest(property).seed(seed).run();
    }
    if let Some(seconds) = variable("GITFERRY_FUZZ_SECONDS") {
        let seconds = seconds.parse().expect("a number of seconds");
        let budget = Duration::from_secs_f64(seconds);
        return arbtest(property).budget(budget).run();
    }
    for number in 1..=INPUTS {
        // As arbtest reads a seed: random bits above, the size of the input's choices below.
        let random = number.wrapping_mul(0x9e37_79b9) & 0xffff_ffff;
        arbtest(&mut property)
            .seed(random << 32 | (32 + number * 40))
            .run();
    }
}

/// An input that is printed where its check fails.
struct Shown(Vec<u8>);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut text = String::new();
            for byte in &self.0 {
                let _ = write!(text, "{}", byte.escape_ascii());
            }
            eprintln!("input: b\"{text}\"");
        }
    }
}

/// A seed, or random bytes, after a few changes.
fn mutated(u: &mut Unstructured<'_>, seeds: &[&[u8]], words: &[&str]) -> Result<Vec<u8>> {
    let mut input = match seeds {
        [] => u.arbitrary()?,
        _ if u.ratio(1, 16)? => u.arbitrary()?,
        seeds => u.choose(seeds)?.to_vec(),
    };
    for _ in 0..u.int_in_range(0..=6)? {
        let at = u.int_in_range(0..=input.len())?;
        let end = u.int_in_range(at..=input.len().min(at + 64))?;
        match u.int_in_range(0..=6)? {
            0 if at < input.len() => input[at] = u.arbitrary()?,
            1 => input.truncate(at),
            2 => drop(input.drain(at..end)),
            3 => {
                let piece = input[at..end].to_vec();
                let times = u.int_in_range(1..=40)?;
                drop(input.splice(end..end, piece.repeat(times)));
            }
            4 if !seeds.is_empty() => {
                let other = *u.choose(seeds)?;
                let from = u.int_in_range(0..=other.len())?;
                drop(input.splice(at..end, other[from..].iter().copied()));
            }
            _ if !words.is_empty() => {
                let word = u.choose(words)?.bytes();
                drop(input.splice(at..at, word));
            }
            _ => input.insert(at, u.arbitrary()?),
        }
    }
    Ok(input)
}
