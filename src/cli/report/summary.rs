//! The summary of a log. It is bounded: beyond [`HOSTS`] hosts, [`CODES`] codes and [`super::counts::UPSTREAMS`] upstreams of one host, and
//! [`OPEN`] transfers without an end, everything further is counted as one more, "(others)".

use std::collections::BTreeMap;

use super::{
    circuits::Circuits,
    counts::{
        FaultCounts, HostCounts, LineCounts, NAME, OTHERS, TransferCounts, TransferFields, clip,
        means, upstream_entry,
    },
    record::Time,
};
use crate::model::{Role, refusals::Refusals};

/// The most hosts.
const HOSTS: usize = 1000;
/// The most codes of a host.
const CODES: usize = 64;
/// The most transfers with a fault and no closing line yet.
const OPEN: usize = 10_000;
/// The most faults of one transfer that its end may mark as rescued.
const FAULTS: usize = 32;
/// The most characters of an advice.
const ADVICE: usize = 400;

/// The summary of a log.
#[derive(Debug, Default)]
pub(super) struct LogSummary {
    pub(super) lines: LineCounts,
    pub(super) period: Option<(Time, Time)>,
    /// How often a daemon started.
    pub(super) starts: u64,
    pub(super) transfers: TransferCounts,
    pub(super) hosts: BTreeMap<Box<str>, HostCounts>,
    pub(super) circuits: Circuits,
    pub(super) refusals: Refusals,
    open: BTreeMap<(u32, u64), OpenTransfer>,
    /// Transfers with a fault whose closing line the log does not have.
    unfinished: u64,
    /// What an advice on the next line belongs to.
    advised: Option<AdviceSubject>,
    /// A buffer for names, so that a line without faults allocates none.
    name: String,
}

/// What an advice is about.
#[derive(Debug)]
struct AdviceSubject {
    host: Box<str>,
    code: Box<str>,
    upstream: Option<Box<str>>,
}

/// A transfer with a fault, or a stall, that has not ended.
#[derive(Debug, Default)]
struct OpenTransfer {
    host: Box<str>,
    elapsed: u64,
    /// The time since then that stalls have counted.
    stalled_ms: u64,
    codes: Vec<Box<str>>,
    /// The code of a stall that goes on, and that no fault followed.
    stalled: Option<Box<str>>,
    /// The last fault's code.
    last: Option<Box<str>>,
    means: Option<usize>,
}

impl LogSummary {
    /// Extends the period of the log.
    pub(super) fn note_time(&mut self, time: Option<Time>) {
        if let Some(time) = time {
            let (first, last) = self.period.unwrap_or((time, time));
            self.period = Some((first.min(time), last.max(time)));
        }
    }

    /// The daemon began.
    pub(super) fn note_start(&mut self, pid: u32) {
        self.starts += 1;
        self.advised = None;
        let before = self.open.len();
        self.open.retain(|(owner, _), _| *owner != pid);
        self.unfinished += (before - self.open.len()) as u64;
    }

    /// A fault, and what came next after `wait` milliseconds, which are lost too.
    pub(super) fn note_fault(
        &mut self,
        failed: &TransferFields<'_>,
        wait: u64,
        next: &str,
        rescue: Option<&str>,
    ) {
        let host = self.host(failed);
        let code = clip(failed.code, NAME);
        let open = self.open(failed, &host);
        let until = failed.elapsed.saturating_add(wait);
        let lost = until.saturating_sub(open.elapsed.saturating_add(open.stalled_ms));
        open.stalled_ms = 0;
        let acted = open.stalled.take_if(|stalled| *stalled == code).is_some();
        open.elapsed = until;
        open.last = Some(code.clone());
        open.means = means(next, rescue);
        if open.codes.len() < FAULTS && !acted {
            open.codes.push(code.clone());
        }
        let row = self.row(&host, &code, failed, u64::from(!acted));
        row.faults += 1;
        row.lost_ms = row.lost_ms.saturating_add(lost);
        self.count_failed_attempt(&host, failed);
        self.expect_advice(host, code, failed);
    }

