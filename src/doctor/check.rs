//! What a check is; the checks themselves are [`super::table`].

use super::{Outcome, clients::InstalledClient, machine::Machine, path::Probe};
use crate::net::dial::BoxFuture;

/// One row: what is tried, when, and what its failure means.
pub(crate) struct Check {
    /// The stable name.
    pub name: &'static str,
    /// The checks that must have succeeded before; where one has not, this one is silent.
    pub needs: &'static [&'static str],
    /// The checks that must be over before, however they ended.
    pub after: &'static [&'static str],
    /// How it is run, and on what.
    pub run: Run,
    /// What its failure means, in a sentence without a full stop.
    pub means: &'static str,
}

/// How a check is run, by the kind of subject.
pub(crate) enum Run {
    /// On one host over one upstream.
    Path(for<'a> fn(&'a Probe) -> BoxFuture<'a, Outcome>),
    /// On this machine.
    Machine(for<'a> fn(&'a Machine) -> BoxFuture<'a, Outcome>),
    /// On one installed client.
    Client(for<'a> fn(&'a InstalledClient) -> BoxFuture<'a, Outcome>),
}
