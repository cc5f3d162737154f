//! The table of the events that a report evaluates: a function for each message. Other events are only counted as lines.

use super::{counts::TransferFields, record::LogRecord, summary::LogSummary};
use crate::model::refusals::ObservedResponse;

/// A message and its function, which returns `None` where a required field is missing.
type EventHandler = (
    &'static str,
    fn(&LogRecord<'_>, &mut LogSummary) -> Option<()>,
);

const EVENTS: &[EventHandler] = &[
    ("transfer ended", ended),
    ("fault", fault),
    ("stall", stall),
    ("stall goes on", stall),
    ("stall over", note_stall_end),
    ("stall ended with its transfer", note_stall_end),
    ("circuit opened", |record, summary| {
        summary.circuits.opened(record)
    }),
    ("circuit closed", |record, summary| {
        summary.circuits.closed(record)
    }),
    ("config loaded", note_start),
];

/// Adds an event to the summary; false where a required field is missing.
pub(super) fn take(record: &LogRecord<'_>, summary: &mut LogSummary) -> bool {
    let entry = EVENTS
        .iter()
        .find(|(message, _)| *message == record.message);
    summary.note_time(record.time);
    match entry {
        Some((_, take)) => take(record, summary).is_some(),
        None => {
            summary.forget_advice();
            true
        }
    }
}

fn failed<'a>(
    record: &'a LogRecord<'_>,
    code: &'a str,
    elapsed: u64,
) -> Option<TransferFields<'a>> {
    Some(TransferFields {
        time: record.time,
        transfer: (record.pid, record.number("id")?),
        host: record.text("host")?,
        port: record.number("port")?,
        route: record.text("route").unwrap_or_default(),
        role: record.text("role"),
        upstream: record.text("upstream"),
        code,
        elapsed,
        other_upstream: record.text("remedy") == Some("other-upstream"),
        flowed: false,
    })
}

fn fault(record: &LogRecord<'_>, summary: &mut LogSummary) -> Option<()> {
    let elapsed = record.number("elapsed_ms")?;
    let failed = failed(record, record.text("code")?, elapsed)?;
    let wait = record.number("wait_ms").unwrap_or(0);
    summary.note_fault(&failed, wait, record.text("next")?, record.text("rescue"));
    advice(record, summary);
    Some(())
}

fn ended(record: &LogRecord<'_>, summary: &mut LogSummary) -> Option<()> {
    let mut failed = failed(record, record.text("result")?, record.number("total_ms")?)?;
    let (up, down) = (record.number("up")?, record.number("down")?);
    summary.circuits.avoided(record);
    let mut refused = false;
    if record.text("result") == Some("answered") {
        let answer = ObservedResponse {
            host: failed.host,
            status: u16::try_from(record.number("status").unwrap_or(0)).unwrap_or(0),
            method: record.text("method").unwrap_or_default(),
            path: record.text("path").unwrap_or_default(),
            // Only a 401 has this field: other requests may have had credentials.
            credentials: record.is("credentials") != Some(false),
        };
        // The summary covers the whole log: times do not matter.
        refused = answer.is_unsuccessful();
        summary
            .refusals
            .observe(&answer, tokio::time::Instant::now());
    }
    failed.flowed = record.text("front") == Some("tunnel") && up + down > 0;
    summary.note_end(&failed, (up, down), refused);
    Some(())
}

/// A stall. If gitferry acts on it, a fault with the same code follows.
fn stall(record: &LogRecord<'_>, summary: &mut LogSummary) -> Option<()> {
    let code = match (record.text("code"), record.text("verdict")) {
        (Some(code), _) => code.to_owned(),
        (None, verdict) => format!(
            "{}/{}/stalled-{}",
            record.text("leg")?,
            record.text("stage")?,
            verdict?
        ),
    };
    summary.note_stall(&failed(record, &code, 0)?);
    advice(record, summary);
    Some(())
}

/// The end of a stall: bytes moved again, another attempt began, or the transfer ended. It counts unless a fault counted it.
fn note_stall_end(record: &LogRecord<'_>, summary: &mut LogSummary) -> Option<()> {
    let lasted = record.number("idle_ms")?;
    summary.note_stall_end((record.pid, record.number("id")?), lasted);
    Some(())
}

/// A daemon started: the log will not have the ends of the earlier one's transfers.
fn note_start(record: &LogRecord<'_>, summary: &mut LogSummary) -> Option<()> {
    summary.note_start(record.pid);
    Some(())
}

/// The JSON format has the advice in the event, the text format on the next line.
fn advice(record: &LogRecord<'_>, summary: &mut LogSummary) {
    if let Some(advice) = record.text("advice") {
        summary.note_advice(advice);
    }
}
