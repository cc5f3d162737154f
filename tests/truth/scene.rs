//! What all cells share: one git host, one LFS server, one Hub, with content in each.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    clients::Client,
    support::{
        client::{Git, write_noise},
        ferry::Ferry,
        hf::Hf,
        hub::{DOWNLOADS, Hub, SITE, UPLOADS},
        settings::Settings,
        world::{MAIN, STORAGE, World},
    },
};

/// The servers.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) hub: Hub,
}

/// The host that a cell breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Victim {
    /// Its name.
    pub(crate) name: &'static str,
    /// Where it is healthy.
    pub(crate) origin: SocketAddr,
}

/// The repository that has content before the table begins.
pub(crate) const SEEDED: &str = "https://main.test/lfs.git";

impl Scene {
    /// Starts the servers and fills them through a healthy daemon.
    pub(crate) fn new() -> Self {
        let world = World::new();
        let hub = Hub::start(&world.ca);
        world.host.repository("lfs");
        let scene = Self { world, hub };
        let ferry = Ferry::start(&scene.healthy("seed"));
        scene.seed_git(&ferry);
        scene.seed_hub(&ferry);
        scene
    }

    fn seed_git(&self, ferry: &Ferry) {
        let git = self.git("seed", ferry);
        let work = git.work(self.world.path("seed-work"), SEEDED);
        work.track_lfs();
        write_noise(&work.path().join("large.bin"), 3_000_000);
        work.commit("noise.dat", 3_000_000);
        work.git(&["push", "-q", "origin", "main"]).well();
    }

    fn seed_hub(&self, ferry: &Ferry) {
        let file = self.world.path("seed.safetensors");
        write_noise(&file, 900_000);
        let script = "import sys\nfrom huggingface_hub import HfApi\napi = HfApi()\n\
                      api.create_repo('me/seeded', exist_ok=True)\napi.create_repo('me/target', exist_ok=True)\n\
                      api.upload_file(path_or_fileobj=sys.argv[1], path_in_repo='model.safetensors', repo_id='me/seeded')";
        self.hf("seed", ferry)
            .python(self.world.root(), script, &[file.to_str().unwrap()])
            .well();
    }

    /// A directory of one cell.
    pub(crate) fn place(&self, cell: &str) -> PathBuf {
        let place = self.world.path(cell);
        fs::create_dir_all(&place).unwrap();
        place
    }

    /// The settings of a cell's daemon, without routes.
    pub(crate) fn settings(&self, cell: &str) -> Settings {
        Settings::new(&self.place(cell).join("ferry"), self.world.ca.pem_file())
    }

    /// Every name resolves to its own server.
    pub(crate) fn healthy(&self, cell: &str) -> Settings {
        let settings = self.settings(cell);
        let names = self.names().into_iter();
        names.fold(settings, |settings, (name, origin)| {
            settings.route(name, "terminate", &["direct"], origin)
        })
    }

    /// Every name and where it is.
    pub(crate) fn names(&self) -> [(&'static str, SocketAddr); 5] {
        [
            (MAIN, self.world.host.https),
            (STORAGE, self.world.lfs.storage),
            (SITE, self.hub.address),
            (UPLOADS, self.hub.address),
            (DOWNLOADS, self.hub.address),
        ]
    }

    /// The host that is broken for this client.
    pub(crate) fn victim(&self, client: Client, what: Exposure) -> Victim {
        let name = match (client, what) {
            // The Hub's own name may resolve; no test here connects to the real one.
            (Client::Git, _) | (Client::Hf, Exposure::Name) => MAIN,
            (Client::Lfs, Exposure::Batch) => SITE,
            (Client::Lfs, _) => STORAGE,
            (Client::Hf, Exposure::Site | Exposure::Batch) => SITE,
            (Client::Hf, Exposure::Upload | Exposure::Killed) => UPLOADS,
            (Client::Hf, Exposure::Download) => DOWNLOADS,
        };
        let found = self.names().into_iter().find(|(known, _)| *known == name);
        let (name, origin) = found.unwrap();
        Victim { name, origin }
    }

    /// Debian's git behind this daemon.
    pub(crate) fn git(&self, cell: &str, ferry: &Ferry) -> Git {
        Git::debian(&self.place(cell).join("home"))
            .with("http.proxy", ferry.proxy())
            .with("http.sslCAInfo", ferry.bundle())
            .with("lfs.locksverify", "false")
            // Only its first failure counts here.
            .with("lfs.transfer.maxretries", "1")
    }

    /// The Hugging Face client behind this daemon.
    pub(crate) fn hf(&self, cell: &str, ferry: &Ferry) -> Hf {
        Hf::new(&self.place(cell).join("hf-home"))
            .without_xet()
            .with("HTTPS_PROXY", Path::new(&ferry.proxy()))
            .with("SSL_CERT_FILE", ferry.bundle())
    }
}

/// The part of the conversation that a cause affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// The main site, or for git-lfs the storage: the first request.
    Site,
    /// The name of the main site, or for git-lfs of the storage.
    Name,
    /// An upload's body or its answer.
    Upload,
    /// An upload's body, and then the client is killed.
    Killed,
    /// The LFS batch request, on a host that is no storage.
    Batch,
    /// A download's body.
    Download,
}
