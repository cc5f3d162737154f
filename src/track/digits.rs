//! Numbers and addresses at the end of a log line. Every transfer writes a dozen of them, and std's formatter takes several times as long.

use std::{fmt::Write as _, net::SocketAddr};

/// The number in decimal.
pub(super) fn number(text: &mut String, number: u64) {
    if number >= 10 {
        self::number(text, number / 10);
    }
    let digit = u8::try_from(number % 10).unwrap_or_default();
    text.push(char::from(b'0' + digit));
}

/// The last `width` digits of the number, with zeros before them.
pub(super) fn padded(text: &mut String, number: u32, width: usize) {
    if width > 1 {
        padded(text, number / 10, width - 1);
    }
    self::number(text, (number % 10).into());
}

/// An address with its port.
pub(super) fn address(address: SocketAddr) -> String {
    // The longest IPv4 address with its port.
    let mut text = String::with_capacity("255.255.255.255:65535".len());
    match address {
        SocketAddr::V4(address) => {
            for (at, octet) in address.ip().octets().into_iter().enumerate() {
                if at > 0 {
                    text.push('.');
                }
                number(&mut text, octet.into());
            }
            text.push(':');
            number(&mut text, address.port().into());
        }
        SocketAddr::V6(address) => {
            let _ = write!(text, "{address}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_written_as_the_standard_library_writes_them() {
        for value in [0, 7, 10, 99, 100, 65535, u64::MAX] {
            let mut text = String::new();
            number(&mut text, value);
            assert_eq!(text, value.to_string());
        }
        let mut text = String::new();
        padded(&mut text, 42, 4);
        padded(&mut text, 7, 1);
        assert_eq!(text, "00427");
        for shown in [
            "127.0.0.1:4483",
            "0.0.0.0:0",
            "255.255.255.255:65535",
            "[::1]:443",
            "[fe80::1%2]:9",
        ] {
            assert_eq!(address(shown.parse().unwrap()), shown);
        }
    }
}
