//! What the log layers write is read back with equal fields.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record as SpanRecord},
};

use crate::{
    cli::report::{
        object::{self, JsonLine},
        reader::End,
        record::LogRecord,
        text::{self, TextLine},
    },
    model::{Leg, Stage},
    track::{
        Front,
        event::{FaultOccurred, LogEvent as _, Subject, TransferEnded},
        log::LogLine,
        metrics::Metrics,
        moment,
    },
};

const NOW: &str = "2026-11-23T16:00:00.120Z";

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<[String; 3]>>>);

impl Subscriber for Written {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &SpanRecord<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let line = LogLine::of(event, moment::parse(NOW).unwrap());
        let forms = [line.logfmt(false), line.logfmt(true), line.json()];
        self.0.lock().unwrap().push(forms);
    }
}

/// The event as text, as coloured text, and as JSON.
pub(super) fn written(emit: impl FnOnce()) -> [String; 3] {
    let written = Written::default();
    tracing::subscriber::with_default(written.clone(), emit);
    let mut lines = written.0.lock().unwrap();
    assert_eq!(lines.len(), 1);
    lines.pop().unwrap()
}

/// Parses each form, with its advice, and compares its fields with `expected`; `None` where a field must be absent.
#[track_caller]
fn assert_round_trip(lines: &[String; 3], message: &str, expected: &[(&str, Option<String>)]) {
    for (at, written) in lines.iter().enumerate() {
        let (line, rest) = written.split_once('\n').unwrap();
        let record = match at {
            2 => match object::parse(line, 0) {
                JsonLine::Event(record) => record,
                other => panic!("{other:?} of {line}"),
            },
            _ => match text::parse(line, End::Newline) {
                TextLine::Event(record) => record,
                other => panic!("{other:?} of {line}"),
            },
        };
        assert_eq!(record.message, message);
        assert_eq!(record.time.unwrap().rfc3339(), NOW);
        let advice = match (at, rest.trim_end_matches('\n')) {
            (_, "") => record.text("advice").map(ToOwned::to_owned),
            (_, advice) => match text::parse(advice, End::Newline) {
                TextLine::Advice(advice) => Some(advice.to_owned()),
                other => panic!("{other:?} of {advice}"),
            },
        };
        for (name, value) in expected {
            let read = if *name == "advice" {
                advice.clone()
            } else {
                shown(&record, name)
            };
            assert_eq!(read, *value, "{name} in {written}");
        }
        let known = record
            .fields
            .iter()
            .filter(|(name, _)| !expected.iter().any(|(key, _)| key == name));
        assert_eq!(
            known.count(),
            0,
            "more fields than were written in {written}"
        );
    }
}

fn shown(record: &LogRecord<'_>, name: &str) -> Option<String> {
    use serde_json::Value;
    let (_, value) = record.fields.iter().find(|(key, _)| key == name)?;
    match value {
        // Text leaves empty ones out.
        Value::String(text) => (!text.is_empty()).then(|| text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => panic!("{value:?}"),
    }
}

/// Strings with special characters of the formats.
fn special(random: &mut fastrand::Rng) -> String {
    let pieces = [
        " ",
        "=",
        "\"",
        "\\",
        "\n",
        "\t",
        "\r",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{85}",
        "é",
        "\u{2028}",
        "😀",
        "a",
        "b=c",
        "{",
        "}",
        ": ",
        "advice: ",
        "null",
        "true",
        "17",
        "]: ",
        "fault",
        " id=1",
        "\u{0}",
    ];
    (0..random.usize(0..6))
        .map(|_| *random.choice(&pieces).unwrap())
        .collect()
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn maybe<T>(random: &mut fastrand::Rng, value: T) -> Option<T> {
    random.bool().then_some(value)
}

fn address(random: &mut fastrand::Rng) -> SocketAddr {
    let port = random.u16(..);
    if random.bool() {
        ([127, 0, 0, 1], port).into()
    } else {
        ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], port).into()
    }
}

fn maybe_special(random: &mut fastrand::Rng) -> Option<String> {
    let text = special(random);
    maybe(random, text)
}

fn subject(random: &mut fastrand::Rng) -> Subject {
    Subject {
        id: random.u64(..),
        host: special(random).into(),
        port: random.u16(..),
        route: special(random).into(),
        upstream: maybe_special(random).map(Into::into),
        avoided: maybe_special(random),
        circuit: maybe_special(random),
    }
}

