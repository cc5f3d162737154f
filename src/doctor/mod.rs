//! `gitferry doctor`: checks every leg of every upstream before a push, and says in two sentences what works and what does not.
//!
//! [`table`] has a row for each check: its name, what it needs, what runs it, what its failure means. [`engine`] runs the checks
//! of each subject, [`check_results`] contains their findings, and [`verdict`] (pure) reads them. The
//! sockets are those of `net` and `tls`. Nothing here listens, and no request changes anything on a server. Called by `cli::doctor`.

mod certificate;
pub(crate) mod check_results;
mod clients;
mod credentials;
pub(crate) mod daemon;
pub(crate) mod engine;
pub(crate) mod git_settings;
mod hosts;
mod machine;
mod outcome;
mod path;
mod program;
mod repository;
mod session;
mod table;
mod url;
pub(crate) mod verdict;

pub(crate) use check_results::{CheckResults, CheckSubject, Finding};
pub(crate) use credentials::CredentialSource;
pub(crate) use hosts::{PlannedHost, of_config, of_repository};
pub(crate) use machine::{LocalFacts, same_place};
pub(crate) use outcome::{Outcome, State};
#[cfg(any(test, feature = "testing"))]
pub(crate) use path::portal::read as portal;
pub(crate) use path::{Probe, ProbeSetup, Rehearsal};
pub(crate) use repository::Repository;
pub(crate) use session::Session;
pub(crate) use table::PATH_CHECKS;
pub(crate) use url::{RemoteProtocol, RemoteUrl};
