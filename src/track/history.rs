//! The last finished transfers, and the totals of each route per day. Both are bounded and survive a restart ([`mod@file`]).

pub(crate) mod file;
pub(crate) mod lines;
pub(crate) mod totals;

use std::{borrow::Cow, collections::VecDeque, net::SocketAddr, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::{
    event::{EventText, TransferEnded},
    timeline::{Rescue, Timeline, instant_text},
};
use crate::model::resource;
use crate::{model::fields::documented, sync::Mutex};
use totals::{DayTotal, Totals};

/// The number of finished transfers that are kept.
pub(crate) const KEPT: usize = 1000;
/// The longest path that is kept, in characters.
const LONGEST_PATH: usize = 300;

documented! {
/// A finished transfer with all its details.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Finished {
    /// The number of the transfer, as in the log.
    pub id: u64,
    /// When it began.
    #[serde(with = "instant_text")]
    pub began: SystemTime,
    /// When it ended.
    #[serde(with = "instant_text")]
    pub ended: SystemTime,
    /// The front: `intercept`, `tunnel`, `absolute`, `reverse`, or `unknown` where no request could be read.
    pub front: EventText,
    /// The client's address.
    pub client: SocketAddr,
    /// The client's product, as in `git/2.39.5`.
    pub agent: Option<Arc<str>>,
    /// `CONNECT`, `GET`, …
    pub method: EventText,
    /// The requested host.
    pub host: Arc<str>,
    /// The requested port.
    pub port: u16,
    /// Path and query, without secrets.
    pub path: Arc<str>,
    /// The request in the terms of git and git-lfs: `me/model push`, `LFS 4d7a214614`.
    #[serde(default)]
    pub what: Arc<str>,
    /// The route's name.
    pub route: Arc<str>,
    /// The upstream of the last attempt.
    pub upstream: Option<Arc<str>>,
    /// The TCP peer of the last attempt.
    pub peer: Option<SocketAddr>,
    /// The number of attempts.
    pub attempts: u32,
    /// True where the connection had carried an earlier request.
    pub reused: bool,
    /// The status of the response to the client.
    pub status: Option<u16>,
    /// `answered`, `closed`, or a fault's code.
    pub result: EventText,
    /// True where `result` is a fault's code.
    pub failed: bool,
    /// True where the site itself refused the request, such as with a 500.
    #[serde(default)]
    pub refused: bool,
    /// Body bytes from the client.
    pub up: u64,
    /// Body bytes to the client.
    pub down: u64,
    /// The duration in milliseconds.
    pub total_ms: u64,
    /// The open circuit because of which another upstream was used.
    pub circuit: Option<String>,
    /// Its stages, attempts, stalls and rescues.
    pub timeline: Timeline,
}
}

impl Finished {
    /// Built from the closing line and the data that no line contains.
    pub(crate) fn new(
        event: TransferEnded,
        times: (SystemTime, SystemTime),
        timeline: Timeline,
    ) -> Self {
        let response = event.response();
        Self {
            refused: response.is_some_and(|response| response.is_unsuccessful()),
            what: match resource::describe(&event.method, &event.path) {
                Cow::Borrowed(path) if *path == *event.path => Arc::clone(&event.path),
                what => what.into(),
            },
            id: event.subject.id,
            began: times.0,
            ended: times.1,
            front: event.front.as_str().into(),
            client: event.client,
            agent: event.agent,
            method: event.method,
            host: event.subject.host,
            port: event.subject.port,
            path: event.path,
            route: event.subject.route,
            upstream: event.subject.upstream,
            peer: event.peer,
            attempts: event.attempts,
            reused: event.reused,
            status: event.status,
            failed: !matches!(&*event.result, "answered" | "closed"),
            result: event.result,
            up: event.up,
            down: event.down,
            total_ms: event.total_ms,
            circuit: event.subject.circuit,
            timeline,
        }
    }