#[test]
fn any_closing_line_is_read_back_as_it_was_written() {
    let mut random = fastrand::Rng::with_seed(16);
    for _ in 0..3000 {
        let r = &mut random;
        let event = TransferEnded {
            subject: subject(r),
            front: *r
                .choice(&[
                    Front::Intercept,
                    Front::Tunnel,
                    Front::Absolute,
                    Front::Reverse,
                ])
                .unwrap(),
            client: address(r),
            method: special(r).into(),
            path: special(r).into(),
            peer: {
                let peer = address(r);
                maybe(r, peer)
            },
            attempts: r.u32(..),
            reused: r.bool(),
            status: {
                let status = r.u16(..);
                maybe(r, status)
            },
            result: special(r).into(),
            up: r.u64(..),
            down: r.u64(..),
            total_ms: r.u64(..),
            stages: Stage::ALL
                .iter()
                .map(|stage| (*stage, r.u64(0..3)))
                .collect(),
            agent: maybe_special(r).map(Into::into),
            credentials: r.bool(),
        };
        let lines = written(|| event.emit(&Metrics::default()));
        let stages: Vec<String> = event
            .stages
            .iter()
            .filter(|(_, ms)| *ms > 0)
            .map(|(stage, ms)| format!("{}={ms}", stage.as_str()))
            .collect();
        assert_round_trip(
            &lines,
            "transfer ended",
            &[
                ("id", Some(event.subject.id.to_string())),
                ("front", some(event.front.as_str())),
                ("client", Some(event.client.to_string())),
                ("method", some(&event.method)),
                ("host", some(&event.subject.host)),
                ("port", Some(event.subject.port.to_string())),
                ("path", some(&event.path)),
                ("route", some(&event.subject.route)),
                ("upstream", event.subject.upstream.as_deref().and_then(some)),
                ("avoided", event.subject.avoided.as_deref().and_then(some)),
                ("peer", event.peer.map(|peer| peer.to_string())),
                ("attempts", Some(event.attempts.to_string())),
                ("reused", Some(event.reused.to_string())),
                ("status", event.status.map(|status| status.to_string())),
                ("result", some(&event.result)),
                ("up", Some(event.up.to_string())),
                ("down", Some(event.down.to_string())),
                ("total_ms", Some(event.total_ms.to_string())),
                ("stages_ms", some(&stages.join(","))),
                ("agent", event.agent.as_deref().and_then(some)),
                ("circuit", event.subject.circuit.as_deref().and_then(some)),
            ],
        );
    }
}

#[test]
fn any_fault_is_read_back_as_it_was_written() {
    let mut random = fastrand::Rng::with_seed(17);
    for _ in 0..3000 {
        let r = &mut random;
        let event = FaultOccurred {
            subject: subject(r),
            code: special(r),
            leg: *r.choice(&[Leg::Client, Leg::Hop, Leg::Origin]).unwrap(),
            stage: *r.choice(&Stage::ALL).unwrap(),
            kind: special(r),
            peer: maybe_special(r),
            attempt: r.u32(..),
            elapsed_ms: r.u64(..),
            next: "again",
            wait_ms: {
                let wait = r.u64(..);
                maybe(r, wait)
            },
            next_upstream: maybe_special(r),
            rescue: maybe(r, "replay"),
            cause: special(r),
            // The advice is on its own line without quotes: control characters are removed.
            advice: {
                let text = format!("x{}", special(r).replace(char::is_control, ""));
                maybe(r, text)
            },
            remedy: Some("other"),
            advised: false,
            repeated: false,
            at: tokio::time::Instant::now(),
        };
        let lines = written(|| event.emit(&Metrics::default()));
        assert_round_trip(
            &lines,
            "fault",
            &[
                ("id", Some(event.subject.id.to_string())),
                ("code", some(&event.code)),
                ("leg", some(event.leg.as_str())),
                ("stage", some(event.stage.as_str())),
                ("kind", some(&event.kind)),
                ("peer", event.peer.as_deref().and_then(some)),
                ("host", some(&event.subject.host)),
                ("port", Some(event.subject.port.to_string())),
                ("route", some(&event.subject.route)),
                ("upstream", event.subject.upstream.as_deref().and_then(some)),
                ("avoided", event.subject.avoided.as_deref().and_then(some)),
                ("attempt", Some(event.attempt.to_string())),
                ("elapsed_ms", Some(event.elapsed_ms.to_string())),
                ("circuit", event.subject.circuit.as_deref().and_then(some)),
                ("next", some(event.next)),
                ("wait_ms", event.wait_ms.map(|ms| ms.to_string())),
                (
                    "next_upstream",
                    event.next_upstream.as_deref().and_then(some),
                ),
                (
                    "remedy",
                    event.advice.as_ref().and(event.remedy).and_then(some),
                ),
                ("rescue", event.rescue.and_then(some)),
                ("cause", some(&event.cause)),
                ("advice", event.advice.clone()),
            ],
        );
    }
}

#[test]
fn other_values_and_messages_are_read_back_too() {
    let lines = written(|| {
        tracing::warn!(
            signed = -5,
            half = 0.5,
            "config rejected, the previous one remains in force"
        )
    });
    let expected = [
        ("signed", Some("-5".to_owned())),
        ("half", Some("0.5".to_owned())),
    ];
    assert_round_trip(
        &lines,
        "config rejected, the previous one remains in force",
        &expected,
    );
}

#[test]
fn a_message_of_a_library_stays_on_its_line() {
    let [text, ..] = written(|| tracing::warn!("peer said {}", "a\n2026\u{1b}[2J"));
    assert_eq!(
        text,
        format!("{NOW}  WARN peer said a\\n2026\\u{{1b}}[2J\n")
    );
}
