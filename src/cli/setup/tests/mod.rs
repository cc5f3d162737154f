//! `setup` with every git of this machine, in a home of its own.

mod exact;
mod hf;
mod matching;
mod overruled;
mod ssh;

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use tempfile::TempDir;

use super::*;
use crate::{
    config::Route,
    model::{Role, TlsMode},
};

const PROXY: &str = "http://127.0.0.1:4483";

/// A user with a home, a config and a git.
struct World {
    directory: TempDir,
    host: HostEnv,
    config: fn(&Path) -> Config,
}

/// A daemon whose state directory is beside the home.
fn running_daemon(host: &HostEnv, _: SocketAddr) -> Result<TrustedDaemon, Failure> {
    Ok(TrustedDaemon {
        config: None,
        bundle: host.home()?.with_file_name("state").join("bundle.pem"),
    })
}

/// The result of a set-up, and what it printed.
#[derive(Debug)]
struct SetupOutput {
    result: Result<(), Failure>,
    out: String,
    err: String,
}

impl SetupOutput {
    fn ok(self) -> Self {
        assert!(self.result.is_ok(), "{self:?}");
        self
    }
}

impl World {
    fn new(git: &Path) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("it's a \"home\" ")
            .tempdir()
            .unwrap();
        let home = directory.path().join("home");
        let state = directory.path().join("state");
        for directory in [&home, &state] {
            fs::create_dir(directory).unwrap();
        }
        fs::write(state.join("bundle.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
        let variables = [
            ("HOME", home.clone().into_os_string()),
            ("PATH", std::env::var_os("PATH").unwrap()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
        ];
        let host = HostEnv {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
            directory: home,
            binary: directory.path().join("bin 100%/gitferry"),
            git: git.to_owned(),
            daemon: running_daemon,
        };
        Self {
            directory,
            host,
            config,
        }
    }

    fn home(&self, name: &str) -> PathBuf {
        self.directory.path().join("home").join(name)
    }

    fn bundle(&self) -> String {
        let path = self.directory.path().join("state/bundle.pem");
        path.to_str().unwrap().to_owned()
    }

    fn set_variable(&mut self, name: &str, value: &str) {
        self.host.variables.insert(name.into(), value.into());
    }

    /// `gitferry setup` with these arguments.
    fn setup(&self, arguments: &str) -> SetupOutput {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            args: SetupArgs,
        }
        use clap::Parser as _;
        let words = std::iter::once("setup").chain(arguments.split(' '));
        let args = Command::try_parse_from(words).unwrap().args;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut err, args.dry_run);
        let source = ConfigLoader {
            given: true,
            load: &|| Ok((self.config)(self.directory.path())),
        };
        let result = perform(&args, &source, &self.host, &mut output);
        SetupOutput {
            result,
            out: String::from_utf8(out).unwrap(),
            err: String::from_utf8(err).unwrap(),
        }
    }

    /// What git answers, without its line break.
    fn git(&self, arguments: &[&str]) -> String {
        let answer = git::found(&self.host, arguments)
            .unwrap()
            .unwrap_or_default();
        String::from_utf8(answer).unwrap().trim_end().to_owned()
    }

    /// Every file of the home and what is in it, our own records left out.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.home("")];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else if !path.to_str().unwrap().contains("gitferry/setup-") {
                    files.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

/// The installed gits: Debian's, and another one where PATH has one.
fn gits() -> Vec<PathBuf> {
    let mut gits: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .chain([PathBuf::from("/usr/bin")])
        .map(|directory| directory.join("git"))
        .filter(|git| git.is_file())
        .map(|git| fs::canonicalize(git).unwrap())
        .collect();
    gits.sort();
    gits.dedup();
    assert!(!gits.is_empty(), "these tests need git");
    gits
}

/// The hosts of the embedded default that matter here.
fn config(directory: &Path) -> Config {
    use {Role::LfsStorage, Role::MainSite, TlsMode::Deny, TlsMode::Terminate, TlsMode::Tunnel};
    Config {
        file: None,
        state_directory: directory.join("state"),
        routes: vec![
            route(MainSite, Terminate, &["huggingface.co", "hf.co"]),
            route(LfsStorage, Tunnel, &["*.xethub.hf.co"]),
            route(
                LfsStorage,
                Terminate,
                &["cdn-lfs*.huggingface.co", "*.hf.co"],
            ),
            route(MainSite, Tunnel, &["git.example"]),
            route(LfsStorage, Terminate, &["storage.example"]),
            route(MainSite, Deny, &["forbidden.example"]),
        ],
        ..crate::config::parsed("")
    }
}

fn route(role: Role, tls: TlsMode, hosts: &[&str]) -> Arc<Route> {
    let parsed = crate::config::parsed(
        "[[route]]\nname = \"test\"\nhosts = [\"test.example\"]\ntls = \"tunnel\"\n\
         upstreams = [{ via = \"direct\" }]\n",
    );
    let mut route = Arc::into_inner(parsed.routes.into_iter().next().unwrap()).unwrap();
    (route.role, route.tls) = (role, tls);
    route.hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    Arc::new(route)
}
