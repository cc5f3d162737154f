//! `/-/api/`: JSON for programs, and the table of its addresses.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    daemon::DaemonView,
    endpoints::ENDPOINTS,
    upstreams::upstreams,
    view::{API, Overview, now},
};
use crate::{
    forward::Forwarder,
    track::{history::Finished, moment},
};

/// The number of entries without `limit`, and the maximum.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;

/// Why there is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ApiError {
    /// It does not exist.
    NotFound(&'static str),
    /// A parameter is invalid.
    BadParameter(String),
}

/// A request to the API.
pub(super) struct Api<'a> {
    /// The forwarder with the current config.
    pub forwarder: &'a Forwarder,
    /// When the daemon started.
    pub started: Instant,
    /// The query, without the question mark.
    pub query: &'a str,
}

impl Api<'_> {
    /// The overview.
    pub(super) fn overview(&self) -> Result<Value, ApiError> {
        let limit = self.limit()?;
        Ok(value(&Overview::of(self.forwarder, self.started, limit)))
    }

    /// The table of addresses.
    pub(super) fn index() -> Value {
        json!({ "api": API, "endpoints": ENDPOINTS.iter().map(value).collect::<Vec<_>>() })
    }

    /// The identity of the daemon.
    pub(super) fn daemon(&self) -> Value {
        value(&DaemonView::of(self.forwarder))
    }

    /// Running transfers, the oldest first.
    pub(super) fn transfers(&self) -> Result<Value, ApiError> {
        let (limit, after) = (self.limit()?, self.number("after")?.unwrap_or(0));
        let tracker = &self.forwarder.shared.tracker;
        let total = tracker.count();
        // One entry more than requested shows whether a next page exists.
        let mut page = tracker.page(after, limit + 1);
        let is_more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| is_more).map(|it| it.id);
        Ok(json!({
            "api": API, "now": now(), "total": total, "next": next, "transfers": value(&page),
        }))
    }

    /// One transfer, running or finished.
    pub(super) fn transfer(&self, id: u64) -> Result<Value, ApiError> {
        let tracker = &self.forwarder.shared.tracker;
        let (running, transfer) = match tracker.detail(id) {
            Some(detail) => (true, value(&detail)),
            None => (false, self.finished(id)?),
        };
        Ok(json!({ "api": API, "now": now(), "running": running, "transfer": transfer }))
    }

    /// A finished transfer.
    pub(super) fn finished_transfer(&self, id: u64) -> Result<Value, ApiError> {
        let transfer = self.finished(id)?;
        Ok(json!({ "api": API, "now": now(), "running": false, "transfer": transfer }))
    }

    fn finished(&self, id: u64) -> Result<Value, ApiError> {
        let found = self.forwarder.shared.tracker.history().find(id);
        let found = found.ok_or(ApiError::NotFound("no transfer has this number"))?;
        Ok(value(&*found))
    }

    /// Finished transfers, the newest first.
    pub(super) fn history(&self) -> Result<Value, ApiError> {
        let limit = self.limit()?;
        let before = self.number("before")?;
        let since = match self.parameter("since") {
            Some(text) => Some(
                parse_since(text, SystemTime::now())
                    .map_err(|valid| ApiError::BadParameter(format!("`since` must be {valid}")))?,
            ),
            None => None,
        };
        let failed = matches!(self.parameter("failed"), Some("" | "1" | "true"));
        let host = self.parameter("host").map(str::to_ascii_lowercase);
        let wanted = |it: &Finished| {
            (!failed || it.failed || it.refused)
                && since.is_none_or(|since| it.ended >= since)
                && host
                    .as_deref()
                    .is_none_or(|host| format!("{}:{}", it.host, it.port).contains(host))
        };
        let kept = self.forwarder.shared.tracker.history().newest();
        // The list is in the order of the ends, not of the numbers.
        let begin = before.map_or(0, |id| {
            let last = kept.iter().position(|it| it.id == id);
            let older = || kept.iter().position(|it| it.id < id);
            last.map(|at| at + 1).or_else(older).unwrap_or(kept.len())
        });
        let mut rest = kept.into_iter().skip(begin).filter(|it| wanted(it));
        let page: Vec<_> = rest.by_ref().take(limit).collect();
        let next = rest.next().and(page.last().map(|it| it.id));
        Ok(json!({ "api": API, "now": now(), "next": next, "transfers": value(&page) }))
    }

    /// Every upstream with its health.
    pub(super) fn upstreams(&self) -> Value {
        let tracker = &self.forwarder.shared.tracker;
        let loads = tracker.survey(0).loads;
        let upstreams = upstreams(self.forwarder, &loads, &tracker.history().newest());
        json!({ "api": API, "now": now(), "upstreams": value(&upstreams) })
    }

    /// The last faults, the newest first.
    pub(super) fn faults(&self) -> Value {
        let faults = self.forwarder.shared.tracker.faults();
        json!({ "api": API, "now": now(), "faults": value(&faults) })
    }

    /// The last stalls, the newest first.
    pub(super) fn stalls(&self) -> Value {
        let stalls = self.forwarder.shared.tracker.stalls();
        json!({ "api": API, "now": now(), "stalls": value(&stalls) })
    }

    /// Totals per route and day.
    pub(super) fn totals(&self) -> Value {
        let totals = self.forwarder.shared.tracker.history().totals();
        json!({ "api": API, "now": now(), "totals": value(&totals) })
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        })
    }

    fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.parameter(name) else {
            return Ok(None);
        };
        let number = text.parse().map(Some);
        number.map_err(|_| ApiError::BadParameter(format!("{name} must be a number")))
    }

    fn limit(&self) -> Result<usize, ApiError> {
        let limit = self.number("limit")?.map(usize::try_from);
        let limit = limit.map_or(DEFAULT_LIMIT, |limit| limit.unwrap_or(MAX_LIMIT));
        Ok(limit.clamp(1, MAX_LIMIT))
    }
}

/// Parses `90s`, `15m`, `2h`, `3d` (before now), or a time in the log's format.
pub(crate) fn parse_since(text: &str, now: SystemTime) -> Result<SystemTime, &'static str> {
    let bad = || "a time span such as 90s, 15m, 2h or 3d, or a time as the log writes it";
    if let Some(at) = moment::parse(text) {
        return Ok(at);
    }
    let unit = text.chars().last().ok_or_else(bad)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(bad()),
    };
    let count = text.strip_suffix(unit).unwrap_or_default();
    let count: u64 = count.parse().map_err(|_| bad())?;
    let ago = Duration::from_secs(count.saturating_mul(seconds));
    let at = now.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
    Ok(at.max(SystemTime::UNIX_EPOCH))
}

/// Serialises the value. Every type here can be serialised.
fn value(of: &(impl Serialize + ?Sized)) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_span_or_a_time_of_the_log() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (text, seconds) in [
            ("90s", 999_910),
            ("15m", 999_100),
            ("2h", 992_800),
            ("3d", 740_800),
            ("99999999999999d", 0),
            ("1970-01-01T00:00:07.000Z", 7),
        ] {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse_since(text, now), Ok(at), "{text}");
        }
        for text in ["", "h", "2", "2w", "-1h", "ä"] {
            assert!(parse_since(text, now).is_err(), "{text}");
        }
    }
}
