//! Who may use a listener on loopback: the daemon's own user, root, and whom the config adds.
//!
//! Pure: the kernel's and the user database's answers come in, a decision goes out.

use serde::Serialize;

/// Who opened a client's socket, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketOwner {
    /// This user.
    User(u32),
    /// Nobody that can be named, and why.
    Unknown(&'static str),
}

/// A user or a group, as the config has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub(crate) struct Account {
    /// As it was written.
    pub name: String,
    /// Its number.
    pub id: u32,
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.name
    }
}

/// `users` and `groups` of `[listen]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Access {
    /// Users beside the daemon's own and root.
    pub users: Vec<Account>,
    /// Groups whose members count too.
    pub groups: Vec<Account>,
}

/// What is to be done with a user's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Served.
    Serve,
    /// Served where the user is in one of the groups.
    AskGroups,
    /// Refused.
    Refuse,
}

impl Access {
    /// True where the config names anybody.
    pub(crate) fn is_explicit(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }

    /// What `uid` may do at a daemon that runs as `own`.
    pub(crate) fn admits(&self, uid: u32, own: u32) -> Admission {
        if uid == 0 || uid == own || self.users.iter().any(|user| user.id == uid) {
            Admission::Serve
        } else if self.groups.is_empty() {
            Admission::Refuse
        } else {
            Admission::AskGroups
        }
    }

    /// True where one of a user's `groups` is named.
    pub(crate) fn admits_member(&self, groups: &[u32]) -> bool {
        self.groups.iter().any(|group| groups.contains(&group.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: u32) -> Account {
        Account {
            name: id.to_string(),
            id,
        }
    }

    #[test]
    fn the_daemons_own_user_and_root_are_served_and_nobody_else_unless_named() {
        let mut access = Access::default();
        assert_eq!(access.admits(1000, 1000), Admission::Serve);
        assert_eq!(access.admits(0, 1000), Admission::Serve);
        assert_eq!(access.admits(1001, 1000), Admission::Refuse);
        assert!(!access.is_explicit());
        access.users.push(account(1001));
        assert_eq!(access.admits(1001, 1000), Admission::Serve);
        assert_eq!(access.admits(1002, 1000), Admission::Refuse);
        access.groups.push(account(50));
        assert_eq!(access.admits(1002, 1000), Admission::AskGroups);
        assert!(access.admits_member(&[4, 50]));
        assert!(!access.admits_member(&[4, 51]));
        assert_eq!(access.admits(1000, 1000), Admission::Serve);
    }
}