    /// True for a request that is part of a push: an upload of an object, or git's own.
    pub(crate) fn is_push(&self) -> bool {
        self.method == "PUT" || self.path.contains("git-receive-pack")
    }

    /// The rescues of a transfer that met faults and still succeeded.
    pub(crate) fn rescues(&self) -> &[Rescue] {
        if self.failed || self.refused {
            return &[];
        }
        &self.timeline.rescues
    }

    /// True where the network caused the fault, not a client that disconnected.
    pub(crate) fn failed_upstream(&self) -> bool {
        self.failed && !self.result.starts_with("client/")
    }
}

/// Finished transfers and totals. Callers hold the lock only for a moment.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<HistoryData>);

#[derive(Debug, Default)]
struct HistoryData {
    finished: VecDeque<Arc<Finished>>,
    totals: Totals,
    /// Increases with every transfer that ends.
    revision: u64,
    /// The revision in the file.
    saved: u64,
}

impl History {
    /// Adds a transfer that ended.
    pub(crate) fn add(&self, mut finished: Finished) {
        let cut = finished.path.char_indices().nth(LONGEST_PATH);
        let cut = cut.and_then(|(cut, _)| finished.path.get(..cut));
        if let Some(cut) = cut {
            finished.path = format!("{cut}…").into();
        }
        let mut kept = self.0.lock();
        kept.totals.add(&finished);
        kept.push(Arc::new(finished));
        kept.revision += 1;
    }

    /// Finished transfers, the newest first.
    pub(crate) fn newest(&self) -> Vec<Arc<Finished>> {
        self.0.lock().finished.iter().rev().cloned().collect()
    }

    /// The newest finished transfer of this number.
    pub(crate) fn find(&self, id: u64) -> Option<Arc<Finished>> {
        let kept = self.0.lock();
        kept.finished.iter().rev().find(|it| it.id == id).cloned()
    }

    /// The totals of each route per day, the newest day first.
    pub(crate) fn totals(&self) -> Vec<DayTotal> {
        self.0.lock().totals.list()
    }

    /// The totals of each route on the day of `now`.
    pub(crate) fn today(&self, now: SystemTime) -> Vec<DayTotal> {
        self.0.lock().totals.on(&totals::day(now))
    }
}

impl HistoryData {
    fn push(&mut self, finished: Arc<Finished>) {
        if self.finished.len() >= KEPT {
            self.finished.pop_front();
        }
        self.finished.push_back(finished);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    /// A download of 10 bytes that succeeded.
    pub(crate) fn finished(id: u64) -> Finished {
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_440_896);
        Finished {
            id,
            began,
            ended: began + Duration::from_secs(1),
            front: "intercept".into(),
            client: ([127, 0, 0, 1], 1).into(),
            agent: None,
            method: "GET".into(),
            host: "hf.co".into(),
            port: 443,
            path: "/a".into(),
            what: "/a".into(),
            route: "hf-main".into(),
            upstream: Some("direct".into()),
            peer: None,
            attempts: 1,
            reused: false,
            status: Some(200),
            result: "answered".into(),
            failed: false,
            refused: false,
            up: 0,
            down: 10,
            total_ms: 1000,
            circuit: None,
            timeline: Timeline::default(),
        }
    }

    #[test]
    fn the_last_1000_transfers_are_kept_and_a_long_path_is_cut() {
        let history = History::default();
        for id in 1..=1500 {
            let mut finished = finished(id);
            finished.path = "ä".repeat(5000).into();
            history.add(finished);
        }
        let newest = history.newest();
        assert_eq!(
            (newest.len(), newest[0].id, newest[999].id),
            (1000, 1500, 501)
        );
        assert!(history.find(500).is_none());
        let path = &history.find(501).unwrap().path;
        assert_eq!(path.chars().count(), LONGEST_PATH + 1);
        assert_eq!(history.totals()[0].down, 15_000);
    }
}
