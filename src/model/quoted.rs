//! Masks credentials that a page quotes.
//!
//! A page may escape a text for HTML, JSON or a URL. The bytes of the page are decoded while they are compared, so every mixture of
//! escapes is recognised, and the position of the quotation in the page is known.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};

/// A shorter password is masked only together with its user name, because it may be a word of any text.
const SHORTEST: usize = 8;
/// The longest escape of one byte: `&equals;` of HTML, or a reference with zeros before the number.
const LONGEST_ESCAPE: usize = 10;
/// Characters with a name in HTML that may stand in credentials or in base64.
const NAMED: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("plus", '+'),
    ("sol", '/'),
    ("equals", '='),
    ("colon", ':'),
];

/// The secrets of a Basic `Proxy-Authorization` that a page may quote.
#[derive(Clone)]
pub(crate) struct Quotable(Vec<QuotedSecret>);

#[derive(Clone)]
struct QuotedSecret {
    text: Box<[u8]>,
    /// Base64 has a second alphabet (RFC 4648, section 5), and may be wrapped in lines.
    base64: bool,
}

impl Quotable {
    /// The secrets in a field's value (RFC 7617): its base64, the decoded text, and the password alone.
    pub(crate) fn of(authorization: &[u8]) -> Self {
        let text = String::from_utf8_lossy(authorization);
        let encoded = text.split_once(' ').map_or(&*text, |(_, encoded)| encoded);
        let mut secrets = vec![QuotedSecret {
            text: encoded.trim_end_matches('=').as_bytes().into(),
            base64: true,
        }];
        if let Ok(pair) = BASE64_STANDARD.decode(encoded) {
            let password = pair.splitn(2, |byte| *byte == b':').nth(1);
            let password = password.filter(|password| password.len() >= SHORTEST);
            // The pair comes first: once the password is masked, the pair is no longer recognised.
            secrets.extend(
                [&*pair]
                    .into_iter()
                    .chain(password)
                    .map(|plain| QuotedSecret {
                        text: plain.into(),
                        base64: false,
                    }),
            );
        }
        secrets.retain(|secret| !secret.text.is_empty());
        Self(secrets)
    }

    /// The longest form of a secret, in bytes.
    pub(crate) fn longest(&self) -> usize {
        let longest = self.0.iter().map(|secret| secret.text.len()).max();
        longest.unwrap_or(0) * LONGEST_ESCAPE
    }

    /// Replaces every quotation in `bytes` by stars of the same length. Returns true where there was one.
    pub(crate) fn mask(&self, bytes: &mut [u8]) -> bool {
        let mut found = false;
        for secret in &self.0 {
            let mut at = 0;
            while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
                let quoted = secret.length_in(rest);
                if let Some(quoted) = quoted.and_then(|length| rest.get_mut(..length)) {
                    quoted.fill(b'*');
                    found = true;
                }
                at += quoted.unwrap_or(1);
            }
        }
        found
    }
}

impl QuotedSecret {
    /// The length of the quotation at the beginning of `bytes`; `None` where there is none.
    fn length_in(&self, bytes: &[u8]) -> Option<usize> {
        let (mut at, mut left) = (0, &*self.text);
        while let Some(wanted) = left.first() {
            let rest = bytes.get(at..)?;
            let first = rest.first()?;
            if let Some((character, length)) = escaped(rest)
                && let Some(after) = self.without(left, character.bytes())
            {
                (at, left) = (at + length, after);
            } else if first == wanted || self.is_same(*wanted, *first) {
                (at, left) = (at + 1, left.get(1..).unwrap_or_default());
            } else if self.base64 && at > 0 && matches!(first, b'\r' | b'\n') {
                at += 1;
            } else {
                return None;
            }
        }
        Some(at)
    }

    fn without<'t>(&self, text: &'t [u8], character: &[u8]) -> Option<&'t [u8]> {
        let (begin, rest) = text.split_at_checked(character.len())?;
        let mut pairs = begin.iter().zip(character);
        pairs
            .all(|(wanted, byte)| wanted == byte || self.is_same(*wanted, *byte))
            .then_some(rest)
    }

    fn is_same(&self, wanted: u8, byte: u8) -> bool {
        match (wanted, byte) {
            (b'+', b'-') | (b'/', b'_') => self.base64,
            // A space in the query of a URL.
            (b' ', b'+') => !self.base64,
            _ => false,
        }
    }
}

/// A decoded character, or one byte of it.
struct Decoded([u8; 4], usize);

impl Decoded {
    fn bytes(&self) -> &[u8] {
        self.0.get(..self.1).unwrap_or_default()
    }

    fn of(code: u32) -> Option<Self> {
        let mut bytes = [0; 4];
        let length = char::from_u32(code)?.encode_utf8(&mut bytes).len();
        Some(Self(bytes, length))
    }
}

