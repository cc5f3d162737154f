//! LFS batch answers and their like, whose URLs are changed where they stand.

use gitferry::testing::parsers::{self, ResponsePath};
use serde_json::Value;

use crate::fuzz;

const BATCHES: &[&[u8]] = &[
    br#"{"transfer":"basic","objects":[{"oid":"a","size":1,"actions":{"upload":{"href":"https://b.test/x?y=1","header":{"A":"b"}}}}]}"#,
    br#"{ "objects" : [ {"actions":{"download":{"href":"https:\/\/x.cdn.test\/\u0061","expires_in":1e3}}},{"actions":null},[]],"url":"/u","parts":{"1":"https://hf.co/1","a":"https://hf.co/2"}}"#,
    br#"{"objects":[{"actions":{"upload":{"href":"https://hf.co/\ud83d\ude00","href":"\ud800"}}}],"url":"https://mirror.test/base/x"}"#,
];
const WORDS: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ",",
    ":",
    "null",
    "1e999",
    "-0",
    "\\u0000",
    "\\ud800",
    "\"objects\":[",
    "\"actions\":{",
    "\"href\":\"https://b.test/\"",
    "\"url\":\"x\"",
    "[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":",
    "\u{fffd}",
    "\u{feff}",
    "\"parts\":{\"0\":\"x\"}",
];

/// What `spliced` must come to, on a document as serde reads it.
fn marked(document: &mut Value) {
    let mark = |value: &mut Value| {
        if let Value::String(text) = value {
            text.insert_str(0, "marked ");
        }
    };
    let members = |value: &mut Value, key: &str, each: &dyn Fn(&String, &mut Value)| {
        let inner = value.get_mut(key).and_then(Value::as_object_mut);
        inner
            .into_iter()
            .flatten()
            .for_each(|(key, value)| each(key, value));
    };
    let objects = document.get_mut("objects").and_then(Value::as_array_mut);
    for object in objects.into_iter().flatten() {
        members(object, "actions", &|_, action| {
            action.get_mut("href").map(mark).unwrap_or_default();
        });
    }
    members(document, "parts", &|key, part| {
        if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()) {
            mark(part);
        }
    });
    if document.is_object() {
        document.get_mut("url").map(mark).unwrap_or_default();
    }
}

#[test]
fn a_rewritten_batch_differs_only_in_its_urls() {
    fuzz(BATCHES, WORDS, |body, _| {
        assert!(matches!(
            parsers::spliced(body, &mut |_| None),
            Ok(None) | Err(_)
        ));
        let changed = parsers::spliced(body, &mut |text| Some(format!("marked {text}")));
        let document = serde_json::from_slice::<Value>(body);
        match (changed, document) {
            (Ok(changed), Ok(mut document)) => {
                let untouched = document.clone();
                marked(&mut document);
                // Where a key stands twice, the last one counts: both were changed.
                match changed {
                    None => assert_eq!(document, untouched),
                    Some(bytes) => {
                        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), document)
                    }
                }
            }
            // Deeper than what is rewritten, or a lone surrogate that only a string holds.
            (Err(_), Ok(_)) => assert!(
                body.iter()
                    .filter(|byte| matches!(byte, b'[' | b'{'))
                    .count()
                    > 60
            ),
            (_, Err(_)) => {}
        }
        Ok(())
    });
}

#[test]
fn a_rewritten_batch_is_valid_json() {
    fuzz(BATCHES, WORDS, |body, u| {
        let between = ResponsePath {
            reverse_front: u.arbitrary()?,
            mirror: u.arbitrary()?,
        };
        if let Some(rewritten) = parsers::rewritten_batch(between, body) {
            assert_ne!(rewritten, body);
            serde_json::from_slice::<serde::de::IgnoredAny>(&rewritten).unwrap();
        }
        Ok(())
    });
}
