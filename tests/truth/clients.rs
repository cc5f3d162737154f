//! What each client does in a cell.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{
    scene::{Exposure, SEEDED, Scene},
    support::{client::write_noise, ferry::Ferry, process::Running},
};

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Git,
    Lfs,
    Hf,
}

impl Client {
    pub(crate) const ALL: [Self; 3] = [Self::Git, Self::Lfs, Self::Hf];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Lfs => "git-lfs",
            Self::Hf => "hf",
        }
    }
}

/// Starts the client; earlier commands of the same cell are not affected by the cause.
pub(crate) fn start(
    scene: &Scene,
    cell: &str,
    ferry: &Ferry,
    client: Client,
    what: Exposure,
) -> Running {
    match (client, what) {
        (Client::Hf, _) => hf(scene, cell, ferry, what),
        (_, Exposure::Download) => clone(scene, cell, ferry, client),
        (Client::Git | Client::Lfs, _) => push(scene, cell, ferry, client, what),
    }
}

fn push(scene: &Scene, cell: &str, ferry: &Ferry, client: Client, what: Exposure) -> Running {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let mut git = scene.git(cell, ferry);
    if what == Exposure::Batch {
        git = git.with("lfs.url", "https://huggingface.co/me/target.git/info/lfs");
    }
    let work = git.work(scene.place(cell).join("work"), SEEDED);
    let size = if matches!(what, Exposure::Upload | Exposure::Killed) {
        3_000_000
    } else {
        20_000
    };
    let name = match client {
        Client::Lfs => {
            work.track_lfs();
            "new.bin"
        }
        Client::Git | Client::Hf => "new.dat",
    };
    work.commit(name, size);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    work.start(&[
        "push",
        "-q",
        "origin",
        &format!("main:refs/heads/cell-{number}"),
    ])
}

fn clone(scene: &Scene, cell: &str, ferry: &Ferry, client: Client) -> Running {
    let mut git = scene.git(cell, ferry);
    if client == Client::Git {
        git = git.with_variable("GIT_LFS_SKIP_SMUDGE", "1");
    }
    let to = scene.place(cell).join("copy");
    git.start(
        scene.world.root(),
        &["clone", "-q", SEEDED, to.to_str().unwrap()],
    )
}

const UP: &str = "import sys\nfrom huggingface_hub import HfApi\n\
    HfApi().upload_file(path_or_fileobj=sys.argv[1], path_in_repo=sys.argv[2], repo_id='me/target')";
const DOWN: &str = "import sys\nfrom huggingface_hub import hf_hub_download\n\
    hf_hub_download('me/seeded', 'model.safetensors', local_dir=sys.argv[1])";

fn hf(scene: &Scene, cell: &str, ferry: &Ferry, what: Exposure) -> Running {
    let mut hf = scene.hf(cell, ferry);
    if what == Exposure::Name {
        hf = hf.with("HF_ENDPOINT", "https://main.test");
    }
    let place = scene.place(cell);
    if what == Exposure::Download {
        return hf.start_python(&place, DOWN, &[place.join("copy").to_str().unwrap()]);
    }
    let file = place.join("new.safetensors");
    write_noise(&file, 900_000);
    hf.start_python(
        &place,
        UP,
        &[file.to_str().unwrap(), &format!("{cell}.safetensors")],
    )
}
