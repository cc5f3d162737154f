//! Who is let in, or who gitferry says it is: a name, and a password that stands in a file or a variable.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::Variables;
use crate::config::section::Section;
use crate::model::{Secret, secret::Credentials};

/// `username` with `password_file` or `password_env`; half of a pair is a mistake.
pub(super) fn credentials(
    section: &Section<'_, '_>,
    variables: Variables<'_>,
) -> Option<Credentials> {
    let username = section.string("username");
    let file = section.string("password_file");
    let variable = section.string("password_env");
    let complain = |key: &'static str, message: String, hint: &str| {
        section
            .source
            .problem(section.place(key), &section.key(key), message, Some(hint));
    };
    if let Some(place) = section.forbidden("password") {
        section.source.problem(
            place,
            &section.key("password"),
            "a password is never written into the config",
            Some("use `password_file` or `password_env`"),
        );
    }
    let password = match (file, variable) {
        (Some(_), Some(_)) => {
            complain(
                "password_env",
                "`password_file` and `password_env` are both set".into(),
                "keep one of the two",
            );
            None
        }
        (Some(file), None) => password_from(section, &section.source.path(file)),
        (None, Some(variable)) => {
            let value = variables(variable);
            if value.is_none() {
                complain(
                    "password_env",
                    format!("the variable `{variable}` is not set"),
                    "set it where the daemon starts",
                );
            }
            value.map(Secret::new)
        }
        (None, None) => None,
    };
    match (username, file.or(variable)) {
        (Some(_), None) => complain(
            "username",
            "`username` without a password".into(),
            "add `password_file` or `password_env`",
        ),
        (None, Some(_)) => {
            let key = if file.is_some() {
                "password_file"
            } else {
                "password_env"
            };
            complain(
                key,
                "a password without `username`".into(),
                "add `username`",
            );
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    if username.is_some_and(|name| name.contains(':')) {
        complain(
            "username",
            "a user name has no colon".into(),
            "RFC 7617 splits name and password there",
        );
    }
    Some(Credentials {
        username: username?.to_owned(),
        password: password?,
    })
}

fn password_from(section: &Section<'_, '_>, path: &Path) -> Option<Secret> {
    let place = section.place("password_file");
    let key = section.key("password_file");
    section.source.contents.borrow_mut().push(path.to_owned());
    match fs::read_to_string(path) {
        Ok(text) => {
            if fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
                section.source.doubt(
                    place,
                    &key,
                    format!("{} is readable by everybody", path.display()),
                    Some("chmod 600"),
                );
            }
            Some(Secret::new(text.trim_end_matches(['\r', '\n'])))
        }
        Err(error) => {
            section.source.problem(
                place,
                &key,
                format!("`{key}`: {} cannot be read: {error}", path.display()),
                None,
            );
            None
        }
    }
}
