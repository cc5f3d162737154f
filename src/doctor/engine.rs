//! Runs the checks of a subject, each as soon as what it needs is known.

use std::{collections::BTreeMap, sync::Arc};

use tokio::{task::JoinSet, time::Instant};

use super::{
    CHECKS, Check, CheckResults, CheckSubject, Outcome, Probe, Run, State,
    clients::InstalledClient, machine::Machine,
};

/// What checks are run on.
pub(crate) enum CheckTarget {
    /// A host over one upstream.
    Path(Box<Probe>),
    /// This machine.
    Machine(Box<Machine>),
    /// One installed client.
    Client(Box<InstalledClient>),
}

impl CheckTarget {
    /// Its name on the board.
    pub(crate) fn subject(&self) -> CheckSubject {
        match self {
            Self::Path(probe) => CheckSubject::Path(probe.name()),
            Self::Machine(_) => CheckSubject::Machine,
            Self::Client(client) => CheckSubject::Client(client.name.as_str().into()),
        }
    }

    fn checks(&self) -> Vec<&'static Check> {
        let fits = |check: &&Check| match (&check.run, self) {
            (Run::Path(_), Self::Path(_))
            | (Run::Machine(_), Self::Machine(_))
            | (Run::Client(_), Self::Client(_)) => true,
            (Run::Path(_) | Run::Machine(_) | Run::Client(_), _) => false,
        };
        CHECKS.iter().filter(fits).collect()
    }

    async fn run(&self, check: &Check) -> Outcome {
        match (&check.run, self) {
            (Run::Path(run), Self::Path(probe)) => run(probe).await,
            (Run::Machine(run), Self::Machine(machine)) => run(machine).await,
            (Run::Client(run), Self::Client(client)) => run(client).await,
            // `checks` has none of another kind.
            (Run::Path(_) | Run::Machine(_) | Run::Client(_), _) => Outcome::skipped(""),
        }
    }
}

/// Puts every check of `target` on the board, and gives what runs them; nothing runs until that is polled.
///
/// Dropping it ends what runs: what has not ended stays pending on the board.
pub(crate) fn examine(
    target: CheckTarget,
    board: &Arc<CheckResults>,
) -> impl Future<Output = ()> + Send + use<> {
    let subject = target.subject();
    for check in target.checks() {
        board.plan(&subject, check.name);
    }
    let (target, board) = (Arc::new(target), Arc::clone(board));
    async move {
        let mut waiting = target.checks();
        let mut ended: BTreeMap<&'static str, State> = BTreeMap::new();
        let mut running = JoinSet::new();
        loop {
            let mut still = Vec::new();
            for check in waiting {
                match readiness(check, &ended) {
                    Readiness::Wait => still.push(check),
                    Readiness::Silent => {
                        // Whatever needs it is silent too.
                        ended.insert(check.name, State::Failed);
                        let outcome = Outcome::skipped("not tried");
                        board.put(&subject, check.name, outcome, Default::default());
                    }
                    Readiness::Run => {
                        let target = Arc::clone(&target);
                        running.spawn(async move {
                            let begun = Instant::now();
                            let outcome = target.run(check).await;
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
                board.put(&subject, name, outcome, took);
            }
        }
    }
}

/// Whether a check may begin.
#[derive(Debug, PartialEq, Eq)]
enum Readiness {
    Wait,
    Run,
    Silent,
}

/// A check that needs one that failed is silent; one that comes after another waits for its end only.
fn readiness(check: &Check, ended: &BTreeMap<&'static str, State>) -> Readiness {
    let broken = |state: &State| match state {
        State::Failed | State::Pending => true,
        State::Passed | State::Warned | State::Unmeasured | State::Skipped => false,
    };
    let silenced = |name: &&str| ended.get(name).is_some_and(broken);
    let known = |name: &&str| ended.contains_key(name);
    if check.needs.iter().any(silenced) {
        Readiness::Silent
    } else if check.needs.iter().chain(check.after).all(known) {
        Readiness::Run
    } else {
        Readiness::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_silences_those_that_depend_on_it() {
        let find = |name| CHECKS.iter().find(|check| check.name == name).unwrap();
        let mut ended = BTreeMap::new();
        assert_eq!(readiness(find("name"), &ended), Readiness::Run);
        assert_eq!(readiness(find("tcp"), &ended), Readiness::Wait);
        ended.insert("name", State::Warned);
        assert_eq!(readiness(find("tcp"), &ended), Readiness::Run);
        ended.insert("name", State::Failed);
        assert_eq!(readiness(find("tcp"), &ended), Readiness::Silent);
        ended.insert("http", State::Passed);
        assert_eq!(readiness(find("path"), &ended), Readiness::Wait);
        for name in ["post-1k", "post-mtu", "post-256k"] {
            ended.insert(name, State::Failed);
        }
        assert_eq!(readiness(find("path"), &ended), Readiness::Run);
    }
}