/// The escape at the beginning of `bytes`: `%3A`, `\u003a`, `\x3a`, `\/`, `&#58;`, `&#x3a;`, `&colon;`. Returns its value and length.
fn escaped(bytes: &[u8]) -> Option<(Decoded, usize)> {
    let hex = |from: usize, length: usize| {
        let digits = std::str::from_utf8(bytes.get(from..from + length)?).ok()?;
        u32::from_str_radix(digits, 16).ok()
    };
    match bytes {
        [b'%', ..] => Some((Decoded([u8::try_from(hex(1, 2)?).ok()?, 0, 0, 0], 1), 3)),
        [b'\\', b'u', ..] => Some((Decoded::of(hex(2, 4)?)?, 6)),
        [b'\\', b'x', ..] => Some((Decoded::of(hex(2, 2)?)?, 4)),
        [b'\\', byte @ (b'/' | b'"' | b'\\' | b'\''), ..] => {
            Some((Decoded([*byte, 0, 0, 0], 1), 2))
        }
        [b'&', rest @ ..] => {
            let end = rest
                .iter()
                .take(LONGEST_ESCAPE)
                .position(|byte| *byte == b';')?;
            let name = std::str::from_utf8(rest.get(..end)?).ok()?;
            let code = match name.strip_prefix('#') {
                Some(number) => match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                },
                None => NAMED.iter().find(|(known, _)| *known == name)?.1.into(),
            };
            Some((Decoded::of(code)?, end + 2))
        }
        _ => None,
    }
}

impl fmt::Debug for Quotable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_masked_in_every_escape() {
        let password = "s?>~cret>>?é \"d\\e&f";
        let pair = format!("me:{password}");
        let base64 = BASE64_STANDARD.encode(&pair);
        let quotable = Quotable::of(format!("Basic {base64}").as_bytes());
        let each = |text: &str, form: &dyn Fn(char) -> String| text.chars().map(form).collect();
        let percent =
            |text: &str| -> String { text.bytes().map(|b| format!("%{b:02x}")).collect() };
        let forms: Vec<String> = vec![
            password.to_owned(),
            password
                .replace('&', "&amp;")
                .replace('>', "&gt;")
                .replace('"', "&quot;"),
            percent(password),
            percent(password).replace("%20", "+"),
            each(password, &|c| format!("\\u{:04x}", u32::from(c))),
            each(password, &|c| format!("&#{};", u32::from(c))),
            each(password, &|c| format!("&#x{:X};", u32::from(c))),
            password
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('>', "\\u003e"),
            base64.clone(),
            base64.replace('+', "-").replace('/', "_"),
            base64.replace('/', "\\/"),
            base64
                .replace('+', "&#43;")
                .replace('/', "&#x2F;")
                .replace('=', "&#61;"),
            percent(&base64),
            format!("{}\r\n{}", &base64[..20], &base64[20..]),
        ];
        for quoted in forms {
            let page = format!("you sent <{quoted}>, not more");
            let mut bytes = page.clone().into_bytes();
            assert!(quotable.mask(&mut bytes), "{page}");
            let masked = String::from_utf8(bytes).unwrap();
            assert_eq!(masked.len(), page.len());
            let (before, after) = masked.split_once('*').unwrap();
            assert_eq!(before, "you sent <", "{page}");
            let after = after.trim_start_matches('*');
            assert!(
                after.len() <= ">, not more".len() + "&#61;".len(),
                "{masked}"
            );
            assert!(quoted.len() <= quotable.longest(), "{quoted}");
        }
        for other in [
            "%",
            "&",
            "&#",
            "\\u00",
            "&#x110000;",
            "me:s?>~cret",
            "%ff&#99999999999;",
        ] {
            assert!(!quotable.mask(&mut other.as_bytes().to_vec()), "{other}");
        }
    }

    #[test]
    fn base64_pair_and_password_are_masked_and_a_short_password_only_with_its_user() {
        let pair = BASE64_STANDARD.encode("me:hunter2hunter2");
        let quotable = Quotable::of(format!("Basic {pair}").as_bytes());
        let page = format!("<{pair}> me:hunter2hunter2 hunter2hunter2 hunter2");
        let mut bytes = page.clone().into_bytes();
        assert!(quotable.mask(&mut bytes));
        let masked = String::from_utf8(bytes).unwrap();
        assert_eq!(masked.len(), page.len());
        assert!(
            masked.ends_with(" hunter2") && masked.matches("hunter2").count() == 1,
            "{masked}"
        );
        assert!(!masked.contains(&pair[..12]), "{masked}");
        assert!(!quotable.mask(&mut b"me and hunter2".to_vec()));
        let short = Quotable::of(b"Basic bWU6cHc=");
        let mut bytes = *b"a pw, me:pw, bWU6cHc";
        short.mask(&mut bytes);
        assert_eq!(bytes, *b"a pw, *****, *******");
        assert_eq!(format!("{short:?}"), "***");
    }
}
