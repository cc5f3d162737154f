//! Which upstream is tried first: one that just failed is tried last for a while.
//!
//! Kept for every upstream together with a *place*, the name of the route or the host it failed for: an upstream that does
//! not reach the storage may well reach the main site. The caller brings the clock.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How every upstream fared last. Shared by all transfers; its lock is held for a moment only.
#[derive(Debug, Default)]
pub struct Health(Mutex<HashMap<Key, Failing>>);

/// An upstream whose last attempt failed, for the status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The route or the host it failed for.
    pub place: Box<str>,
    /// The upstream's label.
    pub upstream: Box<str>,
    /// Failures since its last success.
    pub failures: u32,
    /// The last of them.
    pub last: Instant,
}

impl Health {
    /// The upstream failed for `place`.
    pub fn failed(&self, place: &str, upstream: &str, now: Instant) {
        let mut table = self.table();
        if table.len() >= LIMIT {
            forget_oldest(&mut table);
        }
        let failing = table.entry(key(place, upstream)).or_insert(Failing {
            failures: 0,
            last: now,
        });
        failing.failures = failing.failures.saturating_add(1);
        // Attempts that run side by side may report out of order.
        failing.last = failing.last.max(now);
    }

    /// The upstream did its work for `place`: what was held against it is forgotten.
    pub fn succeeded(&self, place: &str, upstream: &str) {
        self.table().remove(&key(place, upstream));
    }

    /// The order in which to try `upstreams`, as indices: as configured, but what failed within `cooldown` comes last, and what failed
    /// most recently last of all.
    pub fn order(
        &self,
        place: &str,
        upstreams: &[&str],
        now: Instant,
        cooldown: Duration,
    ) -> Vec<usize> {
        let table = self.table();
        let mut ranked: Vec<(Option<Instant>, usize)> = upstreams
            .iter()
            .enumerate()
            .map(|(index, upstream)| {
                let failed = table
                    .get(&key(place, upstream))
                    .map(|failing| failing.last)
                    .filter(|last| now.saturating_duration_since(*last) < cooldown);
                (failed, index)
            })
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, index)| index).collect()
    }

    /// Every upstream whose last attempt failed, by place and label.
    pub fn snapshot(&self) -> Vec<Condition> {
        let mut conditions: Vec<Condition> = self
            .table()
            .iter()
            .map(|((place, upstream), failing)| Condition {
                place: place.clone(),
                upstream: upstream.clone(),
                failures: failing.failures,
                last: failing.last,
            })
            .collect();
        conditions.sort_by(|a, b| (&a.place, &a.upstream).cmp(&(&b.place, &b.upstream)));
        conditions
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Key, Failing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Key = (Box<str>, Box<str>);

#[derive(Clone, Copy, Debug)]
struct Failing {
    failures: u32,
    last: Instant,
}

/// Places may be hosts, and clients name as many hosts as they like.
const LIMIT: usize = 4096;

fn key(place: &str, upstream: &str) -> Key {
    (place.into(), upstream.into())
}

/// Half of the table at once, so that a full one does not search with every failure.
fn forget_oldest(table: &mut HashMap<Key, Failing>) {
    let mut times: Vec<Instant> = table.values().map(|failing| failing.last).collect();
    let middle = times.len() / 2;
    let (_, median, _) = times.select_nth_unstable(middle);
    let median = *median;
    table.retain(|_, failing| failing.last > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Duration = Duration::from_secs(30);
    const LABELS: [&str; 3] = ["environment", "office", "tunnel"];

    fn order(health: &Health, now: Instant) -> Vec<usize> {
        health.order("hf-lfs", &LABELS, now, COOLDOWN)
    }

    #[test]
    fn what_failed_last_is_tried_last_until_it_has_cooled_down() {
        let (health, start) = (Health::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(order(&health, start), [0, 1, 2]);
        health.failed("hf-lfs", "environment", start);
        assert_eq!(order(&health, start), [1, 2, 0]);
        health.failed("hf-lfs", "office", after(10));
        assert_eq!(order(&health, after(10)), [2, 0, 1]);
        health.failed("hf-lfs", "environment", after(20));
        assert_eq!(order(&health, after(20)), [2, 1, 0]);
        assert_eq!(order(&health, after(39)), [2, 1, 0]);
        assert_eq!(order(&health, after(40)), [1, 2, 0]);
        assert_eq!(order(&health, after(50)), [0, 1, 2]);
    }

    #[test]
    fn a_success_ends_the_cooldown_at_once() {
        let (health, now) = (Health::default(), Instant::now());
        health.failed("hf-lfs", "environment", now);
        health.failed("hf-lfs", "environment", now);
        assert_eq!(health.snapshot()[0].failures, 2);
        health.succeeded("hf-lfs", "environment");
        assert_eq!(order(&health, now), [0, 1, 2]);
        assert_eq!(health.snapshot(), []);
    }

    #[test]
    fn failing_for_one_place_says_nothing_about_another() {
        let (health, now) = (Health::default(), Instant::now());
        health.failed("hf-main", "environment", now);
        assert_eq!(order(&health, now), [0, 1, 2]);
        let places: Vec<_> = health.snapshot().into_iter().map(|c| c.place).collect();
        assert_eq!(places, ["hf-main".into()]);
    }

    #[test]
    fn the_table_does_not_grow_with_the_hosts_that_clients_make_up() {
        let (health, start) = (Health::default(), Instant::now());
        for host in 0..3 * LIMIT {
            let now = start + Duration::from_millis(host as u64);
            health.failed(&format!("h{host}.example"), "direct", now);
        }
        let kept = health.snapshot();
        assert!(kept.len() <= LIMIT, "{}", kept.len());
        let newest = format!("h{}.example", 3 * LIMIT - 1);
        assert!(kept.iter().any(|condition| *condition.place == newest));
    }
}
