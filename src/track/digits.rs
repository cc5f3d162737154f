//! Formats numbers and addresses for a log line. Every transfer writes a dozen of them, and std's formatter is several times slower.

use std::{fmt::Write as _, net::SocketAddr};

/// The number in decimal.
pub(super) fn number(text: &mut String, mut number: u64) {
    // As many digits as `u64::MAX` has.
    let mut digits = [b'0'; 20];
    let mut begin = digits.len();
    for place in digits.iter_mut().rev() {
        *place = digit(number);
        number /= 10;
        begin -= 1;
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(begin..).unwrap_or_default();
    text.push_str(std::str::from_utf8(digits).unwrap_or_default());
}

/// The last digit of `number`.
pub(super) fn digit(number: u64) -> u8 {
    b'0' + u8::try_from(number % 10).unwrap_or_default()
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
