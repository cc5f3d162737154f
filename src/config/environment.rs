//! The `*_PROXY` variables: which hop they name for a target, by curl's rules.

use std::{net::SocketAddr, sync::Arc};

use serde::Serialize;

use super::{Hop, Variables, hop::hop_kind, problem::Problem, value};
use crate::model::{Host, Scheme, Secret, Target, secret::Credentials};

/// The `*_PROXY` variables as found at start.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Environment {
    /// For `https://` targets and tunnels: `https_proxy`, `HTTPS_PROXY`, else `all_proxy`, `ALL_PROXY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<Arc<Hop>>,
    /// For `http://` targets: `http_proxy` (lower case only, as curl does: CVE-2016-5385), else `all_proxy`, `ALL_PROXY`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Arc<Hop>>,
    /// The entries of `no_proxy`, `NO_PROXY`, lower case.
    pub no_proxy: Vec<Box<str>>,
}

impl Environment {
    /// Reads the variables. One that is malformed, or that points at `own` addresses, is left out and said.
    pub(super) fn read(variables: Variables<'_>, own: &[SocketAddr]) -> (Self, Vec<Problem>) {
        let mut doubts = Vec::new();
        let mut first = |names: &[&str]| {
            let (name, text) = names.iter().find_map(|name| {
                variables(name)
                    .filter(|text| !text.trim().is_empty())
                    .map(|text| (*name, text))
            })?;
            match hop(name, text.trim(), own) {
                Ok(hop) => Some(Arc::new(hop)),
                Err(message) => {
                    doubts.push(doubt(name, message));
                    None
                }
            }
        };
        let https = first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]);
        let http = first(&["http_proxy", "all_proxy", "ALL_PROXY"]);
        let list = variables("no_proxy")
            .or_else(|| variables("NO_PROXY"))
            .unwrap_or_default();
        let no_proxy = list
            .split([',', ' '])
            .filter(|entry| !entry.is_empty())
            .map(|entry| entry.to_ascii_lowercase().into())
            .collect();
        doubts.dedup();
        (
            Self {
                https,
                http,
                no_proxy,
            },
            doubts,
        )
    }

    /// The hop for a target, unless `no_proxy` names it.
    pub(crate) fn hop_for(&self, scheme: Scheme, target: &Target) -> Option<&Arc<Hop>> {
        if self.no_proxy.iter().any(|entry| excepts(entry, target)) {
            return None;
        }
        match scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        }
    }
}

/// One entry of `no_proxy`: `*`, an address, a network, or a name that covers itself and what is below it; with a port or without.
fn excepts(entry: &str, target: &Target) -> bool {
    if entry == "*" {
        return true;
    }
    if let Host::Ip(ip) = target.host {
        if let Some((network, bits)) = entry.split_once('/') {
            return network
                .parse()
                .is_ok_and(|network| within(ip, network, bits));
        }
        let entry = Target::parse(entry, Some(target.port));
        return entry.is_ok_and(|entry| entry.host == target.host && entry.port == target.port);
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) => (name, port.parse::<u16>().ok()),
        None => (entry, None),
    };
    let name = name.strip_prefix("*.").unwrap_or(name).trim_matches('.');
    let host = target.host.to_string();
    let covers = host
        .strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    !name.is_empty() && covers && port.is_none_or(|port| port == target.port)
}

fn within(ip: std::net::IpAddr, network: std::net::IpAddr, bits: &str) -> bool {
    use std::net::IpAddr::{V4, V6};
    let Ok(bits) = bits.parse::<u32>() else {
        return false;
    };
    match (ip, network) {
        (V4(ip), V4(network)) if bits <= 32 => {
            (ip.to_bits() ^ network.to_bits())
                .checked_shr(32 - bits)
                .unwrap_or(0)
                == 0
        }
        (V6(ip), V6(network)) if bits <= 128 => {
            (ip.to_bits() ^ network.to_bits())
                .checked_shr(128 - bits)
                .unwrap_or(0)
                == 0
        }
        _ => false,
    }
}