    /// A transfer stalls.
    pub(super) fn note_stall(&mut self, failed: &TransferFields<'_>) {
        let host = self.host(failed);
        let code = clip(failed.code, NAME);
        let open = self.open(failed, &host);
        let known = open.stalled.as_ref() == Some(&code);
        open.stalled = Some(code.clone());
        if open.codes.len() < FAULTS && !known {
            open.codes.push(code.clone());
        }
        let row = self.row(&host, &code, failed, u64::from(!known));
        row.stalls += u64::from(!known);
        self.expect_advice(host, code, failed);
    }

    /// A stall ends.
    pub(super) fn note_stall_end(&mut self, transfer: (u32, u64), lasted: u64) {
        self.advised = None;
        let Some(open) = self.open.get_mut(&transfer) else {
            return;
        };
        let row = open.stalled.take().and_then(|code| {
            let host = self.hosts.get_mut(&open.host)?;
            host.rows.get_mut(&code)
        });
        if let Some(row) = row {
            row.lost_ms = row.lost_ms.saturating_add(lasted);
            open.stalled_ms = open.stalled_ms.saturating_add(lasted);
        }
    }

    /// A transfer ended.
    pub(super) fn note_end(
        &mut self,
        failed: &TransferFields<'_>,
        bytes: (u64, u64),
        refused: bool,
    ) {
        self.advised = None;
        let succeeded = matches!(failed.code, "answered" | "closed");
        let open = self.open.remove(&failed.transfer);
        let key = self.host(failed);
        let had_fault = open.as_ref().is_some_and(|open| open.last.is_some());
        let rescued = succeeded && !refused && had_fault;
        let transfers = &mut self.transfers;
        transfers.ended += 1;
        transfers.failed += u64::from(!succeeded);
        transfers.rescued += u64::from(rescued);
        transfers.refused += u64::from(refused);
        transfers.up = transfers.up.saturating_add(bytes.0);
        transfers.down = transfers.down.saturating_add(bytes.1);
        let means = open.as_ref().and_then(|open| open.means);
        if let Some(means) = means.filter(|_| rescued)
            && let Some(count) = transfers.means.get_mut(means)
        {
            *count += 1;
        }
        if let Some(host) = self.hosts.get_mut(&key) {
            host.ended += 1;
            host.failed += u64::from(!succeeded);
            host.rescued += u64::from(rescued);
            if succeeded {
                upstream_entry(&mut host.upstreams, failed.upstream).succeeded += 1;
            }
        }
        if !succeeded {
            return self.count_unreported_end(failed, open, &key);
        }
        for code in open.into_iter().flat_map(|open| open.codes) {
            if let Some(row) = self.known_row(&key, &code) {
                row.rescued += 1;
            }
        }
    }

    /// A failed end without a fault, as when the client disconnects, or the fault is in an earlier log.
    fn count_unreported_end(
        &mut self,
        failed: &TransferFields<'_>,
        open: Option<OpenTransfer>,
        host: &str,
    ) {
        let code = clip(failed.code, NAME);
        if open.as_ref().and_then(|open| open.last.as_ref()) == Some(&code) {
            return;
        }
        let before = open.map_or(0, |open| open.elapsed.saturating_add(open.stalled_ms));
        let lost = if failed.flowed {
            0
        } else {
            failed.elapsed.saturating_sub(before)
        };
        let row = self.row(host, &code, failed, 1);
        row.faults += 1;
        row.lost_ms = row.lost_ms.saturating_add(lost);
        self.count_failed_attempt(host, failed);
    }

    /// The next line may be the advice for this event.
    fn expect_advice(&mut self, host: Box<str>, code: Box<str>, failed: &TransferFields<'_>) {
        let upstream = failed.blamed_upstream().map(|name| clip(name, NAME));
        self.advised = Some(AdviceSubject {
            host,
            code,
            upstream,
        });
    }

