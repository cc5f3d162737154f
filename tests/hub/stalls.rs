//! Xet on paths that stand still: xorbs that are put by an upload grant are sent again by gitferry, unseen; those that are posted, as
//! before 2026-10, by the client, which gets an error in time.

use serde_json::Value;

use crate::{
    scenes::{self, Store},
    support::{
        hop::Hop,
        hub::{CAS, GRANTS},
        relay::Relay,
    },
    ways::{CONNECT, DIRECT, REVERSE, Through, Way},
};

const OFFICE: &str = "{ via = \"office\" }";

/// A hop whose path stands still in the middle of an upload, and the direct way behind it.
struct Frozen {
    world: Through,
    _path: Relay,
    _hop: Hop,
    _dir: tempfile::TempDir,
}

impl Frozen {
    fn new(way: Way) -> Self {
        let way = Way {
            to_xet: &[OFFICE, DIRECT],
            ..way
        };
        let dir = tempfile::tempdir().unwrap();
        let hop = Hop::http(dir.path().join("hop"));
        let path = Relay::holds_after(200_000, hop.address());
        let world = Through::set(way, Store::Xet, |settings| {
            settings
                .hop("office", &format!("http://{}", path.address))
                .section("[stall]\nafter = \"2s\"\nfloor = \"0 B\"\naction = \"failover\"")
        });
        Self {
            world,
            _path: path,
            _hop: hop,
            _dir: dir,
        }
    }

    /// The closing lines of uploads of xorbs.
    fn uploads(&self, host: &str, method: &str) -> Vec<Value> {
        let is_one = |event: &Value| {
            let path = event["path"].as_str().unwrap_or_default();
            event["host"] == host
                && event["method"] == method
                && (path.starts_with("/xorbs/") || path.starts_with("/v1/xorbs/"))
        };
        self.world.ferry.wait_for_transfer(host, is_one);
        let ended = self.world.ferry.events("transfer ended").into_iter();
        ended.filter(is_one).collect()
    }

    fn assert_it_stalled_once(&self) {
        let faults = self.world.ferry.fault_codes();
        assert_eq!(faults, ["hop/sending-body/stalled-peer-not-reading"]);
    }
}

fn a_xorb_that_freezes_arrives_over_the_next_upstream(way: Way) {
    let frozen = Frozen::new(way);
    frozen.world.library();
    scenes::assert_xet_legs(&frozen.world.hub);
    frozen.assert_it_stalled_once();
    let [upload] = &frozen.uploads(GRANTS, "PUT")[..] else {
        panic!("hf_xet sent it again: {:#?}", frozen.uploads(GRANTS, "PUT"));
    };
    assert_eq!(
        (&upload["attempts"], &upload["upstream"], &upload["status"]),
        (&2.into(), &"direct".into(), &200.into()),
        "{upload:#}"
    );
}

#[test]
fn a_xorb_that_freezes_arrives_over_the_next_upstream_behind_the_connect_front() {
    a_xorb_that_freezes_arrives_over_the_next_upstream(CONNECT);
}

#[test]
fn a_xorb_that_freezes_arrives_over_the_next_upstream_behind_the_reverse_front() {
    a_xorb_that_freezes_arrives_over_the_next_upstream(REVERSE);
}

#[test]
fn a_posted_xorb_that_freezes_is_sent_again_by_its_client_over_the_next_upstream() {
    let frozen = Frozen::new(CONNECT);
    frozen.world.hub.gives_no_grants();
    frozen.world.library();
    frozen.assert_it_stalled_once();
    let uploads = frozen.uploads(CAS, "POST");
    let ends: Vec<_> = uploads
        .iter()
        .map(|upload| (&upload["upstream"], &upload["status"]))
        .collect();
    assert_eq!(
        ends,
        [
            (&"office".into(), &504.into()),
            (&"direct".into(), &200.into())
        ],
        "{uploads:#?}"
    );
}
