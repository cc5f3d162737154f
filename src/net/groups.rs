//! The user database: the ids of users and groups, and the groups of a user.
//!
//! Uses the name service switch, so LDAP and similar sources apply. It may block: [`Groups`] uses separate threads and caches the answers.
//! Names in a config are resolved when it is loaded.

use std::{io, sync::Arc, time::Duration};

use nix::unistd::User;
use tokio::time::timeout;

use crate::rt::{Lookups, Workers};

/// The names and the groups of users.
#[derive(Debug)]
pub(crate) struct Groups {
    groups: Lookups<u32, Arc<[u32]>>,
    names: Lookups<u32, Arc<str>>,
}

/// How long the groups of a user are cached: a user just added to a group waits at most this long.
const CACHE_LIFETIME: Duration = Duration::from_secs(60);

impl Default for Groups {
    fn default() -> Self {
        Self {
            groups: Lookups::new(Workers::new("gitferry-users", 2, 64), CACHE_LIFETIME),
            names: Lookups::new(Workers::new("gitferry-names", 2, 64), CACHE_LIFETIME),
        }
    }
}

impl Groups {
    /// The groups of the user with this id. Fails where the database does not know the user. That is not cached: the database's server may not
    /// have answered.
    pub(crate) async fn of(&self, uid: u32) -> io::Result<Arc<[u32]>> {
        self.groups.get(uid, |uid| groups(*uid)).await
    }

    /// The user for a log: `alice (uid 1001)`, or the id alone where the database has no name or is slow.
    pub(crate) async fn display_name(&self, uid: u32) -> String {
        match timeout(NAME_TIMEOUT, self.names.get(uid, |uid| name(*uid))).await {
            Ok(Ok(name)) => format!("{name} (uid {uid})"),
            Ok(Err(_)) | Err(_) => format!("with uid {uid}"),
        }
    }
}

/// How long a refusal waits for a name.
const NAME_TIMEOUT: Duration = Duration::from_millis(500);

fn name(uid: u32) -> io::Result<Arc<str>> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "no such user");
    let user = User::from_uid(uid.into())?.ok_or_else(unknown)?;
    Ok(user.name.into())
}

fn groups(uid: u32) -> io::Result<Arc<[u32]>> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "no such user");
    let user = User::from_uid(uid.into())?.ok_or_else(unknown)?;
    groups_of(&user)
}

#[cfg(not(target_vendor = "apple"))]
fn groups_of(user: &User) -> io::Result<Arc<[u32]>> {
    let name = std::ffi::CString::new(user.name.as_str())?;
    let groups = nix::unistd::getgrouplist(&name, user.gid)?;
    Ok(groups.into_iter().map(nix::unistd::Gid::as_raw).collect())
}

/// Unused: macOS does not report the owner of a socket.
#[cfg(target_vendor = "apple")]
fn groups_of(user: &User) -> io::Result<Arc<[u32]>> {
    Ok([user.gid.as_raw()].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn groups_of_root_are_found_and_an_unknown_user_is_an_error() {
        let known = Groups::default();
        assert!(known.of(0).await.unwrap().contains(&0));
        assert!(known.of(12_345).await.is_err());
        assert_eq!(known.display_name(0).await, "root (uid 0)");
        assert_eq!(known.display_name(12_345).await, "with uid 12345");
    }
}
