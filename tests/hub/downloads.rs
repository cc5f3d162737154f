//! Downloads that break, are read in parts, or come from a mirror.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    scenes::{self, Store},
    support::{
        hub::{BRIDGE, CAS, DOWNLOADS, XORBS},
        lfs_storage::hex,
    },
    ways::{CONNECT, DIRECT, MIRRORED, ON_THE_MIRROR_UNKNOWN, REVERSE, Through, Way},
};

/// Downloads a folder that is there.
const DOWN: &str = "
import sys
from huggingface_hub import constants, snapshot_download
# What has come is kept in pieces of this size: the files of this world are smaller than one of 10 MiB.
constants.DOWNLOAD_CHUNK_SIZE = 10_000
snapshot_download('me/model', local_dir=sys.argv[1])
";

impl Through {
    /// Uploads the model past all of this world's faults, and says where a copy may go.
    fn with_a_model(&self) -> PathBuf {
        let model = scenes::model(self.dir.path().join("model"));
        let model = model.to_str().unwrap();
        let (root, hf) = (self.dir.path(), &self.hf);
        hf.hf(root, &["upload", "me/model", model]).well();
        self.dir.path().join("copy")
    }

    /// Downloads the model and compares it.
    fn downloads(&self, copy: &Path) {
        let to = copy.to_str().unwrap();
        self.hf.python(self.dir.path(), DOWN, &[to]).well();
        assert_eq!(scenes::hashes(copy), self.hub.files("me/model"));
    }

    /// The ranges that the download host was asked for.
    fn ranges(&self) -> Vec<String> {
        let seen = self.hub.seen().into_iter();
        seen.filter(|seen| seen.host == DOWNLOADS)
            .filter_map(|seen| seen.range)
            .collect()
    }
}

fn a_broken_download_is_resumed(way: Way) {
    let world = Through::new(way, Store::Lfs);
    let copy = world.with_a_model();
    world.hub.breaks_a_download_after(100_000);
    world.downloads(&copy);
    let [range] = &world.ranges()[..] else {
        panic!("{:#?}", world.ranges());
    };
    assert!(range.starts_with("bytes=100000-"), "{range}");
    let resumed = world
        .ferry
        .wait_for_transfer(DOWNLOADS, |event| event["attempts"] == 2);
    assert_eq!(resumed["result"], "answered", "{resumed}");
}

#[test]
fn a_broken_download_is_resumed_behind_the_connect_front() {
    a_broken_download_is_resumed(CONNECT);
}

#[test]
fn a_broken_download_is_resumed_behind_the_reverse_front() {
    a_broken_download_is_resumed(REVERSE);
}

#[test]
fn in_a_tunnel_the_client_resumes_a_broken_download() {
    let way = Way {
        lfs: "tunnel",
        ..CONNECT
    };
    let world = Through::new(way, Store::Lfs);
    let copy = world.with_a_model();
    world.hub.breaks_a_download_after(100_000);
    world.downloads(&copy);
    assert_eq!(world.ranges(), ["bytes=100000-"]);
    world.assert_nothing_went_past();
}

/// Reads a part of a file, as fsspec and everything above it do.
const PART: &str = "
import sys
from huggingface_hub import HfFileSystem
with HfFileSystem().open('me/model/a folder/large.bin') as file:
    file.seek(1_000_001)
    sys.stdout.buffer.write(file.read(16).hex().encode())
";

fn a_part_of_a_file_is_read(way: Way) {
    let world = Through::new(way, Store::Lfs);
    world.with_a_model();
    let told = world.hf.python(world.dir.path(), PART, &[]).well();
    let whole = fs::read(world.dir.path().join("model/a folder/large.bin")).unwrap();
    assert_eq!(told.stdout, hex(&whole[1_000_001..1_000_017]));
    let ranges = world.ranges();
    let begins_there = |range: &String| range.starts_with("bytes=1000001-");
    assert!(
        !ranges.is_empty() && ranges.iter().all(begins_there),
        "{ranges:?}"
    );
    world.assert_nothing_went_past();
}

