//! The forms in which a page may quote credentials, and how they are masked.

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};

/// A shorter password is masked only together with its user name, because it may be a word of any text.
const SHORTEST: usize = 8;

/// The forms in which a page may quote the value of a Basic `Proxy-Authorization`.
#[derive(Clone)]
pub(crate) struct Quotable(Vec<Box<[u8]>>);

impl Quotable {
    /// The forms of a field's value (RFC 7617): its base64, the decoded text, and the password alone.
    pub(crate) fn of(authorization: &[u8]) -> Self {
        let text = String::from_utf8_lossy(authorization);
        let encoded = text.split_once(' ').map_or(&*text, |(_, encoded)| encoded);
        let mut forms: Vec<Box<[u8]>> = vec![encoded.trim_end_matches('=').as_bytes().into()];
        if let Ok(pair) = BASE64_STANDARD.decode(encoded) {
            let password = pair.splitn(2, |byte| *byte == b':').nth(1);
            let password = password.filter(|password| password.len() >= SHORTEST);
            for plain in password.into_iter().chain([&*pair]) {
                forms.extend(escaped_forms(plain));
            }
        }
        forms.retain(|form| !form.is_empty());
        Self(forms)
    }

    /// The longest form, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.0.iter().map(|form| form.len()).max().unwrap_or(0)
    }

    /// Replaces every form in `bytes` by stars of the same length; true where there was one.
    pub(crate) fn hide(&self, bytes: &mut [u8]) -> bool {
        let mut found = false;
        for form in &self.0 {
            let mut from = 0;
            while let Some(at) = find(bytes.get(from..).unwrap_or_default(), form) {
                let end = from + at + form.len();
                if let Some(quoted) = bytes.get_mut(from + at..end) {
                    quoted.fill(b'*');
                }
                (from, found) = (end, true);
            }
        }
        found
    }
}

/// `plain`, and its escaped forms in HTML, JSON and URLs.
fn escaped_forms(plain: &[u8]) -> impl Iterator<Item = Box<[u8]>> {
    let html = |byte| match byte {
        b'&' => b"&amp;".to_vec(),
        b'<' => b"&lt;".to_vec(),
        b'>' => b"&gt;".to_vec(),
        b'"' => b"&quot;".to_vec(),
        byte => vec![byte],
    };
    let json = |byte| match byte {
        b'"' | b'\\' => vec![b'\\', byte],
        byte => vec![byte],
    };
    let url = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => vec![byte],
        byte if byte.is_ascii_alphanumeric() => vec![byte],
        byte => format!("%{byte:02X}").into_bytes(),
    };
    let forms: [&dyn Fn(u8) -> Vec<u8>; 4] = [&|byte| vec![byte], &html, &json, &url];
    let mut forms = forms.map(|form| plain.iter().copied().flat_map(form).collect::<Box<[u8]>>());
    // The longest first, so that no part of a longer form remains.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    let mut forms = Vec::from(forms);
    forms.dedup();
    forms.into_iter()
}

impl fmt::Debug for Quotable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn find(bytes: &[u8], form: &[u8]) -> Option<usize> {
    bytes.windows(form.len()).position(|window| window == form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_starred_as_html_json_and_urls_write_it() {
        let pair = BASE64_STANDARD.encode("me:a&b<c>\"d\\e f");
        let quotable = Quotable::of(format!("Basic {pair}").as_bytes());
        for quoted in [
            "a&b<c>\"d\\e f",
            "a&amp;b&lt;c&gt;&quot;d\\e f",
            "a&b<c>\\\"d\\\\e f",
            "me%3Aa%26b%3Cc%3E%22d%5Ce%20f",
        ] {
            let mut bytes = quoted.as_bytes().to_vec();
            assert!(quotable.hide(&mut bytes), "{quoted}");
            let stars = bytes.iter().filter(|byte| **byte == b'*').count();
            assert!(stars + 5 >= quoted.len(), "{quoted}");
        }
    }

    #[test]
    fn every_form_of_a_credential_is_starred_and_the_length_stays() {
        let pair = BASE64_STANDARD.encode("me:hunter2hunter2");
        let quotable = Quotable::of(format!("Basic {pair}").as_bytes());
        let page = format!("<{pair}> me:hunter2hunter2 hunter2hunter2 hunter2");
        let mut bytes = page.clone().into_bytes();
        assert!(quotable.hide(&mut bytes));
        let hidden = String::from_utf8(bytes).unwrap();
        assert_eq!(hidden.len(), page.len());
        assert!(
            hidden.ends_with(" hunter2") && hidden.matches("hunter2").count() == 1,
            "{hidden}"
        );
        assert!(!hidden.contains(&pair[..12]), "{hidden}");
        assert!(!quotable.hide(&mut b"me and hunter2".to_vec()));
        let short = Quotable::of(b"Basic bWU6cHc=");
        let mut bytes = *b"a pw, me:pw, bWU6cHc";
        short.hide(&mut bytes);
        assert_eq!(bytes, *b"a pw, *****, *******");
        assert_eq!(format!("{short:?}"), "***");
    }
}
