//! The `*_PROXY` variables, and the hop that they name for a target by curl's rules.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use serde::Serialize;

use super::{GrantedTargets, Hop, HopKind, PeerTls, Variables, problem::Problem, value};
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
    /// Reads the variables. A malformed one, or one that points to one of the `own` addresses, is ignored with a warning.
    pub(super) fn read(variables: Variables<'_>, own: &[SocketAddr]) -> (Self, Vec<Problem>) {
        let mut warnings = Vec::new();
        let mut first = |names: &[&str]| {
            let (name, text) = names.iter().find_map(|name| {
                variables(name)
                    .filter(|text| !text.trim().is_empty())
                    .map(|text| (*name, text))
            })?;
            let read = hop(name, text.trim(), own)
                .and_then(|hop| with_password(hop, variables(&format!("{name}_PASSWORD_FILE"))));
            match read {
                Ok(hop) => Some(Arc::new(hop)),
                Err(message) => {
                    warnings.push(warning(name, message));
                    None
                }
            }
        };
        let https = first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]);
        let http = first(&["http_proxy", "all_proxy", "ALL_PROXY"]);
        // An empty variable counts as unset, also for the other spelling (curl's GetEnv).
        let list = ["no_proxy", "NO_PROXY"]
            .into_iter()
            .find_map(|name| variables(name).filter(|list| !list.is_empty()))
            .unwrap_or_default();
        let no_proxy = no_proxy(&list);
        warnings.dedup();
        (
            Self {
                https,
                http,
                no_proxy,
            },
            warnings,
        )
    }

    /// True where the proxy for targets of `scheme` has credentials.
    pub(crate) fn has_credentials(&self, scheme: Scheme) -> bool {
        let hop = match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        hop.as_ref().is_some_and(|hop| hop.credentials.is_some())
    }

    /// The hop for a target, unless `no_proxy` names it.
    pub(crate) fn hop_for(&self, scheme: Scheme, target: &Target) -> Option<&Arc<Hop>> {
        let mut entries = self.no_proxy.iter();
        if entries.any(|entry| entry_matches(entry, &target.host)) {
            return None;
        }
        match scheme {
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        }
    }
}

/// True where a `no_proxy` list covers the host by curl's rules.
pub(crate) fn is_in_no_proxy(list: &str, host: &Host) -> bool {
    no_proxy(list)
        .iter()
        .any(|entry| entry_matches(entry, host))
}

/// The entries of a list, which commas and blanks separate. `*` means every host only if it is the whole list.
fn no_proxy(list: &str) -> Vec<Box<str>> {
    if list == "*" {
        return vec!["*".into()];
    }
    list.split([',', ' ', '\t'])
        .filter(|entry| !entry.is_empty() && *entry != "*")
        .map(|entry| entry.to_ascii_lowercase().into())
        .collect()
}

/// True where an entry of `no_proxy` covers the host by curl's rules (lib/noproxy.c). An entry is an address, a network, or a name, which also
/// covers the names below it. `*.example.com` and `example.com:443` are names that match no host.
fn entry_matches(entry: &str, host: &Host) -> bool {
    if entry == "*" {
        return true;
    }
    match host {
        Host::Ip(ip) => {
            let (network, bits) = match entry.split_once('/') {
                Some((network, bits)) => (network, bits),
                None => (entry, ""),
            };
            network
                .parse()
                .is_ok_and(|network| within(*ip, network, bits))
        }
        Host::Name(host) => {
            let entry = entry.strip_suffix('.').unwrap_or(entry);
            let entry = entry.strip_prefix('.').unwrap_or(entry);
            let covers = |rest: &str| rest.is_empty() || rest.ends_with('.');
            !entry.is_empty() && host.strip_suffix(entry).is_some_and(covers)
        }
    }
}

/// True where the first `bits` bits are equal; all bits where `bits` is empty or 0.
fn within(ip: IpAddr, network: IpAddr, bits: &str) -> bool {
    // Like C's atoi: a text that is no number is 0.
    let digits = bits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(bits.len());
    let bits = bits.get(..digits).and_then(|bits| bits.parse().ok());
    let bits: u32 = bits.unwrap_or(0);
    match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) if bits <= 32 => {
            let bits = if bits == 0 { 32 } else { bits };
            (ip.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) if bits <= 128 => {
            let bits = if bits == 0 { 128 } else { bits };
            (ip.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
        }
        _ => false,
    }
}

/// The hop of a variable. In contrast to a URL of the config file, this one may contain credentials: the environment has no other place for
/// them.
fn hop(name: &str, text: &str, own: &[SocketAddr]) -> Result<Hop, String> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = value::url(&with_scheme).ok_or("it is not a URL")?;
    // Other tools let the hop resolve names for "socks". Here it is `socks5`, where gitferry resolves them.
    let scheme = if url.scheme == "socks" {
        "socks5"
    } else {
        url.scheme.as_str()
    };
    let kind =
        HopKind::of_scheme(scheme).ok_or_else(|| format!("`{scheme}` is not a hop's scheme"))?;
    // curl's default for a proxy without a port (CURLOPT_PROXY).
    let port = kind.row().default_port.or(Some(1080));
    let target = Target::parse(url.authority, port).map_err(|error| error.to_string())?;
    let loops = own.iter().any(|own| {
        own.port() == target.port
            && (target.host.is_loopback() || target.host.ip() == Some(own.ip()))
    });
    if loops {
        return Err("it is gitferry's own address".into());
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
        via: true,
        pipeline: false,
        peer: PeerTls::default(),
        granted: GrantedTargets::default(),
    })
}

/// Sets the password from the file that `NAME_PASSWORD_FILE` names. Others can read a service's unit, so the URL in it has no password.
fn with_password(mut hop: Hop, file: Option<String>) -> Result<Hop, String> {
    if let (Some(credentials), Some(file)) = (&mut hop.credentials, file) {
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("{}_PASSWORD_FILE: cannot read {file}: {error}", hop.name))?;
        credentials.password = Secret::new(text.trim_end_matches(['\r', '\n']));
    }
    Ok(hop)
}

/// Percent-decoded; an invalid escape stays unchanged.
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

fn warning(name: &str, message: String) -> Problem {
    Problem {
        key: name.to_owned(),
        message: format!("the variable {name} is ignored: {message}"),
        ..Problem::default()
    }
}

#[cfg(test)]
mod tests;
