//! The totals of each route per day. Days are UTC.

use std::{collections::BTreeMap, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::Finished;
use crate::model::fields::documented;
use crate::track::{moment, timeline::Rescue};

/// The number of days that are kept.
const DAYS: usize = 31;
/// The largest number of routes per day. A config has fewer, but reloads may rename them.
const ROUTES: usize = 100;

documented! {
/// The totals of one route on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DayTotal {
    /// The day, as in `2026-11-25`, in UTC.
    pub day: String,
    /// The route's name.
    pub route: String,
    /// Ended transfers.
    pub transfers: u64,
    /// Transfers that ended with a fault that the client did not cause.
    pub failed: u64,
    /// Body bytes from clients.
    pub up: u64,
    /// Body bytes to clients.
    pub down: u64,
    /// Transfers that met a fault and succeeded.
    pub rescued: u64,
    /// Rescued requests that belong to a push.
    pub rescued_pushes: u64,
    /// Transfers saved by another attempt over the same upstream.
    pub by_retry: u64,
    /// Transfers saved by sending the request's body again.
    pub by_replay: u64,
    /// Transfers saved by requesting the rest of the response.
    pub by_resume: u64,
    /// Transfers saved by another upstream.
    pub by_failover: u64,
    /// Stalls.
    pub stalls: u64,
}
}

impl DayTotal {
    fn count(&mut self, finished: &Finished) {
        self.transfers += 1;
        self.failed += u64::from(finished.failed_upstream());
        self.up = self.up.saturating_add(finished.up);
        self.down = self.down.saturating_add(finished.down);
        self.stalls += finished.timeline.stalls.len() as u64;
        let rescues = finished.rescues();
        self.rescued += u64::from(!rescues.is_empty());
        self.rescued_pushes += u64::from(!rescues.is_empty() && finished.is_push());
        for rescue in rescues {
            let count = match rescue {
                Rescue::Retry => &mut self.by_retry,
                Rescue::Replay => &mut self.by_replay,
                Rescue::Resume => &mut self.by_resume,
                Rescue::Failover => &mut self.by_failover,
            };
            *count += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        let pairs = [
            (&mut self.transfers, other.transfers),
            (&mut self.failed, other.failed),
            (&mut self.up, other.up),
            (&mut self.down, other.down),
            (&mut self.rescued, other.rescued),
            (&mut self.rescued_pushes, other.rescued_pushes),
            (&mut self.by_retry, other.by_retry),
            (&mut self.by_replay, other.by_replay),
            (&mut self.by_resume, other.by_resume),
            (&mut self.by_failover, other.by_failover),
            (&mut self.stalls, other.stalls),
        ];
        for (own, theirs) in pairs {
            *own = own.saturating_add(theirs);
        }
    }
}

/// All days and routes.
#[derive(Debug, Default)]
pub(super) struct Totals {
    days: Days,
    /// The day of the last transfer, as a number since 1970 and as text: most transfers end on the same day as the previous one.
    last: (u64, String),
}

/// By day, then by route.
type Days = BTreeMap<String, BTreeMap<String, DayTotal>>;

const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

/// The day of `at`.
pub(crate) fn day(at: SystemTime) -> String {
    let mut text = moment::logged(at);
    text.truncate("2026-11-25".len());
    text
}

impl Totals {
    pub(super) fn add(&mut self, finished: &Finished) {
        let since = finished.ended.duration_since(SystemTime::UNIX_EPOCH);
        let number = since.map_or(0, |since| since.as_secs() / SECONDS_OF_A_DAY);
        if self.last.0 != number || self.last.1.is_empty() {
            self.last = (number, day(finished.ended));
        }
        if let Some(total) = entry(&mut self.days, &self.last.1, &finished.route) {
            total.count(finished);
        }
    }

    /// Adds the totals of a file to those of this run.
    pub(super) fn load(&mut self, totals: Vec<DayTotal>) {
        for total in totals {
            let (day, route) = (total.day.clone(), total.route.clone());
            if let Some(entry) = entry(&mut self.days, &day, &route) {
                entry.merge(&total);
            }
        }
    }

    pub(super) fn list(&self) -> Vec<DayTotal> {
        let days = self.days.values().rev();
        days.flat_map(|routes| routes.values().cloned()).collect()
    }

    pub(super) fn on(&self, day: &str) -> Vec<DayTotal> {
        let routes = self.days.get(day).into_iter();
        routes.flat_map(|routes| routes.values().cloned()).collect()
    }
}

/// The entry of a day and a route, created where there is room for it.
fn entry<'d>(days: &'d mut Days, day: &str, route: &str) -> Option<&'d mut DayTotal> {
    if !days.contains_key(day) {
        if days.len() >= DAYS {
            days.pop_first();
        }
        days.insert(day.into(), BTreeMap::new());
    }
    let routes = days.get_mut(day)?;
    if !routes.contains_key(route) {
        if routes.len() >= ROUTES {
            return None;
        }
        let total = DayTotal {
            day: day.into(),
            route: route.into(),
            ..DayTotal::default()
        };
        routes.insert(route.into(), total);
    }
    routes.get_mut(route)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::track::history::tests::finished;

    #[test]
    fn a_push_rescued_by_replay_and_failover_counts_once_as_rescued_and_once_for_each() {
        let mut totals = Totals::default();
        let mut push = finished(1);
        push.method = "PUT".into();
        push.timeline.rescues = vec![Rescue::Failover, Rescue::Replay];
        totals.add(&push);
        let mut failed = push.clone();
        (failed.failed, failed.result) = (true, "origin/sending-body/reset".into());
        totals.add(&failed);
        let mut gone = finished(3);
        (gone.failed, gone.result) = (true, "client/receiving-body/gone".into());
        totals.add(&gone);
        let total = &totals.list()[0];
        assert_eq!((total.transfers, total.failed), (3, 1));
        assert_eq!((total.rescued, total.rescued_pushes), (1, 1));
        assert_eq!(
            (total.by_failover, total.by_replay, total.by_retry),
            (1, 1, 0)
        );
    }

    #[test]
    fn the_last_31_days_are_kept() {
        let mut totals = Totals::default();
        for days in 0..40 {
            let mut it = finished(1);
            it.ended += Duration::from_secs(days * 24 * 3600);
            totals.add(&it);
        }
        let list = totals.list();
        assert_eq!(list.len(), DAYS);
        assert_eq!(list[0].day, "2027-01-01");
    }
}
