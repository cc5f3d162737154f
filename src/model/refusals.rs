//! Refusals by origins, counted by host and status: 4xx and other errors that the origin itself responds with.
//!
//! A refusal is a result, not a fault: the network works, and the client shows the status. The log reports refusals all the same, because
//! a user may suspect the network where the token is wrong. Not every 4xx is a refusal: git sends its first request without credentials
//! and gets 401, git-lfs queries locks on hosts that have none, and the Hub's clients request files that a repository may lack.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The most pairs of host and status; beyond it, the pair with the oldest last refusal is dropped.
const AT_MOST: usize = 256;
/// Refusals that were not repeated for this long are no longer current.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// Requests without credentials that got 401 count as refusals from this number on, if none succeeded: the token is missing.
const ASKED_FOR: u64 = 3;
/// The first refusal is reported, then each one that multiplies their number by this factor.
const FACTOR: u64 = 5;

/// An origin's response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObservedResponse<'a> {
    /// The requested host.
    pub host: &'a str,
    /// The status.
    pub status: u16,
    /// The request's method.
    pub method: &'a str,
    /// Its path and query.
    pub path: &'a str,
    /// True where the request carried credentials.
    pub credentials: bool,
}

/// Refusals of one host with one status since its last success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusalCount {
    /// The requested host.
    pub host: String,
    /// The status.
    pub status: u16,
    /// Their number.
    pub count: u64,
}

impl fmt::Display for RefusalCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, status, host) = (self.count, self.status, &self.host);
        write!(f, "{count} × {status} from {host}: {}", meaning(status))
    }
}

/// The usual meaning of an error status.
pub(crate) fn meaning(status: u16) -> &'static str {
    match status {
        401 => "the token is wrong or missing",
        403 => "the token lacks the permission, or the repository is private or gated",
        404 => "no such repository, or the token may not see it",
        413 => "the site does not accept a body of this size",
        429 => "too many requests, the client must wait",
        451 => "the site may not serve this for legal reasons",
        500.. => "an error of the site itself",
        _ => "the site refuses the request",
    }
}

impl ObservedResponse<'_> {
    /// True where the response is a refusal; see the module's description.
    pub(crate) fn is_refusal(&self) -> bool {
        let reads = matches!(self.method, "GET" | "HEAD");
        let git = self.path.contains("/info/refs") || self.path.contains("/info/lfs/");
        match self.status {
            ..400 => false,
            // The locking API, which many hosts do not have.
            _ if self.path.contains("/info/lfs/locks") => false,
            404 => git || !reads,
            // The object already exists; the object has changed; the range is beyond the end; a fault of its own (`FaultKind::Answered`).
            409 | 412 | 416 | 502..=504 => false,
            _ => true,
        }
    }

    /// True where the request failed at the site: log, `status`, page and `report` mark such a transfer like a failed one.
    pub(crate) fn is_unsuccessful(&self) -> bool {
        match self.status {
            // Without credentials, 401 is how a server requests them.
            401 => self.credentials,
            502..=504 => true,
            _ => self.is_refusal(),
        }
    }
}

/// The refusals of each host since its last success.
#[derive(Debug, Default)]
pub(crate) struct Refusals(BTreeMap<(Box<str>, u16), HostRefusals>);

#[derive(Clone, Copy, Debug)]
struct HostRefusals {
    /// The last refusal.
    last: Instant,
    refused: u64,
    /// 401 responses to requests without credentials.
    unauthenticated: u64,
    /// The number at which the next report is due.
    next: u64,
    /// Refusals before the last success.
    before: u64,
}

impl Refusals {
    /// Counts a response; returns the refusals where a report is due.
    pub(crate) fn observe(
        &mut self,
        response: &ObservedResponse<'_>,
        now: Instant,
    ) -> Option<RefusalCount> {
        if response.status < 400 {
            self.record_success(response);
            return None;
        }
        if !response.is_refusal() {
            return None;
        }
        let key = (Box::from(response.host), response.status);
        if self.0.len() >= AT_MOST && !self.0.contains_key(&key) {
            self.forget_oldest();
        }
        let count = self.0.entry(key).or_insert_with(|| HostRefusals::new(now));
        if !count.is_fresh(now) {
            count.move_to_old();
        }
        count.last = now;
        if response.status == 401 && !response.credentials {
            count.unauthenticated += 1;
        } else {
            count.refused += 1;
        }
        let all = count.all();
        if all == 0 || all < count.next {
            return None;
        }
        count.next = all * FACTOR;
        Some(RefusalCount {
            host: response.host.into(),
            status: response.status,
            count: all,
        })
    }

    /// The current refusals.
    pub(crate) fn list(&self, now: Instant) -> Vec<RefusalCount> {
        let is_now = |count: &HostRefusals| count.all() > 0 && count.is_fresh(now);
        let counts = self.0.iter().filter(|(_, count)| is_now(count));
        let refused = |((host, status), count): (&(Box<str>, u16), &HostRefusals)| RefusalCount {
            host: host.to_string(),
            status: *status,
            count: count.all(),
        };
        counts.map(refused).collect()
    }

