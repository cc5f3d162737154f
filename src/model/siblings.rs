//! Compares a route with its sibling: the storage of a main site, or the reverse. A user with a stalled upload needs to know that the main
//! site works through the same hop.
//!
//! Holds the last outcome of every route through every upstream. The sibling of a route has the other role. Among several candidates, one
//! whose name has the same first word is preferred (`hf-main`, `hf-lfs`).

use std::{sync::MutexGuard, time::Duration};

use tokio::time::Instant;

use super::Role;

use crate::sync::Mutex;

/// The last outcomes. All transfers share it and hold its lock only for a moment.
#[derive(Debug, Default)]
pub(crate) struct Siblings(Mutex<SiblingTable>);

/// By route and upstream. It has at most as many entries as the config has such pairs.
type SiblingTable = Vec<((Box<str>, Box<str>), SiblingRecord)>;

#[derive(Debug)]
struct SiblingRecord {
    role: Role,
    at: Instant,
    failed: Option<Box<str>>,
}

/// The state of a sibling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sibling {
    /// Its route.
    pub route: Box<str>,
    /// What it serves.
    pub role: Role,
    /// Its last outcome.
    pub outcome: SiblingOutcome,
    /// The time since then.
    pub ago: Duration,
}

/// The last outcome of a route through an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SiblingOutcome {
    /// A response arrived.
    Works,
    /// It failed with this code.
    Fails(Box<str>),
}

/// Older outcomes do not count.
const RECENT: Duration = Duration::from_secs(600);

impl Siblings {
    /// Records that a transfer of `route` through `upstream` got a response.
    pub(crate) fn record_success(&self, route: &str, role: Role, upstream: &str, now: Instant) {
        self.record(route, role, upstream, now, None);
    }

    /// Records that a transfer of `route` through `upstream` failed or stalled with this code.
    pub(crate) fn record_failure(
        &self,
        route: &str,
        role: Role,
        upstream: &str,
        code: &str,
        now: Instant,
    ) {
        self.record(route, role, upstream, now, Some(code.into()));
    }

    /// The last outcome of the sibling of `route` through `upstream`.
    pub(crate) fn sibling_of(
        &self,
        route: &str,
        role: Role,
        upstream: &str,
        now: Instant,
    ) -> Option<Sibling> {
        let wanted = match role {
            Role::MainSite => Role::LfsStorage,
            Role::LfsStorage => Role::MainSite,
            Role::Other => return None,
        };
        let family = |name: &str| name.split('-').next().map(str::to_owned);
        let table = self.table();
        let ((name, _), record) = table
            .iter()
            .filter(|((_, through), record)| {
                record.role == wanted
                    && **through == *upstream
                    && now.saturating_duration_since(record.at) <= RECENT
            })
            .max_by_key(|((name, _), record)| (family(name) == family(route), record.at))?;
        Some(Sibling {
            route: name.clone(),
            role: record.role,
            outcome: record
                .failed
                .clone()
                .map_or(SiblingOutcome::Works, SiblingOutcome::Fails),
            ago: now.saturating_duration_since(record.at),
        })
    }

    fn record(
        &self,
        route: &str,
        role: Role,
        upstream: &str,
        now: Instant,
        failed: Option<Box<str>>,
    ) {
        let record = SiblingRecord {
            role,
            at: now,
            failed,
        };
        let mut table = self.table();
        let same = |((of, through), _): &&mut ((Box<str>, Box<str>), _)| {
            **of == *route && **through == *upstream
        };
        match table.iter_mut().find(same) {
            Some((_, known)) => *known = record,
            None => table.push(((route.into(), upstream.into()), record)),
        }
    }

    fn table(&self) -> MutexGuard<'_, SiblingTable> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sibling_is_the_other_half_of_the_same_site_through_the_same_upstream() {
        let (siblings, start) = (Siblings::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let of = |route, upstream, now| siblings.sibling_of(route, Role::LfsStorage, upstream, now);
        assert_eq!(of("hf-lfs", "office", start), None);
        siblings.record_success("hf-main", Role::MainSite, "office", start);
        siblings.record_failure("github-main", Role::MainSite, "office", "a/b/c", at(5));
        siblings.record_failure("hf-main", Role::MainSite, "direct", "a/b/c", at(5));
        let found = of("hf-lfs", "office", at(9)).unwrap();
        assert_eq!(
            (&*found.route, found.outcome),
            ("hf-main", SiblingOutcome::Works)
        );
        assert_eq!(found.ago, Duration::from_secs(9));
        // The main site of another site is better than none.
        assert_eq!(
            &*of("gitlab-lfs", "office", at(9)).unwrap().route,
            "github-main"
        );
        assert_eq!(
            of("hf-lfs", "direct", at(9)).unwrap().outcome,
            SiblingOutcome::Fails("a/b/c".into())
        );
        assert_eq!(of("hf-lfs", "office", at(700)), None);
        assert_eq!(siblings.sibling_of("x", Role::Other, "office", at(9)), None);
        siblings.record_failure("hf-main", Role::MainSite, "office", "d/e/f", at(10));
        assert_eq!(
            of("hf-lfs", "office", at(11)).unwrap().outcome,
            SiblingOutcome::Fails("d/e/f".into())
        );
    }
}
