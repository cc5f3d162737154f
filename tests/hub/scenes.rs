//! What is done in every way: a folder goes up and comes down again, by the library and by the command.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::support::{
    client::write_noise,
    hf::Hf,
    hub::{CAS, DOWNLOADS, GRANTS, Hub, PART, SITE, TOKEN, UPLOADS, XORBS},
    lfs_storage::hex,
};

/// Uploads the folder and downloads it again: its arguments are both places.
const UP_AND_DOWN: &str = r#"
import sys
from huggingface_hub import HfApi, snapshot_download
api = HfApi()
created = api.create_repo("me/model", exist_ok=True)
told = api.upload_folder(repo_id=created.repo_id, folder_path=sys.argv[1])
print(told.oid)
snapshot_download("me/model", local_dir=sys.argv[2])
"#;

/// Where the Hub keeps large files.
#[derive(Clone, Copy)]
pub(crate) enum Store {
    Lfs,
    Xet,
}

/// A size that takes seven parts.
const LARGE: u64 = 6 * PART + 1;

/// A model folder: two files for the LFS storage, one of them large enough for parts, and four regular ones.
pub(crate) fn model(at: PathBuf) -> PathBuf {
    fs::create_dir_all(at.join("a folder")).unwrap();
    write_noise(&at.join("model.safetensors"), 300_000);
    write_noise(&at.join("a folder/large.bin"), LARGE);
    fs::write(at.join("config.json"), "{\"architectures\": []}\n").unwrap();
    fs::write(at.join("README.md"), "---\nlicense: mit\n---\n# A model\n").unwrap();
    fs::write(at.join("a folder/vocab.txt"), "a\nb\n".repeat(500)).unwrap();
    fs::write(at.join("empty.txt"), "").unwrap();
    at
}

/// The SHA-256 of every file below `at`, by path, without what the client keeps for itself.
pub(crate) fn hashes(at: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![at.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(at).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.extend((name != ".cache").then_some(path));
            } else {
                let bytes = fs::read(&path).unwrap();
                let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
                found.insert(name, hex(hash.as_ref()));
            }
        }
    }
    found
}

/// Up and down by the library; the same files at every place.
pub(crate) fn a_folder_goes_up_and_down(hub: &Hub, hf: &Hf, root: &Path) {
    let model = model(root.join("model"));
    let copy = root.join("copy");
    let places = [&model, &copy].map(|place| place.to_str().unwrap());
    hf.python(root, UP_AND_DOWN, &places).well();
    let here = hashes(&model);
    assert_eq!(here.len(), 6);
    assert_eq!(hub.files("me/model"), here);
    assert_eq!(hashes(&copy), here);
}

/// Up and down by `hf upload` and `hf download`.
pub(crate) fn the_command_takes_a_folder_up_and_down(hub: &Hub, hf: &Hf, root: &Path) {
    let model = model(root.join("model"));
    let copy = root.join("copy");
    let [from, to] = [&model, &copy].map(|place| place.to_str().unwrap());
    hf.hf(root, &["upload", "me/model", from]).well();
    hf.hf(root, &["download", "me/model", "--local-dir", to])
        .well();
    assert_eq!(hub.files("me/model"), hashes(&model));
    assert_eq!(hashes(&copy), hashes(&model));
}

/// Every leg of an upload and a download without Xet was taken once.
pub(crate) fn assert_lfs_legs(hub: &Hub) {
    for (host, method, part, times) in [
        (SITE, "POST", "/preupload/", 1),
        (SITE, "POST", "/objects/batch", 1),
        (UPLOADS, "PUT", "partNumber=", 8),
        (SITE, "POST", "/api/complete_multipart", 2),
        (SITE, "POST", "/objects/verify", 2),
        (SITE, "POST", "/commit/main", 1),
        (SITE, "GET", "cursor=", 2),
        (SITE, "HEAD", "/resolve/", 6),
        (DOWNLOADS, "GET", "/repos/", 2),
    ] {
        let seen = hub.seen();
        assert_eq!(
            hub.count(host, method, part),
            times,
            "{method} {host} {part}: {seen:#?}"
        );
    }
    assert_the_token_stays(hub);
    let failed = hub
        .seen()
        .into_iter()
        .find(|seen| seen.status.as_u16() >= 400);
    assert!(failed.is_none(), "{failed:?}");
}

/// No host but the main site ever saw the user's token.
pub(crate) fn assert_the_token_stays(hub: &Hub) {
    for seen in hub.seen() {
        let credentials = seen.credentials.as_deref().unwrap_or_default();
        assert!(
            seen.host == SITE || !credentials.contains(TOKEN),
            "{seen:?}"
        );
    }
}

/// Every leg of an upload and a download by Xet was taken, and none of LFS.
pub(crate) fn assert_xet_legs(hub: &Hub) {
    let seen = hub.seen();
    for (host, method, part) in [
        (SITE, "GET", "/xet-write-token/"),
        (CAS, "POST", "/v1/xorb-grants/default/"),
        (GRANTS, "PUT", "/xorbs/default/"),
        (CAS, "POST", "/v1/xorb-commits/default/"),
        (CAS, "POST", "/shards"),
        (SITE, "GET", "/xet-read-token/"),
        (CAS, "GET", "/reconstructions/"),
        (XORBS, "GET", "/xorbs/default/"),
    ] {
        assert!(
            hub.count(host, method, part) > 0,
            "{method} {host} {part}: {seen:#?}"
        );
    }
    for host in [UPLOADS, DOWNLOADS] {
        assert!(seen.iter().all(|seen| seen.host != host), "{seen:#?}");
    }
    assert_the_token_stays(hub);
}