    /// All refusals, including those before a success.
    pub(crate) fn totals(&self) -> Vec<RefusalCount> {
        let total = |((host, status), count): (&(Box<str>, u16), &HostRefusals)| RefusalCount {
            host: host.to_string(),
            status: *status,
            count: count.before + count.all(),
        };
        let totals = self.0.iter().map(total);
        totals.filter(|refused| refused.count > 0).collect()
    }

    /// Ends the refusals of the host. A success without credentials does not end those of a token.
    fn record_success(&mut self, response: &ObservedResponse<'_>) {
        for ((host, status), count) in &mut self.0 {
            let token = matches!(status, 401 | 403);
            if **host == *response.host && (response.credentials || !token) {
                count.move_to_old();
            }
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self
            .0
            .iter()
            .min_by_key(|(_, count)| (count.last, count.all()));
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.0.remove(&key);
        }
    }
}

impl HostRefusals {
    fn new(now: Instant) -> Self {
        Self {
            last: now,
            refused: 0,
            unauthenticated: 0,
            next: 0,
            before: 0,
        }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < FRESH
    }

    /// A success, or a long time, separates old refusals from new ones.
    fn move_to_old(&mut self) {
        *self = Self {
            before: self.before + self.all(),
            ..Self::new(self.last)
        };
    }

    /// The current refusals. One or two 401 responses to requests without credentials are none.
    fn all(&self) -> u64 {
        match self.unauthenticated {
            count if count >= ASKED_FOR || self.refused > 0 => count + self.refused,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH: &str = "/me/m.git/info/refs?service=git-receive-pack";

    fn response(status: u16, path: &str, credentials: bool) -> ObservedResponse<'_> {
        ObservedResponse {
            host: "huggingface.co",
            status,
            method: "GET",
            path,
            credentials,
        }
    }

    #[test]
    fn a_wrong_token_is_reported_at_the_first_the_fifth_and_the_25th_refusal() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let reports: Vec<String> = (0..30)
            .filter_map(|_| refusals.observe(&response(401, PUSH, true), now))
            .map(|refused| refused.to_string())
            .collect();
        let line =
            |count| format!("{count} × 401 from huggingface.co: the token is wrong or missing");
        assert_eq!(reports, [line(1), line(5), line(25)]);
        assert_eq!(refusals.list(now)[0].count, 30);
        refusals.observe(&response(200, PUSH, true), now);
        assert_eq!(refusals.list(now), []);
        assert_eq!(refusals.totals()[0].count, 30);
    }

    #[test]
    fn the_401_before_every_push_is_no_refusal_and_three_without_a_success_are() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for _ in 0..100 {
            assert_eq!(refusals.observe(&response(401, PUSH, false), now), None);
            assert_eq!(refusals.observe(&response(200, PUSH, true), now), None);
        }
        let reports = (0..3).filter_map(|_| refusals.observe(&response(401, PUSH, false), now));
        assert_eq!(reports.last().unwrap().count, 3);
        // A page that needs no token does not end them.
        refusals.observe(&response(200, "/", false), now);
        assert_eq!(refusals.list(now).len(), 1);
    }

    #[test]
    fn refusals_expire_after_an_hour_and_a_full_table_takes_new_hosts() {
        let (mut refusals, begun) = (Refusals::default(), Instant::now());
        let at = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        let refuse = |refusals: &mut Refusals, host: &str, now| {
            let response = ObservedResponse {
                host,
                ..response(401, PUSH, true)
            };
            refusals
                .observe(&response, now)
                .map(|refused| refused.count)
        };
        assert_eq!(refuse(&mut refusals, "old.test", at(0)), Some(1));
        assert_eq!(refusals.list(at(59)).len(), 1);
        assert_eq!(refusals.list(at(60)), []);
        // Counting restarts, and earlier refusals are kept.
        assert_eq!(refuse(&mut refusals, "old.test", at(120)), Some(1));
        assert_eq!(refusals.list(at(120))[0].count, 1);
        assert_eq!(refusals.totals()[0].count, 2);
        for n in 0..2 * AT_MOST {
            let host = format!("h{n}.test");
            assert_eq!(refuse(&mut refusals, &host, at(121)), Some(1), "{n}");
        }
        assert_eq!(refusals.list(at(121)).len(), AT_MOST);
    }

    #[test]
    fn errors_that_healthy_clients_get_are_no_refusals() {
        let post = |status, path| ObservedResponse {
            method: "POST",
            ..response(status, path, true)
        };
        for healthy in [
            response(404, "/me/m/resolve/main/adapter_config.json", true),
            post(404, "/me/m.git/info/lfs/locks/verify"),
            post(403, "/me/m.git/info/lfs/locks/verify"),
            post(409, "/api/repos/create"),
            response(416, "/me/m/resolve/main/model.bin", true),
            response(304, "/me/m/resolve/main/model.bin", true),
        ] {
            assert!(!healthy.is_refusal(), "{healthy:?}");
            assert!(!healthy.is_unsuccessful(), "{healthy:?}");
        }
        for refused in [
            response(404, PUSH, true),
            post(404, "/me/m.git/info/lfs/objects/batch"),
            post(413, "/lfs/1"),
            response(403, "/me/gated/resolve/main/model.bin", true),
            post(429, "/api/repos/create"),
            post(500, "/api/repos/create"),
        ] {
            assert!(refused.is_refusal(), "{refused:?}");
            assert!(refused.is_unsuccessful(), "{refused:?}");
        }
    }
}
