//! The events that a report counts, a table: one entry and its function for each message. All others are counted and left.

use super::{counts::TransferFields, record::Record, summary::LogSummary};
use crate::model::refusals::ObservedResponse;

/// A message, and what it changes; `None` where a field that it needs is missing.
type Entry = (&'static str, fn(&Record<'_>, &mut LogSummary) -> Option<()>);

const EVENTS: &[Entry] = &[
    ("transfer ended", ended),
    ("fault", fault),
    ("stall", stall),
    ("stall goes on", stall),
    ("stall over", note_stall_end),
    ("stall ended with its transfer", note_stall_end),
    ("circuit opened", |record, sum| sum.circuits.opened(record)),
    ("circuit closed", |record, sum| sum.circuits.closed(record)),
    ("config loaded", note_start),
];

/// Takes an event into the sum; false where it lacks what it must have.
pub(super) fn take(record: &Record<'_>, sum: &mut LogSummary) -> bool {
    let entry = EVENTS
        .iter()
        .find(|(message, _)| *message == record.message);
    sum.note_time(record.time);
    match entry {
        Some((_, take)) => take(record, sum).is_some(),
        None => {
            sum.forget_advice();
            true
        }
    }
}

fn failed<'a>(record: &'a Record<'_>, code: &'a str, elapsed: u64) -> Option<TransferFields<'a>> {
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

fn fault(record: &Record<'_>, sum: &mut LogSummary) -> Option<()> {
    let elapsed = record.number("elapsed_ms")?;
    let failed = failed(record, record.text("code")?, elapsed)?;
    let wait = record.number("wait_ms").unwrap_or(0);
    sum.note_fault(&failed, wait, record.text("next")?, record.text("rescue"));
    advice(record, sum);
    Some(())
}

fn ended(record: &Record<'_>, sum: &mut LogSummary) -> Option<()> {
    let mut failed = failed(record, record.text("result")?, record.number("total_ms")?)?;
    let (up, down) = (record.number("up")?, record.number("down")?);
    sum.circuits.avoided(record);
    let mut refused = false;
    if record.text("result") == Some("answered") {
        let answer = ObservedResponse {
            host: failed.host,
            status: u16::try_from(record.number("status").unwrap_or(0)).unwrap_or(0),
            method: record.text("method").unwrap_or_default(),
            path: record.text("path").unwrap_or_default(),
            // Only a 401 says so: any other answer may have had them.
            credentials: record.is("credentials") != Some(false),
        };
        // A log is summed up as a whole.
        refused = answer.is_unsuccessful();
        sum.refusals.observe(&answer, tokio::time::Instant::now());
    }
    failed.flowed = record.text("front") == Some("tunnel") && up + down > 0;
    sum.note_end(&failed, (up, down), refused);
    Some(())
}

/// What stands still, told while it does. Where it is acted upon, a fault with the same code follows.
fn stall(record: &Record<'_>, sum: &mut LogSummary) -> Option<()> {
    let code = match (record.text("code"), record.text("verdict")) {
        (Some(code), _) => code.to_owned(),
        (None, verdict) => format!(
            "{}/{}/stalled-{}",
            record.text("leg")?,
            record.text("stage")?,
            verdict?
        ),
    };
    sum.note_stall(&failed(record, &code, 0)?);
    advice(record, sum);
    Some(())
}

/// It moved again, another attempt began, or the transfer ended in it; it counts where no fault has counted it.
fn note_stall_end(record: &Record<'_>, sum: &mut LogSummary) -> Option<()> {
    let lasted = record.number("idle_ms")?;
    sum.note_stall_end((record.pid, record.number("id")?), lasted);
    Some(())
}

/// The daemon began: what an earlier one had open will not be told to its end.
fn note_start(record: &Record<'_>, sum: &mut LogSummary) -> Option<()> {
    sum.note_start(record.pid);
    Some(())
}

/// JSON has the advice in the event, text on the next line.
fn advice(record: &Record<'_>, sum: &mut LogSummary) {
    if let Some(advice) = record.text("advice") {
        sum.note_advice(advice);
    }
}
