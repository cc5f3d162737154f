//! A line that is a JSON object: an event of gitferry's JSON log, or an entry of `journalctl -o json` that contains one.

use serde_json::{Map, Value};

use super::record::{LogRecord, Time};

/// What a JSON object is.
#[derive(Debug)]
pub(super) enum JsonLine<'a> {
    /// An event.
    Event(LogRecord<'a>),
    /// What a process wrote to the journal.
    Entry {
        /// Its line, in either format.
        message: Vec<u8>,
        /// The process.
        pid: u32,
    },
    /// Not JSON, or no object.
    Broken,
    /// Another program's.
    Foreign,
}

/// Reads one line.
pub(super) fn parse(line: &str, pid: u32) -> JsonLine<'_> {
    let Ok(mut object) = serde_json::from_str::<Map<String, Value>>(line) else {
        return JsonLine::Broken;
    };
    let Some(message) = object.remove("message") else {
        return entry(object);
    };
    let time = object.remove("time");
    let time = time.and_then(|time| Time::parse(time.as_str()?));
    match (message, time, object.remove("level")) {
        (Value::String(message), Some(time), Some(Value::String(_))) => {
            JsonLine::Event(LogRecord {
                time: Some(time),
                pid,
                message: message.into(),
                fields: object
                    .into_iter()
                    .map(|(key, value)| (key.into(), value))
                    .collect(),
            })
        }
        _ => JsonLine::Foreign,
    }
}

/// The journal writes numbers as strings, and a message that is not plain text as a list of bytes.
fn entry(mut object: Map<String, Value>) -> JsonLine<'static> {
    let pid = object
        .get("_PID")
        .and_then(|pid| pid.as_str()?.parse().ok());
    let message = match object.remove("MESSAGE") {
        Some(Value::String(message)) => Some(message.into_bytes()),
        Some(list @ Value::Array(_)) => serde_json::from_value(list).ok(),
        _ => None,
    };
    message.map_or(JsonLine::Foreign, |message| JsonLine::Entry {
        message,
        pid: pid.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_journal_gives_its_message_and_process() {
        for message in [r#""hello""#, "[104,101,108,108,111]"] {
            let line = format!(r#"{{"_PID":"42","MESSAGE":{message},"X":null,"Y":[{{}}]}}"#);
            match parse(&line, 0) {
                JsonLine::Entry { message, pid } => {
                    assert_eq!((&message[..], pid), (&b"hello"[..], 42))
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn other_objects_are_foreign_and_invalid_json_is_broken() {
        for line in [
            "{}",
            r#"{"message":"fault"}"#,
            r#"{"message":"fault","time":"yesterday","level":"warn"}"#,
            r#"{"message":1,"time":"2026-11-23T16:00:00.123Z","level":"warn"}"#,
            r#"{"MESSAGE":null,"_PID":"1"}"#,
        ] {
            assert!(matches!(parse(line, 0), JsonLine::Foreign), "{line}");
        }
        for line in ["{", "{\"message\":\"fau", "[]", "{}{}"] {
            assert!(matches!(parse(line, 0), JsonLine::Broken), "{line}");
        }
    }
}
