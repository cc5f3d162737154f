//! Logs that `gitferry report` reads, and request lines that the log quotes.

use gitferry::testing::parsers;

use crate::fuzz;

const LOGS: &[&[u8]] = &[
    include_bytes!("../fixtures/report/journal-short.log"),
    include_bytes!("../fixtures/report/journal-json.log"),
    include_bytes!("../fixtures/report/journal-export.log"),
    include_bytes!("../fixtures/report/json.log"),
    include_bytes!("../fixtures/log/events.json"),
    include_bytes!("../fixtures/log/events.text"),
];
const WORDS: &[&str] = &[
    "\n",
    "\r\n",
    "\"",
    "\\",
    "{",
    "}",
    "=",
    "]: {",
    "[99999999999]",
    "__CURSOR=",
    "MESSAGE\n\u{1}\0\0\0\0\0\0\0x\n",
    "2026-11-23T16:00:00.000Z",
    "9999-99-99T99:99:99.999Z",
    "WARN",
    "fault",
    "code=",
    "host=",
    "\x1b[2J",
    "\u{202e}",
    "id=18446744073709551615",
    "total_ms=18446744073709551615",
    "attempt=4294967296",
    "\"message\":[1,2,255]",
];

#[test]
fn the_report_of_any_log_is_valid_json_and_text_without_control_characters() {
    fuzz(LOGS, WORDS, |log, _| {
        if let Some((page, data)) = parsers::report(log) {
            let obeyed =
                |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}');
            assert!(!page.contains(obeyed), "{page:?}");
            serde_json::from_str::<serde::de::IgnoredAny>(&data).unwrap();
        }
        Ok(())
    });
}

#[test]
fn a_request_line_is_quoted_the_same_however_it_is_split() {
    let seeds: &[&[u8]] = &[
        b"GET /a<b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n\r\nPOST http://h/a?x=\"1\" HTTP/1.1\r\n",
        b"GET /\xff#a HTTP/1.0\n",
    ];
    fuzz(
        seeds,
        &["\r\n", " HTTP/", "#", "?", "\"", "`", "\x1b"],
        |line, u| {
            let cut = u.int_in_range(0..=line.len())?;
            let whole = parsers::request_line(&[line]);
            let (first, second) = line.split_at(cut);
            assert_eq!(parsers::request_line(&[first, second]), whole);
            if let Some(told) = whole {
                assert!(!told.contains(char::is_control), "{told:?}");
            }
            Ok(())
        },
    );
}
