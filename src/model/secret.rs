//! Values that must never be printed.

use std::{fmt, path::PathBuf};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// A password or token. `Debug` and `Display` show stars; only [`Secret::expose`] gives the text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    text: Box<str>,
    source: Option<SecretSource>,
}

/// Where the config says that a secret is kept. It may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Variable(Box<str>),
}

impl Secret {
    /// Keeps `text` from being printed.
    pub(crate) fn new(text: impl Into<Box<str>>) -> Self {
        Self {
            text: text.into(),
            source: None,
        }
    }

    /// Adds the place from which the text was read.
    #[must_use]
    pub(crate) fn with_source(mut self, source: SecretSource) -> Self {
        self.source = Some(source);
        self
    }

    /// The text itself. Only the code that sends it calls this.
    pub(crate) fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A user name and password for a hop, or for clients of a listener that is not on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The user name; it may be shown.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl Credentials {
    /// The value of `Authorization` or `Proxy-Authorization` (RFC 7617); base64 contains no line end.
    pub(crate) fn basic(&self) -> String {
        let pair = format!("{}:{}", self.username, self.password.expose());
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    }
}

/// The keys of a config file: the place of the password, never the password. Without a place, the credentials come from a URL, where the
/// user name may be a token, so neither is shown.
impl Serialize for Credentials {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("Credentials", 2)?;
        match &self.password.source {
            Some(SecretSource::File(path)) => {
                fields.serialize_field("username", &self.username)?;
                fields.serialize_field("password_file", path)?;
            }
            Some(SecretSource::Variable(name)) => {
                fields.serialize_field("username", &self.username)?;
                fields.serialize_field("password_env", name)?;
            }
            None => fields.serialize_field("credentials", "***")?,
        }
        fields.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** *** ***");
        let credentials = Credentials {
            username: "me".into(),
            password: secret,
        };
        assert!(!format!("{credentials:?}").contains("hunter2"));
        let shown = serde_json::to_string(&credentials).unwrap();
        assert_eq!(shown, r#"{"credentials":"***"}"#);
    }
}
