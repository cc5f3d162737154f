//! Credentials of clients and for hops: a user name, and a password from a file or variable.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::{Variables, section::Section};
use crate::model::{
    Secret,
    secret::{Credentials, SecretSource},
};

/// `username` with `password_file` or `password_env`. Either without the other is a mistake.
pub(super) fn credentials(
    section: &Section<'_, '_>,
    variables: Variables<'_>,
) -> Option<Credentials> {
    if let Some(place) = section.forbidden("password") {
        place.problem(
            "a password cannot be in the config",
            Some("use `password_file` or `password_env`"),
        );
    }
    let username = section.string("username");
    let password = password(section, variables);
    match (
        username,
        section.has("password_file"),
        section.has("password_env"),
    ) {
        (Some(_), false, false) => section.at("username").problem(
            "`username` without a password",
            Some("add `password_file` or `password_env`"),
        ),
        (None, true, _) => without_username(section, "password_file"),
        (None, false, true) => without_username(section, "password_env"),
        (Some(_), _, _) | (None, false, false) => {}
    }
    if username.is_some_and(|name| name.contains(':')) {
        section.at("username").problem(
            "a user name cannot contain a colon",
            Some("RFC 7617 separates name and password by a colon"),
        );
    }
    Some(Credentials {
        username: username?.to_owned(),
        password: password?,
    })
}

fn without_username(section: &Section<'_, '_>, key: &'static str) {
    let place = section.at(key);
    place.problem("a password without `username`", Some("add `username`"));
}

fn password(section: &Section<'_, '_>, variables: Variables<'_>) -> Option<Secret> {
    let file = section.path("password_file");
    let variable = section.string("password_env");
    match (file, variable) {
        (Some(_), Some(_)) => {
            section.at("password_env").problem(
                "`password_file` and `password_env` are both set",
                Some("keep one of the two"),
            );
            None
        }
        (Some(file), None) => password_from(section, &file),
        (None, Some(variable)) => {
            let value = variables(variable);
            if value.is_none() {
                section.at("password_env").problem(
                    format!("the variable `{variable}` is not set"),
                    Some("set it in the daemon's environment"),
                );
            }
            let value = value?;
            if value.is_empty() {
                let message = format!("the variable `{variable}` is empty");
                section.at("password_env").problem(message, None);
            }
            Some(Secret::new(value).with_source(SecretSource::Variable(variable.into())))
        }
        (None, None) => None,
    }
}

fn password_from(section: &Section<'_, '_>, path: &Path) -> Option<Secret> {
    let place = section.at("password_file");
    place.depends_on(path);
    match fs::read_to_string(path) {
        Ok(text) => {
            if fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
                let message = format!("everybody can read {}", path.display());
                place.warning(message, Some(&format!("chmod 600 {}", path.display())));
            }
            let text = text.trim_end_matches(['\r', '\n']);
            if text.is_empty() {
                // Another program may be writing the file at this moment.
                place.problem(format!("{} is empty", path.display()), None);
            }
            Some(Secret::new(text).with_source(SecretSource::File(path.to_owned())))
        }
        Err(error) => {
            let message = format!("`{}`: cannot read {}: {error}", place.key, path.display());
            place.problem(message, None);
            None
        }
    }
}
