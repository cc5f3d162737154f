//! `users` and `groups` of `[listen]`: names, or numbers in quotes, to the accounts of this machine.

use super::section::Section;
use crate::model::access::{Access, Account};

/// Whom a listener on loopback serves beside the daemon's own user and root.
pub(super) fn access(section: &Section<'_, '_>) -> Access {
    Access {
        users: accounts(section, "users", "user", |name| {
            uzers::get_user_by_name(name).map(|user| user.uid())
        }),
        groups: accounts(section, "groups", "group", |name| {
            uzers::get_group_by_name(name).map(|group| group.gid())
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
    for item in section.strings(key, false) {
        // A NUL ends a name for the C library.
        let named = |name: &str| (!name.contains('\0')).then(|| find(name)).flatten();
        match item.text.parse().ok().or_else(|| named(item.text)) {
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
