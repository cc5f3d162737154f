//! Fake addresses: a local VPN tool answers every look-up with such an address, and connects by name when a client uses it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Serialize, Serializer};

/// A network of fake addresses, such as `198.18.0.0/15`: one of [`KNOWN`] or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FakeNetwork {
    first: IpAddr,
    prefix: u8,
}

/// The only networks that may contain fake addresses, because no host can have an address in them: RFC 2544's, the default of Clash, mihomo
/// and sing-box, and sing-box's for IPv6.
const KNOWN: [FakeNetwork; 2] = [
    FakeNetwork {
        first: IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)),
        prefix: 15,
    },
    FakeNetwork {
        first: IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)),
        prefix: 18,
    },
];

/// True for an address of either network that VPN tools use.
pub(crate) fn is_fake(ip: IpAddr) -> bool {
    KNOWN.iter().any(|network| network.contains(ip))
}

impl FakeNetwork {
    /// An IPv6 address that embeds an IPv4 one belongs to no IPv4 network: no tool answers with such an address.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        match (self.first, ip) {
            (IpAddr::V4(first), IpAddr::V4(ip)) => {
                (first.to_bits() ^ ip.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            (IpAddr::V6(first), IpAddr::V6(ip)) => {
                (first.to_bits() ^ ip.to_bits()).leading_zeros() >= u32::from(self.prefix)
            }
            _ => false,
        }
    }

    /// True where every address of `other` is in this network.
    fn covers(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.first)
    }

    /// The first address of the network that `ip` is in.
    fn masked(ip: IpAddr, prefix: u8) -> IpAddr {
        let prefix = u32::from(prefix);
        match ip {
            IpAddr::V4(ip) => {
                let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
                Ipv4Addr::from_bits(ip.to_bits() & !host).into()
            }
            IpAddr::V6(ip) => {
                let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
                Ipv6Addr::from_bits(ip.to_bits() & !host).into()
            }
        }
    }
}

impl FromStr for FakeNetwork {
    type Err = String;

    /// Fails with the reason as text.
    fn from_str(text: &str) -> Result<Self, String> {
        let malformed = || format!("{text:?} is not a network");
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let first: IpAddr = address.parse().map_err(|_| malformed())?;
        let bits = if first.is_ipv4() { 32 } else { 128 };
        let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: u8 = prefix
            .parse()
            .ok()
            .filter(|prefix| digits && *prefix <= bits)
            .ok_or_else(malformed)?;
        let network = Self { first, prefix };
        let masked = Self::masked(first, prefix);
        if masked != first {
            return Err(format!(
                "{text:?} has bits behind its prefix: the network is \"{masked}/{prefix}\""
            ));
        }
        if !KNOWN.iter().any(|known| known.covers(&network)) {
            let [four, six] = KNOWN;
            return Err(format!(
                "{text:?} is no part of {four} or {six}, and real hosts may have addresses in it"
            ));
        }
        Ok(network)
    }
}

impl fmt::Display for FakeNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl Serialize for FakeNetwork {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_networks_of_vpn_tools_and_their_parts_are_accepted() {
        for good in [
            "198.18.0.0/15",
            "198.18.0.0/16",
            "198.19.255.7/32",
            "fc00::/18",
            "fc00:3fff::/32",
        ] {
            assert_eq!(good.parse::<FakeNetwork>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "198.18.0.0",
            "198.18.0.0/",
            "198.18.0.0/+15",
            "198.18.0.0/33",
            "198.18.0.1/15",
            "198.18.0.0/14",
            "198.20.0.0/16",
            "10.0.0.0/8",
            "127.0.0.0/8",
            "0.0.0.0/0",
            "::/0",
            "fc00::/17",
            "fc00:4000::/18",
            "fd00::/8",
            "::ffff:198.18.0.0/111",
            "64:ff9b::c612:0/111",
        ] {
            bad.parse::<FakeNetwork>().unwrap_err();
        }
    }

    #[test]
    fn a_network_contains_its_own_addresses_and_no_ipv6_form_of_them() {
        let all: FakeNetwork = "198.18.0.0/15".parse().unwrap();
        let half: FakeNetwork = "198.18.0.0/16".parse().unwrap();
        let six: FakeNetwork = "fc00::/18".parse().unwrap();
        for (ip, expected) in [
            ("198.17.255.255", [false; 3]),
            ("198.18.0.0", [true, true, false]),
            ("198.19.255.255", [true, false, false]),
            ("198.20.0.0", [false; 3]),
            ("::ffff:198.18.0.1", [false; 3]),
            ("64:ff9b::198.18.0.1", [false; 3]),
            ("2002:c612:1::", [false; 3]),
            ("fc00:3fff:ffff::1", [false, false, true]),
            ("fc00:4000::", [false; 3]),
            ("fd00::1", [false; 3]),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(
                [&all, &half, &six].map(|network| network.contains(ip)),
                expected,
                "{ip}"
            );
        }
    }
}
