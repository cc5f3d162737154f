//! The `*_PROXY` environment of the installing user: a service starts without it, and would have no proxy.
//!
//! A password is never in a unit or plist, which other users can read: it is in a file with mode 0600, named by
//! `NAME_PASSWORD_FILE`, which the daemon reads beside `NAME`.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    config::{Config, Hop},
    model::Secret,
};

/// The variables for the service.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Proxies {
    /// Names and values without passwords.
    pub(super) variables: Vec<(String, String)>,
    /// By the variable's name.
    pub(super) passwords: Vec<(String, Secret)>,
}

impl Proxies {
    /// The hops that the config took from the environment; refused ones, such as its own address, are left out.
    pub(super) fn of(config: &Config, variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut proxies = Self::default();
        let environment = &config.environment;
        for hop in [&environment.https, &environment.http]
            .into_iter()
            .flatten()
        {
            proxies.add(hop);
        }
        if proxies.variables.is_empty() {
            return proxies;
        }
        let no_proxy = ["no_proxy", "NO_PROXY"]
            .into_iter()
            .find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)));
        proxies
            .variables
            .extend(no_proxy.map(|(name, value)| (name.to_owned(), value)));
        proxies
    }

    fn add(&mut self, hop: &Hop) {
        let name = hop.name.to_string();
        if self.variables.iter().any(|(known, _)| *known == name) {
            return;
        }
        let url = hop.url();
        let url = match (&hop.credentials, url.split_once("://")) {
            (Some(credentials), Some((scheme, rest))) => {
                self.passwords
                    .push((name.clone(), credentials.password.clone()));
                let user = utf8_percent_encode(&credentials.username, NON_ALPHANUMERIC);
                format!("{scheme}://{user}@{rest}")
            }
            _ => url,
        };
        self.variables.push((name, url));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn of(pairs: &'static [(&str, &str)]) -> Proxies {
        let variable = |name: &str| {
            let mut known = pairs.iter().chain(&[("HOME", "/home/me")]);
            let (_, value) = known.find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        };
        Proxies::of(&config::load(None, &variable).unwrap(), variable)
    }

    #[test]
    fn passwords_are_removed_from_proxy_urls_and_the_daemons_own_address_is_dropped() {
        let proxies = of(&[
            ("HTTPS_PROXY", "http://me%40x:p%20w@proxy.test:3128"),
            ("http_proxy", "http://127.0.0.1:4483"),
            ("NO_PROXY", "localhost"),
        ]);
        assert_eq!(
            proxies.variables,
            [
                (
                    "HTTPS_PROXY".to_owned(),
                    "http://me%40x@proxy.test:3128".to_owned()
                ),
                ("NO_PROXY".to_owned(), "localhost".to_owned()),
            ]
        );
        let [(name, password)] = proxies.passwords.as_slice() else {
            panic!("{proxies:?}");
        };
        assert_eq!((name.as_str(), password.expose()), ("HTTPS_PROXY", "p w"));
        assert_eq!(of(&[("NO_PROXY", "localhost")]), Proxies::default());
    }
}