/// Unlike in the config file, credentials stand in the URL here: the environment has no other place for them.
fn hop(name: &str, text: &str, own: &[SocketAddr]) -> Result<Hop, String> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = value::url(&with_scheme).ok_or("it is no URL")?;
    // Every other tool's "socks" looks names up on its side.
    let scheme = if url.scheme == "socks" {
        "socks5"
    } else {
        url.scheme.as_str()
    };
    let (kind, default) =
        hop_kind(scheme).ok_or_else(|| format!("`{scheme}` is no kind of hop"))?;
    // curl's default for a proxy without a port (CURLOPT_PROXY).
    let target =
        Target::parse(url.authority, default.or(Some(1080))).map_err(|error| error.to_string())?;
    let loops = own.iter().any(|own| {
        own.port() == target.port
            && (target.host.is_loopback() || target.host.ip() == Some(own.ip()))
    });
    if loops {
        return Err("it points at gitferry itself".into());
    }
    let credentials = url.user_info.map(|info| {
        let (user, password) = info.split_once(':').unwrap_or((info, ""));
        Credentials {
            username: decoded(user),
            password: Secret::new(decoded(password)),
        }
    });
    Ok(Hop {
        name: name.into(),
        kind,
        target,
        credentials,
    })
}

/// Percent-decoded; what is no escape stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = after
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, escape) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn doubt(name: &str, message: String) -> Problem {
    Problem {
        key: name.to_owned(),
        message: format!("the variable {name} is ignored: {message}"),
        ..Problem::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &'static [(&str, &str)]) -> (Environment, Vec<Problem>) {
        let variables = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Environment::read(&variables, &["127.0.0.1:4483".parse().unwrap()])
    }

    fn hop_of<'e>(environment: &'e Environment, scheme: Scheme, target: &str) -> Option<&'e str> {
        environment
            .hop_for(scheme, &Target::parse(target, None).unwrap())
            .map(|hop| &*hop.name)
    }

    #[test]
    fn the_variables_are_read_as_curl_reads_them() {
        let (environment, doubts) = read(&[
            ("HTTPS_PROXY", "http://me:p%40ss@proxy.test:3128"),
            ("HTTP_PROXY", "http://ignored.test:1"),
            (
                "no_proxy",
                "localhost,.internal.test, 10.0.0.0/8,exact.test:8443",
            ),
        ]);
        assert_eq!(doubts, []);
        let hop = environment.https.as_ref().unwrap();
        assert_eq!(
            (hop.kind, hop.target.to_string().as_str()),
            (HopKind::Http, "proxy.test:3128")
        );
        assert_eq!(hop.credentials.as_ref().unwrap().password.expose(), "p@ss");
        // Only in lower case: CVE-2016-5385.
        assert_eq!(environment.http, None);
        for (target, hop) in [
            ("hf.co:443", Some("HTTPS_PROXY")),
            ("localhost:443", None),
            ("git.internal.test:443", None),
            ("internal.test:443", None),
            ("notinternal.test:443", Some("HTTPS_PROXY")),
            ("10.1.2.3:443", None),
            ("11.1.2.3:443", Some("HTTPS_PROXY")),
            ("exact.test:8443", None),
            ("exact.test:443", Some("HTTPS_PROXY")),
        ] {
            assert_eq!(hop_of(&environment, Scheme::Https, target), hop, "{target}");
        }
    }

    use super::super::HopKind;

    #[test]
    fn what_cannot_be_used_is_left_out_and_said() {
        let (environment, doubts) = read(&[
            ("https_proxy", "http://127.0.0.1:4483"),
            ("http_proxy", "gopher://x:1"),
        ]);
        assert_eq!((environment.https, environment.http), (None, None));
        assert_eq!(doubts.len(), 2);
        assert!(
            doubts[0].message.contains("gitferry itself"),
            "{}",
            doubts[0]
        );
        let (environment, _) = read(&[("ALL_PROXY", "socks5h://127.0.0.1:1080")]);
        assert_eq!(environment.https.as_ref().unwrap().kind, HopKind::Socks5h);
        assert_eq!(environment.http.as_ref().unwrap().kind, HopKind::Socks5h);
    }
}
