//! The user database: the numbers of users and groups, and the groups that a user is in.
//!
//! By the name service switch, so that LDAP and its like count. It may hang: [`Groups`] asks on threads of its own, and keeps the
//! answers. Names in a config are looked up where it is loaded.

use std::{io, sync::Arc, time::Duration};

use nix::unistd::User;

use crate::rt::{Lookups, Workers};

/// The groups of users.
#[derive(Debug)]
pub(crate) struct Groups(Lookups<u32, Arc<[u32]>>);

/// How long a user who was just put into a group waits at most.
const KEEP: Duration = Duration::from_secs(60);

impl Default for Groups {
    fn default() -> Self {
        Self(Lookups::new(Workers::new("gitferry-users", 2, 64), KEEP))
    }
}

impl Groups {
    /// The groups of the user with this number. Fails where the database does not know the user, which is not kept: it may be its
    /// server that did not answer.
    pub(crate) async fn of(&self, uid: u32) -> io::Result<Arc<[u32]>> {
        self.0.get(uid, |uid| groups(*uid)).await
    }
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

/// Nobody asks here: macOS does not report the owner of a socket.
#[cfg(target_vendor = "apple")]
fn groups_of(user: &User) -> io::Result<Arc<[u32]>> {
    Ok([user.gid.as_raw()].into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn root_is_in_its_own_group_and_an_unknown_user_in_none() {
        let known = Groups::default();
        assert!(known.of(0).await.unwrap().contains(&0));
        assert!(known.of(12_345).await.is_err());
    }
}
