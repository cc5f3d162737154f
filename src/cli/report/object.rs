//! A line that is a JSON object: an event of gitferry's JSON log, or an entry of `journalctl -o json` that holds one.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

use super::record::{Record, Time, Value};

/// What a JSON object is.
#[derive(Debug)]
pub(super) enum Json<'a> {
    /// An event.
    Event(Record<'a>),
    /// What a process wrote to the journal.
    Entry {
        /// Its line, in whichever format.
        message: Vec<u8>,
        /// The process.
        pid: u32,
    },
    /// Not JSON, or no object.
    Broken,
    /// Some other program's.
    Foreign,
}

/// Reads one line.
pub(super) fn parse(line: &str, pid: u32) -> Json<'_> {
    let Ok(Object(mut fields)) = serde_json::from_str(line) else {
        return Json::Broken;
    };
    let Some(message) = take(&mut fields, "message") else {
        return entry(fields);
    };
    let time = take(&mut fields, "time").and_then(|time| match time {
        Value::Text(time) => Time::parse(&time),
        Value::Number(_) | Value::Bool(_) | Value::Bytes(_) | Value::Other => None,
    });
    match (message, time, take(&mut fields, "level")) {
        (Value::Text(message), Some(time), Some(Value::Text(_))) => Json::Event(Record {
            time: Some(time),
            pid,
            message,
            fields,
        }),
        _ => Json::Foreign,
    }
}

/// The journal's numbers are strings, its messages strings or, with odd bytes, lists of numbers.
fn entry<'a>(mut fields: Vec<(Cow<'a, str>, Value<'a>)>) -> Json<'a> {
    let pid = match take(&mut fields, "_PID") {
        Some(Value::Text(pid)) => pid.parse().unwrap_or_default(),
        _ => 0,
    };
    match take(&mut fields, "MESSAGE") {
        Some(Value::Text(message)) => Json::Entry {
            message: message.into_owned().into_bytes(),
            pid,
        },
        Some(Value::Bytes(message)) => Json::Entry { message, pid },
        _ => Json::Foreign,
    }
}

fn take<'a>(fields: &mut Vec<(Cow<'a, str>, Value<'a>)>, name: &str) -> Option<Value<'a>> {
    let at = fields.iter().position(|(key, _)| key == name)?;
    Some(fields.swap_remove(at).1)
}

/// An object whose strings borrow from the line where they have no escapes.
struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(24);
        while let Some((Scalar(key), Scalar(value))) = map.next_entry()? {
            if let Value::Text(key) = key {
                fields.push((key, value));
            }
        }
        Ok(Object(fields))
    }
}

struct Scalar<'a>(Value<'a>);

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Other, Value::Number))
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Other)
    }

    /// Bytes, where every element is one.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut bytes = Some(Vec::new());
        while let Some(Scalar(element)) = list.next_element()? {
            let byte = match element {
                Value::Number(number) => {
                    number.as_u64().and_then(|number| u8::try_from(number).ok())
                }
                Value::Text(_) | Value::Bool(_) | Value::Bytes(_) | Value::Other => None,
            };
            match (byte, &mut bytes) {
                (Some(byte), Some(bytes)) => bytes.push(byte),
                _ => bytes = None,
            }
        }
        Ok(bytes.map_or(Value::Other, Value::Bytes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_journal_gives_its_message_and_process() {
        for message in [r#""hello""#, "[104,101,108,108,111]"] {
            let line = format!(r#"{{"_PID":"42","MESSAGE":{message},"X":null,"Y":[{{}}]}}"#);
            match parse(&line, 0) {
                Json::Entry { message, pid } => {
                    assert_eq!((&message[..], pid), (&b"hello"[..], 42))
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn other_objects_are_foreign_and_what_is_no_object_is_broken() {
        for line in [
            "{}",
            r#"{"message":"fault"}"#,
            r#"{"message":"fault","time":"yesterday","level":"warn"}"#,
            r#"{"message":1,"time":"2026-11-23T16:00:00.123Z","level":"warn"}"#,
            r#"{"MESSAGE":null,"_PID":"1"}"#,
        ] {
            assert!(matches!(parse(line, 0), Json::Foreign), "{line}");
        }
        for line in ["{", "{\"message\":\"fau", "[]", "{}{}"] {
            assert!(matches!(parse(line, 0), Json::Broken), "{line}");
        }
    }
}
