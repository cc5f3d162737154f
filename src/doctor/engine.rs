//! Runs the checks of a subject, each as soon as the checks that it needs have ended.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{task::JoinSet, time::Instant};

use super::{CheckResults, CheckSubject, Outcome, State};
use crate::net::dial::BoxFuture;

/// A row of the tables of checks: what is tried on a `T`, when, and what its failure means.
pub(crate) struct Check<T: 'static> {
    /// The stable name.
    pub name: &'static str,
    /// The checks that must have passed before. Where one has not, this one is skipped.
    pub needs: &'static [&'static str],
    /// The checks that must have ended before, whatever they found.
    pub after: &'static [&'static str],
    /// Runs it.
    pub run: for<'a> fn(&'a T) -> BoxFuture<'a, Outcome>,
    /// What its failure means, in a sentence without a full stop.
    pub means: &'static str,
}

/// Plans every check of `subject` in the results, and returns the future that runs them on `target`; nothing runs until it is polled.
///
/// Dropping the future ends the running checks: their findings stay pending.
pub(crate) fn examine<T: Send + Sync + 'static>(
    subject: CheckSubject,
    target: T,
    checks: &'static [Check<T>],
    results: &Arc<CheckResults>,
) -> impl Future<Output = ()> + Send + use<T> {
    for check in checks {
        results.plan(&subject, check.name);
    }
    let (target, results) = (Arc::new(target), Arc::clone(results));
    async move {
        let mut waiting: Vec<&Check<T>> = checks.iter().collect();
        let mut ended: BTreeMap<&'static str, State> = BTreeMap::new();
        let mut running = JoinSet::new();
        loop {
            let mut still = Vec::new();
            for check in waiting {
                match readiness(check, &ended) {
                    Readiness::Wait => still.push(check),
                    Readiness::Skip => {
                        // The checks that need this one are skipped too.
                        ended.insert(check.name, State::Failed);
                        let outcome = Outcome::skipped("not tried");
                        results.put(&subject, check.name, outcome, Default::default());
                    }
                    Readiness::Run => {
                        let target = Arc::clone(&target);
                        running.spawn(async move {
                            let begun = Instant::now();
                            let outcome = (check.run)(&target).await;
                            (check.name, outcome, begun.elapsed())
                        });
                    }
                }
            }
            waiting = still;
            let Some(done) = running.join_next().await else {
                return;
            };
            if let Ok((name, outcome, took)) = done {
                ended.insert(name, outcome.state);
                results.put(&subject, name, outcome, took);
            }
        }
    }
}

/// Whether a check may begin.
#[derive(Debug, PartialEq, Eq)]
enum Readiness {
    Wait,
    Run,
    Skip,
}

/// A check that needs a failed one is skipped; `after` waits for the end only.
fn readiness<T>(check: &Check<T>, ended: &BTreeMap<&'static str, State>) -> Readiness {
    let broken = |state: &State| match state {
        State::Failed | State::Pending => true,
        State::Passed | State::Warned | State::Unmeasured | State::Skipped => false,
    };
    let skipped = |name: &&str| ended.get(name).is_some_and(broken);
    let known = |name: &&str| ended.contains_key(name);
    if check.needs.iter().any(skipped) {
        Readiness::Skip
    } else if check.needs.iter().chain(check.after).all(known) {
        Readiness::Run
    } else {
        Readiness::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::PATH_CHECKS;

    #[test]
    fn a_check_waits_for_those_it_needs_and_is_skipped_where_one_failed() {
        let find = |name| PATH_CHECKS.iter().find(|check| check.name == name).unwrap();
        let mut ended = BTreeMap::new();
        assert_eq!(readiness(find("name"), &ended), Readiness::Run);
        assert_eq!(readiness(find("tcp"), &ended), Readiness::Wait);
        ended.insert("name", State::Warned);
        assert_eq!(readiness(find("tcp"), &ended), Readiness::Run);
        ended.insert("name", State::Failed);
        assert_eq!(readiness(find("tcp"), &ended), Readiness::Skip);
        ended.insert("http", State::Passed);
        assert_eq!(readiness(find("path"), &ended), Readiness::Wait);
        for name in ["post-1k", "post-mtu", "post-256k"] {
            ended.insert(name, State::Failed);
        }
        assert_eq!(readiness(find("path"), &ended), Readiness::Run);
    }
}
