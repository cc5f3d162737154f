//! Formats numbers and addresses for a log line. Every transfer writes a dozen of them, and std's formatter is several times slower.

use std::{
    fmt::{self, Write},
    net::SocketAddr,
    ops::Deref,
};

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

/// An address with its port, as text on the stack.
pub(super) struct AddressText {
    bytes: [u8; LONGEST],
    length: usize,
}

/// The bytes of the longest address: `[`, an IPv6 address with an IPv4 address in it, `%`, a scope, `]:` and a port.
const LONGEST: usize = 64;

impl AddressText {
    pub(super) fn new(address: SocketAddr) -> Self {
        let mut text = Self {
            bytes: [0; LONGEST],
            length: 0,
        };
        match address {
            SocketAddr::V4(address) => {
                for (at, octet) in address.ip().octets().into_iter().enumerate() {
                    if at > 0 {
                        text.push(b'.');
                    }
                    text.number(octet.into());
                }
                text.push(b':');
                text.number(address.port());
            }
            SocketAddr::V6(address) => {
                let _ = write!(text, "{address}");
            }
        }
        text
    }

    fn number(&mut self, number: u16) {
        for power in [10_000, 1_000, 100, 10, 1] {
            if number >= power || power == 1 {
                self.push(digit((number / power).into()));
            }
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}

impl Write for AddressText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}

impl Deref for AddressText {
    type Target = str;

    fn deref(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
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
            "10.0.200.103:10050",
            "[fe80::1%2]:9",
            "[::ffff:255.255.255.255]:65535",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535",
        ] {
            assert_eq!(&*AddressText::new(shown.parse().unwrap()), shown);
        }
    }
}
