//! The order and the upstreams of running transfers. There may be thousands of them, so an overview describes only those that it shows.

use std::{cmp::Reverse, sync::Arc};

/// The activity of a transfer, in the order in which an overview shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Activity {
    /// Nothing moves although something should.
    Stalled,
    /// It moved within the last second.
    Moving,
    /// It moved nothing within the last second, and is not stalled.
    Still,
}

/// The numbers of the first `count` transfers by activity, then by age.
pub(super) fn first(mut all: Vec<(Activity, Reverse<u64>)>, count: usize) -> Vec<u64> {
    if count < all.len() {
        all.select_nth_unstable(count);
        all.truncate(count);
    }
    all.sort_unstable();
    all.into_iter().map(|(_, Reverse(id))| id).collect()
}

/// The number of transfers that run over each upstream.
#[derive(Debug, Default)]
pub(crate) struct UpstreamLoads(Vec<UpstreamLoad>);

#[derive(Debug)]
struct UpstreamLoad {
    route: Arc<str>,
    upstream: Arc<str>,
    running: usize,
    stalled: usize,
}

impl UpstreamLoads {
    /// Counts a transfer of `route` over `upstream`.
    pub(super) fn add(&mut self, route: &Arc<str>, upstream: &Arc<str>, is_stalled: bool) {
        let stalled = usize::from(is_stalled);
        let same = |it: &&mut UpstreamLoad| it.route == *route && it.upstream == *upstream;
        match self.0.iter_mut().find(same) {
            Some(load) => {
                load.running += 1;
                load.stalled += stalled;
            }
            None => self.0.push(UpstreamLoad {
                route: Arc::clone(route),
                upstream: Arc::clone(upstream),
                running: 1,
                stalled,
            }),
        }
    }

    /// The number of transfers over `upstream` of `route`, and the number of these that are stalled.
    pub(crate) fn of(&self, route: &str, upstream: &str) -> (usize, usize) {
        let same = |it: &&UpstreamLoad| *it.route == *route && *it.upstream == *upstream;
        let load = self.0.iter().find(same);
        load.map_or((0, 0), |it| (it.running, it.stalled))
    }

    /// The number of stalled transfers.
    pub(crate) fn stalled(&self) -> usize {
        self.0.iter().map(|it| it.stalled).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalled_transfers_come_first_then_those_that_move_then_the_newest() {
        let all = [
            (Activity::Still, 1),
            (Activity::Moving, 2),
            (Activity::Stalled, 3),
            (Activity::Still, 4),
            (Activity::Moving, 5),
        ];
        let all: Vec<_> = all.map(|(activity, id)| (activity, Reverse(id))).into();
        assert_eq!(first(all.clone(), 9), [3, 5, 2, 4, 1]);
        assert_eq!(first(all.clone(), 4), [3, 5, 2, 4]);
        assert_eq!(first(all, 0), [0; 0]);
    }
}
