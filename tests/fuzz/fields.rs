//! Fields and bodies that decide how a response is read: framing, ranges, codings, waits.

use gitferry::testing::parsers;

use crate::fuzz;

#[test]
fn ambiguous_framing_is_refused() {
    let seeds: &[&[u8]] = &[
        b"chunked",
        b"gzip, chunked",
        b"5",
        b"5, 5",
        b"5,6",
        b"+5",
        b"Chunked ",
    ];
    fuzz(
        seeds,
        &[
            "chunked",
            ",",
            " ",
            "\t",
            "0x5",
            "+",
            "-",
            "18446744073709551616",
            "identity",
            ";q=0",
            "\"",
        ],
        |value, u| {
            let other = *u.choose(seeds)?;
            let as_coding = u.arbitrary()?;
            let (codings, lengths): (&[&[u8]], &[&[u8]]) = match as_coding {
                true => (&[value, other], &[]),
                false => (&[], &[value, other]),
            };
            let (refused, unusable, kept) = parsers::framing(codings, lengths);
            if as_coding && !unusable {
                let codings = [value, other]
                    .into_iter()
                    .flat_map(|value| value.split(|b| *b == b','));
                let codings = codings.map(|coding| coding.trim_ascii().to_ascii_lowercase());
                let codings: Vec<_> = codings.filter(|coding| !coding.is_empty()).collect();
                let valid = [value, other]
                    .iter()
                    .all(|value| !value.iter().any(u8::is_ascii_control));
                let before = codings.iter().rev().skip(1);
                assert!(!valid || { before }.all(|coding| coding == b"identity"));
            }
            if !as_coding && !refused && !unusable {
                assert!(kept.len() <= 1, "{kept:?}");
                assert!(kept.iter().flatten().all(u8::is_ascii_digit), "{kept:?}");
            }
            Ok(())
        },
    );
}

#[test]
fn a_resumed_download_accepts_only_the_requested_range() {
    let seeds: &[&[u8]] = &[
        b"bytes 10-999/1000",
        b"bytes 10-999/*",
        b"bytes */1000",
        b"bytes=10-",
    ];
    fuzz(
        seeds,
        &[
            "bytes ",
            "-",
            "/",
            "18446744073709551615",
            "999",
            "1000",
            "+",
            " ",
            "00",
        ],
        |range, u| {
            let got = u.int_in_range(0..=1000)?;
            let length = format!("{}", 1000 - got);
            if parsers::is_resumable_by(got, range, length.as_bytes()) {
                let range = String::from_utf8_lossy(range).to_lowercase();
                let (first, rest) = range
                    .trim()
                    .strip_prefix("bytes")
                    .unwrap()
                    .trim()
                    .split_once('-')
                    .unwrap();
                assert_eq!(first.trim().parse::<u64>().unwrap(), got, "{range}");
                assert!(rest.starts_with("999"), "{range}");
            }
            Ok(())
        },
    );
}

#[test]
fn a_decompressed_body_never_exceeds_its_limit() {
    const ZEROS: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xc1\x01\r\0\0\0\xc2\xa0\xf7Om\x0e7\xa0\0\0\0\0\0\0\0\0\x80w\x03\x9a\xde\x1d'\0\0\x10\0";
    let seeds: &[&[u8]] = &[ZEROS, b"\x78\x9c\x4b\x04\0\0\x62\0\x62", b"\x4b\x04\0"];
    fuzz(seeds, &["\x1f", "\u{8}\0\0"], |body, u| {
        let limit = u.int_in_range(0..=4096)?;
        let coding = *u.choose(&["gzip", "deflate", "x-gzip", "br", "gzip, gzip"])?;
        if let Some(decoded) = parsers::decoded(coding, body, limit) {
            assert!(decoded.len() <= limit);
        }
        Ok(())
    });
}

#[test]
fn own_members_of_proxy_status_are_removed_and_retry_after_in_seconds_is_read() {
    let seeds: &[&[u8]] = &[
        b"gitferry; error=x, other; y=\"gitferry, z\"",
        b"\"gitferry\"; error=x",
        b"120",
        b"Thu, 26 Nov 2099 01:00:00 GMT",
    ];
    fuzz(
        seeds,
        &[
            "gitferry",
            "\"",
            ",",
            ";",
            "\\",
            " ",
            "99999999999999999999",
            "GMT",
        ],
        |value, _| {
            if let Some(left) = parsers::without_our_status(value) {
                assert!(!left.starts_with(b"gitferry;") && !left.starts_with(b"gitferry,"));
                assert_eq!(parsers::without_our_status(&left).as_ref(), Some(&left));
            }
            let seconds = std::str::from_utf8(value).unwrap_or_default();
            if !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit()) {
                let seconds = seconds.parse().unwrap_or(u64::MAX);
                assert_eq!(parsers::retry_after(value), Some(seconds));
            }
            Ok(())
        },
    );
}
