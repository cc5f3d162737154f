//! `users` and `groups` of `[listen]`: accounts of this machine by name, or by id in quotes.

use nix::unistd::{Group, User};

use super::section::Section;
use crate::model::access::{Access, Account};

/// The users that a listener on loopback serves in addition to the daemon's own user and root.
pub(super) fn access(section: &Section<'_, '_>) -> Access {
    Access {
        users: accounts(section, "users", "user", |name| {
            let user = User::from_name(name).ok().flatten();
            user.map(|user| user.uid.as_raw())
        }),
        groups: accounts(section, "groups", "group", |name| {
            let group = Group::from_name(name).ok().flatten();
            group.map(|group| group.gid.as_raw())
        }),
    }
}

fn accounts(
    section: &Section<'_, '_>,
    key: &'static str,
    what: &str,
    find: fn(&str) -> Option<u32>,
) -> Vec<Account> {
    let mut accounts = Vec::new();
    for item in section.strings(key) {
        match item.text.parse().ok().or_else(|| find(item.text)) {
            Some(id) => accounts.push(Account {
                name: item.text.to_owned(),
                id,
            }),
            None => item.place.problem(
                format!("this machine has no {what} {:?}", item.text),
                Some("a name that `getent` finds, or a number in quotes, such as \"1000\""),
            ),
        }
    }
    accounts
}