#[test]
fn a_part_of_a_file_is_read_through_the_connect_front() {
    a_part_of_a_file_is_read(CONNECT);
}

#[test]
fn a_part_of_a_file_is_read_through_the_reverse_front() {
    a_part_of_a_file_is_read(REVERSE);
}

/// Whoever has no hf_xet, curl for one, is sent to the bridge, which gives Xet's files whole.
fn a_xet_file_is_downloaded_without_xet(way: Way) {
    let mut world = Through::new(way, Store::Xet);
    let copy = world.with_a_model();
    let uploaded = world.hub.seen().len();
    world.hf = world.hf.without_xet();
    world.downloads(&copy);
    assert_eq!(world.hub.count(BRIDGE, "GET", "/xet-bridge-us/"), 2);
    let since = world.hub.seen().split_off(uploaded);
    assert!(
        since
            .iter()
            .all(|seen| seen.host != CAS && seen.host != XORBS),
        "{since:#?}"
    );
    scenes::assert_the_token_stays(&world.hub);
    world.assert_nothing_went_past();
}

#[test]
fn a_xet_file_is_downloaded_without_xet_through_the_connect_front() {
    a_xet_file_is_downloaded_without_xet(CONNECT);
}

#[test]
fn a_xet_file_is_downloaded_without_xet_through_the_reverse_front() {
    a_xet_file_is_downloaded_without_xet(REVERSE);
}

#[test]
fn a_xet_file_is_downloaded_without_xet_from_a_mirror() {
    a_xet_file_is_downloaded_without_xet(MIRRORED);
}

/// The safe default of a mirror: it gives what is public, the site does the rest, and the mirror never sees who asks.
#[test]
fn a_mirror_gives_what_is_public_and_sees_no_token() {
    let way = Way {
        site: &[ON_THE_MIRROR_UNKNOWN, DIRECT],
        ..CONNECT
    };
    let world = Through::new(way, Store::Lfs);
    let copy = world.with_a_model();
    world.downloads(&copy);
    let seen = world.mirror.as_ref().unwrap().requests();
    assert!(
        seen.contains("GET /hub/api/models/me/model/tree/"),
        "{seen}"
    );
    assert!(seen.lines().all(|line| line.ends_with("| -")), "{seen}");
}

/// `HfFileSystem` asks by POST what a path is, which reads all the same.
#[test]
fn a_part_of_a_file_is_read_from_a_mirror_that_sees_no_token() {
    let way = Way {
        site: &[ON_THE_MIRROR_UNKNOWN, DIRECT],
        ..CONNECT
    };
    let world = Through::new(way, Store::Lfs);
    world.with_a_model();
    let told = world.hf.python(world.dir.path(), PART, &[]).well();
    let whole = fs::read(world.dir.path().join("model/a folder/large.bin")).unwrap();
    assert_eq!(told.stdout, hex(&whole[1_000_001..1_000_017]));
    let told = world.hf.python(world.dir.path(), ABOUT, &[]).well();
    assert_eq!(told.stdout, "300000");
    let seen = world.mirror.as_ref().unwrap().requests();
    for part in [
        "POST /hub/api/models/me/model/paths-info/main",
        "GET /hub/me/model/resolve/main/",
    ] {
        assert!(seen.contains(part), "{part}:\n{seen}");
    }
    assert!(seen.lines().all(|line| line.ends_with("| -")), "{seen}");
    for part in ["/commit/", "/preupload/", "objects/batch"] {
        assert!(!seen.contains(part), "{part}:\n{seen}");
    }
}

/// What a path is.
const ABOUT: &str = "
from huggingface_hub import HfApi
[about] = HfApi().get_paths_info('me/model', ['model.safetensors'])
print(about.size, end='')
";
