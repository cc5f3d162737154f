//! The congestion control of outgoing connections.

use std::{net::IpAddr, str::FromStr};

use serde::Serialize;

/// `congestion` of `[dial]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub(crate) enum Congestion {
    /// BBR where the kernel offers it, else the system's default.
    Auto,
    /// The system's default.
    System,
    /// This algorithm.
    Named(Algorithm),
}

/// The kernel's name of an algorithm: at most 15 letters, digits, `_` and `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Algorithm {
    bytes: [u8; LONGEST],
    length: usize,
}

/// linux/tcp.h: `TCP_CA_NAME_MAX` is 16, with the NUL.
const LONGEST: usize = 15;

impl Algorithm {
    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or_default()
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let mut bytes = [0; LONGEST];
        match bytes.get_mut(..text.len()) {
            Some(room) if !text.is_empty() && text.bytes().all(known) => {
                room.copy_from_slice(text.as_bytes());
                let length = text.len();
                Ok(Self { bytes, length })
            }
            _ => Err(format!("{text:?} is not the name of a congestion control")),
        }
    }
}

impl Congestion {
    /// The algorithm to set on a connection to `peer`; `None` for the system's default. On loopback another algorithm gains nothing: a hop on
    /// this machine opens its own connections.
    pub(crate) fn algorithm_for(&self, peer: IpAddr) -> Option<&str> {
        if peer.is_loopback() {
            None
        } else {
            self.name()
        }
    }

    /// The algorithm for peers that are not on loopback; `None` for the system's default.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::System => None,
            Self::Auto => Some(BBR),
            Self::Named(name) => Some(name.as_str()),
        }
    }
}

/// BBR does not take a lost packet for a sign of congestion: on a path of 200 ms with 1 % loss it is 50 times as fast as cubic.
pub(crate) const BBR: &str = "bbr";

impl FromStr for Congestion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "auto" => Self::Auto,
            "system" => Self::System,
            name => Self::Named(name.parse()?),
        })
    }
}

impl From<Congestion> for String {
    fn from(congestion: Congestion) -> Self {
        match congestion {
            Congestion::Auto => "auto".into(),
            Congestion::System => "system".into(),
            Congestion::Named(name) => name.as_str().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Congestion {
        text.parse().unwrap()
    }

    #[test]
    fn peers_get_the_configured_algorithm_and_those_on_loopback_the_systems_default() {
        let (near, far) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        for (text, wanted) in [
            ("auto", Some("bbr")),
            ("system", None),
            ("cubic", Some("cubic")),
        ] {
            assert_eq!(parsed(text).algorithm_for(far), wanted, "{text}");
            assert_eq!(parsed(text).algorithm_for(near), None, "{text}");
            assert_eq!(String::from(parsed(text)), text);
        }
    }

    #[test]
    fn a_name_that_no_kernel_can_have_is_refused() {
        for text in ["", "a name", "sixteen_letters_", "böse"] {
            assert!(text.parse::<Congestion>().is_err(), "{text}");
        }
        assert_eq!(String::from(parsed("fifteen_letters")), "fifteen_letters");
    }
}
