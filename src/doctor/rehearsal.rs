//! The parts of a push that are rehearsed on a host.

use std::sync::Arc;

use super::{credentials::CredentialSource, url::RemoteUrl};

/// What is rehearsed on a host.
#[derive(Clone)]
pub(crate) struct Rehearsal {
    /// The repository that a push would go to.
    pub repository: Option<RemoteUrl>,
    /// The LFS API that it would ask.
    pub lfs: Option<RemoteUrl>,
    /// True where git-lfs gets the API's URL and a token from the ssh server.
    pub lfs_over_ssh: bool,
    /// True where the repository has files of git-lfs.
    pub uses_lfs: bool,
    /// Who acts.
    pub credentials: Arc<CredentialSource>,
}
