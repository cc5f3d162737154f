//! The messages of SOCKS5 as bytes. Pure. Decoders return `None` while a message is incomplete, else also its length.

use std::net::IpAddr;

use crate::model::{Host, Target, secret::Credentials};

/// The bytes are not SOCKS5.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MalformedReply;

type Decoded<T> = Result<Option<(T, usize)>, MalformedReply>;

/// The authentication method that the hop chose.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// None.
    Open,
    /// User name and password (RFC 1929).
    Password,
    /// None of the offered methods is acceptable.
    Unacceptable,
}

/// The hop's final reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SocksReply {
    /// The connection is established.
    Granted,
    /// A code of RFC 1928, section 6.
    Refused(u8),
}

/// The first message: the offered methods.
pub(super) fn hello(with_credentials: bool) -> &'static [u8] {
    if with_credentials {
        &[5, 2, 0, 2]
    } else {
        &[5, 1, 0]
    }
}

/// The hop's choice.
pub(super) fn method(bytes: &[u8]) -> Decoded<Method> {
    match bytes {
        [] | [5] => Ok(None),
        [5, 0, ..] => Ok(Some((Method::Open, 2))),
        [5, 2, ..] => Ok(Some((Method::Password, 2))),
        [5, 0xff, ..] => Ok(Some((Method::Unacceptable, 2))),
        _ => Err(MalformedReply),
    }
}

/// User name and password; `None` where one is longer than its length byte permits.
pub(super) fn credentials(credentials: &Credentials) -> Option<Vec<u8>> {
    let mut message = vec![1];
    for text in [credentials.username.as_str(), credentials.password.expose()] {
        message.push(u8::try_from(text.len()).ok()?);
        message.extend_from_slice(text.as_bytes());
    }
    Some(message)
}

/// Whether user name and password were right.
pub(super) fn accepted(bytes: &[u8]) -> Decoded<bool> {
    match bytes {
        // RFC 1929 requires version 1; some hops repeat the 5 of SOCKS.
        [] | [1 | 5] => Ok(None),
        [1 | 5, status, ..] => Ok(Some((*status == 0, 2))),
        _ => Err(MalformedReply),
    }
}

/// The request for a connection to `target`; `None` where the name is longer than its length byte permits.
pub(super) fn request(target: &Target) -> Option<Vec<u8>> {
    let mut message = vec![5, 1, 0];
    match &target.host {
        Host::Ip(IpAddr::V4(ip)) => {
            message.push(1);
            message.extend_from_slice(&ip.octets());
        }
        Host::Ip(IpAddr::V6(ip)) => {
            message.push(4);
            message.extend_from_slice(&ip.octets());
        }
        Host::Name(name) => {
            message.push(3);
            message.push(u8::try_from(name.len()).ok()?);
            message.extend_from_slice(name.as_bytes());
        }
    }
    message.extend_from_slice(&target.port.to_be_bytes());
    Some(message)
}

/// The hop's reply. A refusal is recognised from its first two bytes: some hops send no more.
pub(super) fn reply(bytes: &[u8]) -> Decoded<SocksReply> {
    let address = match bytes {
        [] | [5] => return Ok(None),
        [5, 0] | [5, 0, _] | [5, 0, _, 3] => return Ok(None),
        [5, 0, _, 1, ..] => 4,
        [5, 0, _, 4, ..] => 16,
        [5, 0, _, 3, length, ..] => 1 + usize::from(*length),
        [5, 0, ..] => return Err(MalformedReply),
        [5, code, ..] => return Ok(Some((SocksReply::Refused(*code), 2))),
        _ => return Err(MalformedReply),
    };
    let length = 4 + address + 2;
    Ok((bytes.len() >= length).then_some((SocksReply::Granted, length)))
}

/// The meaning of the code (RFC 1928, section 6).
pub(super) fn meaning(code: u8) -> &'static str {
    match code {
        1 => "general failure of the hop",
        2 => "not allowed by the hop's rules",
        3 => "the hop has no route to the network",
        4 => "the hop has no route to the host, or cannot resolve its name",
        5 => "the target refused the hop's connection",
        6 => "the hop reports: TTL expired",
        7 => "the hop does not support CONNECT",
        8 => "the hop does not support this type of address",
        _ => "an undefined SOCKS5 reply code",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;

    fn target(text: &str) -> Target {
        Target::parse(text, None).unwrap()
    }

    #[test]
    fn a_request_encodes_names_and_both_address_families() {
        let name = request(&target("hf.co:443")).unwrap();
        assert_eq!(name, b"\x05\x01\x00\x03\x05hf.co\x01\xbb");
        let four = request(&target("192.0.2.1:22")).unwrap();
        assert_eq!(four, [5, 1, 0, 1, 192, 0, 2, 1, 0, 22]);
        let six = request(&target("[::1]:22")).unwrap();
        assert_eq!(six.len(), 4 + 16 + 2);
        assert_eq!(six[3], 4);
    }

    #[test]
    fn texts_beyond_255_bytes_are_not_encoded() {
        let long = "x".repeat(256);
        let name = Target::new(Host::Name(long.clone().into()), 443);
        assert_eq!(request(&name), None);
        let secret = Credentials {
            username: "me".into(),
            password: Secret::new(long),
        };
        assert_eq!(credentials(&secret), None);
        let secret = Credentials {
            username: "me".into(),
            password: Secret::new("pw"),
        };
        assert_eq!(credentials(&secret).unwrap(), b"\x01\x02me\x02pw");
    }

    #[test]
    fn a_reply_is_complete_with_its_last_byte_and_leaves_the_rest() {
        for whole in [
            &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
            &[5, 0, 0, 3, 2, b'h', b'f', 0, 0],
            &[
                5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
        ] {
            for cut in 0..whole.len() {
                assert_eq!(reply(&whole[..cut]), Ok(None), "{cut} of {whole:?}");
            }
            let with_banner = [whole, b"SSH-2.0"].concat();
            let decoded = reply(&with_banner);
            assert_eq!(decoded, Ok(Some((SocksReply::Granted, whole.len()))));
        }
        assert_eq!(reply(&[5, 0, 0, 9]), Err(MalformedReply));
        assert_eq!(reply(b"HTTP"), Err(MalformedReply));
    }

    #[test]
    fn every_refusal_code_has_its_own_text() {
        let mut words = std::collections::BTreeSet::new();
        for code in 1..=9 {
            assert_eq!(reply(&[5, code]), Ok(Some((SocksReply::Refused(code), 2))));
            words.insert(meaning(code));
        }
        assert_eq!(words.len(), 9);
    }

    #[test]
    fn method_and_authentication_replies_are_decoded_when_complete() {
        assert_eq!(method(&[]), Ok(None));
        assert_eq!(method(&[5]), Ok(None));
        assert_eq!(method(&[5, 0, 9]), Ok(Some((Method::Open, 2))));
        assert_eq!(method(&[5, 2]), Ok(Some((Method::Password, 2))));
        assert_eq!(method(&[5, 0xff]), Ok(Some((Method::Unacceptable, 2))));
        // GSSAPI was not offered.
        assert_eq!(method(&[5, 1]), Err(MalformedReply));
        assert_eq!(method(b"HTTP/1.1 400"), Err(MalformedReply));
        assert_eq!(accepted(&[1, 0]), Ok(Some((true, 2))));
        assert_eq!(accepted(&[1, 1]), Ok(Some((false, 2))));
        assert_eq!(accepted(&[1]), Ok(None));
        assert_eq!(accepted(&[0x15]), Err(MalformedReply));
    }
}
