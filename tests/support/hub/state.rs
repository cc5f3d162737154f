//! What the Hub keeps: repositories with one branch, objects by hash, parts of uploads, and the Xet store's xorbs and files.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use tokio_util::bytes::Bytes;

use super::shard::XetFile;
use crate::support::lfs_storage::hex;

/// All of it.
#[derive(Default)]
pub(super) struct State {
    pub(super) repositories: BTreeMap<String, Repository>,
    /// LFS objects by SHA-256.
    pub(super) objects: BTreeMap<String, Bytes>,
    /// Parts by upload and number.
    pub(super) parts: BTreeMap<(String, u64), Bytes>,
    /// Xorbs by hash.
    pub(super) xorbs: BTreeMap<String, Bytes>,
    /// Xorbs that were uploaded by a grant and not committed yet.
    pub(super) granted: BTreeMap<String, Bytes>,
    /// Files of shards by hash.
    pub(super) files: BTreeMap<String, XetFile>,
}

/// A repository at its newest commit.
#[derive(Default)]
pub(super) struct Repository {
    pub(super) commits: u64,
    pub(super) files: BTreeMap<String, File>,
}

/// A file of a commit.
#[derive(Clone)]
pub(super) enum File {
    Regular(Bytes),
    /// By SHA-256 and size; the bytes are in the LFS storage or in the Xet store.
    Large(String, u64),
}

impl File {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Regular(bytes) => bytes.len() as u64,
            Self::Large(_, size) => *size,
        }
    }

    /// What git calls the blob; of a large file, its pointer's.
    pub(super) fn blob(&self) -> String {
        let content = match self {
            Self::Regular(bytes) => bytes.clone(),
            Self::Large(oid, size) => pointer(oid, *size).into(),
        };
        let mut blob = format!("blob {}\0", content.len()).into_bytes();
        blob.extend_from_slice(&content);
        hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &blob).as_ref())
    }
}

/// The file that git-lfs puts in a large one's place.
pub(super) fn pointer(oid: &str, size: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")
}

/// SHA-256 in hexadecimal digits.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

impl Repository {
    /// The newest commit.
    pub(super) fn commit(&self) -> String {
        let seed = format!("commit {}", self.commits);
        hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, seed.as_bytes()).as_ref())
    }

    /// True where `revision` is the branch or its newest commit.
    pub(super) fn is_at(&self, revision: &str) -> bool {
        revision == "main" || revision == self.commit()
    }
}

impl State {
    /// The repository, where it has this revision.
    pub(super) fn repository(&self, id: &str, revision: &str) -> Option<&Repository> {
        let found = self.repositories.get(id);
        found.filter(|known| known.is_at(revision))
    }

    /// True where the bytes of a large file are here.
    pub(super) fn has(&self, oid: &str) -> bool {
        self.objects.contains_key(oid) || self.xet_hash(oid).is_some()
    }

    /// The Xet store's hash of a file, where it has it.
    pub(super) fn xet_hash(&self, oid: &str) -> Option<&str> {
        let mut files = self.files.iter();
        files.find_map(|(hash, file)| (file.sha256.as_deref() == Some(oid)).then_some(&**hash))
    }

    pub(super) fn hashes(&self, repository: &str) -> BTreeMap<String, String> {
        let files = self.repositories.get(repository).map(|known| &known.files);
        let files = files.into_iter().flatten();
        let hash = |file: &File| match file {
            File::Regular(bytes) => sha256(bytes),
            File::Large(oid, _) => oid.clone(),
        };
        files
            .map(|(path, file)| (path.clone(), hash(file)))
            .collect()
    }
}
