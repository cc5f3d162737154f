//! The requested host and port ([`Target`]), before any route is applied.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use crate::model::named::named;

named! {
/// The scheme of a forwarded request.
pub(crate) enum Scheme {
    /// Plain HTTP.
    Http = "http",
    /// HTTP over TLS.
    Https = "https",
}
}

impl Scheme {
    /// The port that the scheme implies (RFC 9110, section 4.2).
    pub(crate) const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A host as a name (lower case, no final dot) or as an IP address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Host {
    /// A DNS name. Shared, because every transfer stores it in several places.
    Name(Arc<str>),
    /// An address; IPv6 without its brackets.
    Ip(IpAddr),
}

impl Host {
    /// The address, where the host is one.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::Ip(ip) => Some(*ip),
        }
    }

    /// The form for display.
    pub(crate) fn text(&self) -> Arc<str> {
        match self {
            Self::Name(name) => Arc::clone(name),
            Self::Ip(_) => self.to_string().into(),
        }
    }

    /// True for `localhost`, names below it, and loopback addresses.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => &**name == "localhost" || name.ends_with(".localhost"),
            Self::Ip(ip) => ip.is_loopback(),
        }
    }
}

/// The form of a URL: an IPv6 address is in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl FromStr for Host {
    type Err = TargetError;

    /// Fails on an empty host, on invalid characters, and on a label or a name that is too long (RFC 1035, 2.3.4).
    fn from_str(text: &str) -> Result<Self, TargetError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(TargetError::BadHost)?;
            return inner
                .parse::<Ipv6Addr>()
                .map(|ip| Self::Ip(IpAddr::V6(ip)))
                .map_err(|_| TargetError::BadHost);
        }
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::Ip(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if !is_name(name) {
            return Err(TargetError::BadHost);
        }
        if name.rsplit('.').next().is_some_and(is_number) {
            return Err(TargetError::BadHost);
        }
        Ok(Self::Name(
            match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                true => name.to_ascii_lowercase().into(),
                false => name.into(),
            },
        ))
    }
}

/// True for labels of 1 to 63 letters, digits, `-` and `_` with dots between, 253 bytes in all. One pass: every request names its host.
fn is_name(name: &str) -> bool {
    let mut label = 0;
    for byte in name.bytes() {
        label = match byte {
            b'.' if label > 0 => 0,
            b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' if label < 63 => label + 1,
            _ => return false,
        };
    }
    label > 0 && name.len() <= 253
}

/// True for a last label that makes the whole name an address (WHATWG URL, "ends in a number checker"): the resolver reads `127.1` and
/// `0x7f000001` as addresses, and a wildcard must not cover an address.
fn is_number(label: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let hex = label.strip_prefix("0x").or(label.strip_prefix("0X"));
    digits(label) || hex.is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The requested host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The requested host.
    pub host: Host,
    /// The port, as requested or implied by the scheme.
    pub port: u16,
}

impl Target {
    /// A target from its parts.
    pub(crate) fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`; without a port, `default_port` is taken.
    ///
    /// Fails where there is no port and no default, on a port outside 1 to 65535, on a bad host, and on a user name.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, TargetError> {
        if text.contains('@') {
            return Err(TargetError::UserInfo);
        }
        let (host, port) = split_port(text);
        let host = host.parse()?;
        let port = match port {
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port
                .parse::<u16>()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(TargetError::BadPort)?,
            Some(_) => return Err(TargetError::BadPort),
            None => default_port.ok_or(TargetError::NoPort)?,
        };
        Ok(Self { host, port })
    }

    /// The form for a `Host` header: with the port only where the scheme does not imply it.
    pub(crate) fn authority(&self, scheme: Scheme) -> String {
        if self.port == scheme.default_port() {
            self.host.to_string()
        } else {
            self.to_string()
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Why a text is not a valid target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// There is a user name before the host, possibly with a password.
    UserInfo,
    /// The host is empty, too long, or contains an invalid character.
    BadHost,
    /// The port is not a number from 1 to 65535.
    BadPort,
    /// The port is missing and nothing implies one.
    NoPort,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserInfo => "a user name before the host (`name@`) is not allowed here",
            Self::BadHost => "the host is not a name or an address",
            Self::BadPort => "the port is not a number from 1 to 65535",
            Self::NoPort => "the port is missing",
        })
    }
}

impl std::error::Error for TargetError {}

fn split_port(text: &str) -> (&str, Option<&str>) {
    let after_bracket = text.rfind(']').map_or(0, |at| at + 1);
    match text.get(after_bracket..).and_then(|rest| rest.rfind(':')) {
        // `::1` without brackets is an address, not a host and a port.
        Some(_) if after_bracket == 0 && text.matches(':').count() > 1 => (text, None),
        Some(at) => {
            let (host, port) = text.split_at(after_bracket + at);
            (host, port.get(1..))
        }
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_as_it_is_shown() {
        for text in [
            "huggingface.co:443",
            "127.0.0.1:8080",
            "[::1]:443",
            "a_b.example:1",
        ] {
            assert_eq!(Target::parse(text, None).unwrap().to_string(), text);
        }
        assert_eq!(
            Target::parse("HF.co.", Some(443)).unwrap().to_string(),
            "hf.co:443"
        );
        assert_eq!(
            Target::parse("::1", Some(443)).unwrap().to_string(),
            "[::1]:443"
        );
    }

    #[test]
    fn an_invalid_target_is_refused_with_the_reason() {
        let cases = [
            ("", Some(443), TargetError::BadHost),
            (":443", None, TargetError::BadHost),
            ("hf.co", None, TargetError::NoPort),
            ("hf.co:", None, TargetError::BadPort),
            ("hf.co:0", None, TargetError::BadPort),
            ("hf.co:65536", None, TargetError::BadPort),
            ("hf.co:+1", None, TargetError::BadPort),
            ("user@hf.co:443", None, TargetError::UserInfo),
            ("user:secret@hf.co", Some(443), TargetError::UserInfo),
            ("hf..co:443", None, TargetError::BadHost),
            ("256.1.1.1:443", None, TargetError::BadHost),
            // The resolver reads these as addresses.
            ("127.1:443", None, TargetError::BadHost),
            ("2130706433:443", None, TargetError::BadHost),
            ("0x7f000001:443", None, TargetError::BadHost),
            ("127.0X1:443", None, TargetError::BadHost),
            ("[::1:443", None, TargetError::BadHost),
            ("hf.co/x:443", None, TargetError::BadHost),
        ];
        for (text, default, error) in cases {
            assert_eq!(Target::parse(text, default), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_name_has_labels_of_63_bytes_and_253_in_all() {
        let label = "x".repeat(63);
        let longest = [&*label, &label, &label, &"y".repeat(61)].join(".");
        assert_eq!(longest.len(), 253);
        for (name, valid) in [
            (&*label, true),
            (&*format!("{label}x"), false),
            (&*format!("a.{label}x.b"), false),
            (&*longest, true),
            (&*format!("{longest}."), true),
            (&*format!("{longest}y"), false),
            ("a-b_c.D9", true),
            (".a", false),
            ("a..", false),
            (".", false),
            ("é", false),
            ("a b", false),
        ] {
            assert_eq!(name.parse::<Host>().is_ok(), valid, "{name:?}");
        }
    }

    #[test]
    fn the_host_header_names_the_port_only_where_it_differs() {
        let target = Target::parse("hf.co:443", None).unwrap();
        assert_eq!(target.authority(Scheme::Https), "hf.co");
        assert_eq!(target.authority(Scheme::Http), "hf.co:443");
    }
}