    /// The advice for the previous event.
    pub(super) fn note_advice(&mut self, advice: &str) {
        let Some(AdviceSubject {
            host,
            code,
            upstream,
        }) = self.advised.take()
        else {
            return;
        };
        let Some(row) = self.known_row(&host, &code) else {
            return;
        };
        let of_this = upstream_entry(&mut row.advices, upstream.as_deref());
        if **of_this != *advice {
            *of_this = clip(advice, ADVICE);
            row.advice = Some(of_this.clone());
        }
    }

    /// The previous event has no advice.
    pub(super) fn forget_advice(&mut self) {
        self.advised = None;
    }

    /// Transfers with a fault or stall whose end the log does not have.
    pub(super) fn open_ended(&self) -> u64 {
        self.unfinished + self.open.len() as u64
    }

    /// The lost time in milliseconds.
    pub(super) fn lost_ms(&self) -> u64 {
        let rows = self.hosts.values().flat_map(|host| host.rows.values());
        rows.fold(0, |summary, row| summary.saturating_add(row.lost_ms))
    }

    /// True where there was any fault or stall, rescued or not.
    pub(super) fn has_faults(&self) -> bool {
        self.hosts.values().any(|host| !host.rows.is_empty())
    }

    /// The key of the host, which it adds where it is missing.
    fn host(&mut self, failed: &TransferFields<'_>) -> Box<str> {
        use std::fmt::Write as _;
        self.name.clear();
        self.name.extend(failed.host.chars().take(NAME));
        if failed.port != 443 {
            let _ = write!(self.name, ":{}", failed.port);
        }
        let known = self.hosts.contains_key(self.name.as_str());
        let key = if known || self.hosts.len() < HOSTS {
            &self.name
        } else {
            OTHERS
        };
        let key: Box<str> = key.into();
        let host = self.hosts.entry(key.clone()).or_default();
        let role = Role::ALL
            .into_iter()
            .find(|role| failed.role == Some(role.as_str()));
        host.role = role.or(host.role);
        if !failed.route.is_empty() && *host.route != *failed.route {
            host.route = clip(failed.route, NAME);
        }
        key
    }

    fn open(&mut self, failed: &TransferFields<'_>, host: &str) -> &mut OpenTransfer {
        if self.open.len() >= OPEN && !self.open.contains_key(&failed.transfer) {
            // The lowest number is the oldest transfer, whose end is most likely missing.
            self.open.pop_first();
            self.unfinished += 1;
        }
        let fresh = || OpenTransfer {
            host: host.into(),
            ..OpenTransfer::default()
        };
        let open = self.open.entry(failed.transfer).or_insert_with(fresh);
        // Numbers restart with each daemon: an earlier time is that of another transfer.
        if *open.host != *host || (1..open.elapsed).contains(&failed.elapsed) {
            *open = fresh();
            self.unfinished += 1;
        }
        open
    }

    /// Counts a failed attempt of the upstream; a fault of the client is not the upstream's.
    fn count_failed_attempt(&mut self, host: &str, failed: &TransferFields<'_>) {
        let host = self.hosts.get_mut(host);
        if let Some((host, upstream)) = host.zip(failed.blamed_upstream()) {
            upstream_entry(&mut host.upstreams, Some(upstream)).failed += 1;
        }
    }

    fn known_row(&mut self, host: &str, code: &str) -> Option<&mut FaultCounts> {
        self.hosts.get_mut(host)?.rows.get_mut(code)
    }

    /// The row of a code, with its count increased by `times`.
    fn row(
        &mut self,
        host: &str,
        code: &str,
        failed: &TransferFields<'_>,
        times: u64,
    ) -> &mut FaultCounts {
        let host = self.hosts.entry(host.into()).or_default();
        let known = host.rows.contains_key(code) || host.rows.len() < CODES;
        let row = host
            .rows
            .entry(if known { code } else { OTHERS }.into())
            .or_default();
        row.last = row.last.max(failed.time);
        row.times += times;
        row.other_upstream |= failed.other_upstream;
        *upstream_entry(&mut row.upstreams, failed.blamed_upstream()) += times;
        row
    }
}
