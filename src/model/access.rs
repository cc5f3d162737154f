//! Who may use a listener on loopback: the daemon's own user, root, and the users and groups of the config.
//!
//! Pure: the answers of the kernel and the user database are inputs; the result is a decision.

use serde::Serialize;

/// The user who opened a client's socket, according to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SocketOwner {
    /// This user.
    User(u32),
    /// The client closed the socket before the kernel was asked, for example by Ctrl-C.
    Closed,
    /// The kernel did not name a user; the text says why.
    Unknown(&'static str),
}

/// A user or group of the config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub(crate) struct Account {
    /// The name as configured.
    pub name: String,
    /// Its numeric id.
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
    /// Users in addition to the daemon's own and root.
    pub users: Vec<Account>,
    /// Groups whose members may use the listener.
    pub groups: Vec<Account>,
}

/// The decision about a user's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Serve them.
    Serve,
    /// Serve them if the user is in one of the groups.
    AskGroups,
    /// Refuse them.
    Refuse,
}

impl Access {
    /// True where the config names any user or group.
    pub(crate) fn is_explicit(&self) -> bool {
        !self.users.is_empty() || !self.groups.is_empty()
    }

    /// Whether `uid` may use a daemon that runs as `own`.
    pub(crate) fn admission(&self, uid: u32, own: u32) -> Admission {
        if uid == 0 || uid == own || self.users.iter().any(|user| user.id == uid) {
            Admission::Serve
        } else if self.groups.is_empty() {
            Admission::Refuse
        } else {
            Admission::AskGroups
        }
    }

    /// True where the config names one of the user's `groups`.
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
        assert_eq!(access.admission(1000, 1000), Admission::Serve);
        assert_eq!(access.admission(0, 1000), Admission::Serve);
        assert_eq!(access.admission(1001, 1000), Admission::Refuse);
        assert!(!access.is_explicit());
        access.users.push(account(1001));
        assert_eq!(access.admission(1001, 1000), Admission::Serve);
        assert_eq!(access.admission(1002, 1000), Admission::Refuse);
        access.groups.push(account(50));
        assert_eq!(access.admission(1002, 1000), Admission::AskGroups);
        assert!(access.admits_member(&[4, 50]));
        assert!(!access.admits_member(&[4, 51]));
        assert_eq!(access.admission(1000, 1000), Admission::Serve);
    }
}
