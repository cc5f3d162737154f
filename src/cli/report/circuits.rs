//! Circuits: how often each opened, for how long, and how many transfers used another upstream because of it.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::{
    counts::{OTHERS, safe},
    record::LogRecord,
};
use crate::model::size::duration;

/// The most circuits; all further ones are counted as one more.
const CIRCUITS: usize = 1000;

/// All circuits, by host and upstream.
#[derive(Debug, Default)]
pub(super) struct Circuits(BTreeMap<(Box<str>, Box<str>), CircuitCounts>);

#[derive(Debug, Default)]
struct CircuitCounts {
    opened: u64,
    closed: u64,
    open_ms: u64,
    avoided: u64,
    code: Box<str>,
}

impl Circuits {
    fn of(&mut self, record: &LogRecord<'_>, upstream: &str) -> Option<&mut CircuitCounts> {
        let mut host = record.text("host")?.to_owned();
        if let Some(port) = record.number("port").filter(|port| *port != 443) {
            let _ = write!(host, ":{port}");
        }
        let mut key = (host.into_boxed_str(), upstream.into());
        if self.0.len() >= CIRCUITS && !self.0.contains_key(&key) {
            key = (OTHERS.into(), OTHERS.into());
        }
        Some(self.0.entry(key).or_default())
    }

    /// A circuit opened.
    pub(super) fn opened(&mut self, record: &LogRecord<'_>) -> Option<()> {
        let circuit = self.of(record, record.text("upstream")?)?;
        circuit.opened += 1;
        circuit.code = record.text("code")?.into();
        Some(())
    }

    /// It closed.
    pub(super) fn closed(&mut self, record: &LogRecord<'_>) -> Option<()> {
        let circuit = self.of(record, record.text("upstream")?)?;
        circuit.closed += 1;
        circuit.open_ms = circuit.open_ms.saturating_add(record.number("open_ms")?);
        Some(())
    }

    /// A transfer ended that used another upstream because of a circuit.
    pub(super) fn avoided(&mut self, record: &LogRecord<'_>) {
        if let Some(upstream) = record.text("avoided")
            && let Some(circuit) = self.of(record, upstream)
        {
            circuit.avoided += 1;
        }
    }

    /// For people: a line each.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|((host, upstream), circuit)| {
            let mut line = format!(
                "{} for {}: opened {}, closed {}",
                safe(upstream),
                safe(host),
                circuit.opened,
                circuit.closed
            );
            if circuit.closed > 0 {
                let _ = write!(line, " after {} in all", duration(circuit.open_ms));
            }
            let _ = write!(
                line,
                "; {} transfers used another upstream",
                circuit.avoided
            );
            if !circuit.code.is_empty() {
                let _ = write!(line, "; last {}", safe(&circuit.code));
            }
            line
        })
    }

    /// For programs.
    pub(super) fn data(&self) -> Vec<Value> {
        let circuits = self.0.iter();
        let one = |((host, upstream), circuit): (&(Box<str>, Box<str>), &CircuitCounts)| {
            json!({
                "host": safe(host),
                "upstream": safe(upstream),
                "opened": circuit.opened,
                "closed": circuit.closed,
                "open_ms": circuit.open_ms,
                "avoided": circuit.avoided,
                "code": safe(&circuit.code),
            })
        };
        circuits.map(one).collect()
    }
}
