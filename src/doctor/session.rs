//! One run of doctor: everything that was planned, side by side.

use std::{collections::BTreeMap, env, path::PathBuf, sync::Arc};

use tokio::task::JoinSet;

use super::{
    CheckResults, CheckSubject, Fact, PlannedHost, ProbeSetup, RemoteUrl,
    clients::{self, ClientDefaults},
    daemon::{DaemonAddress, DaemonInfo, RecentFault},
    engine::{CheckTarget, examine},
    machine::{Machine, Skew},
};
use crate::{
    config::Config,
    model::{Role, TlsMode},
};

/// What a run looks at.
pub(crate) struct Session {
    /// The config in force.
    pub config: Arc<Config>,
    /// The hosts to try.
    pub hosts: Vec<PlannedHost>,
    /// Roots and TLS.
    pub means: Arc<ProbeSetup>,
    /// This machine, where it is looked at.
    pub local: Option<LocalFacts>,
    /// Where findings go.
    pub board: Arc<CheckResults>,
}

/// What of this machine is looked at.
#[derive(Clone)]
pub(crate) struct LocalFacts {
    /// How the daemon is reached.
    pub daemon: DaemonAddress,
    /// What it says of itself; why not, where it does not.
    pub about: Result<DaemonInfo, String>,
    /// Of the config that this command would run a daemon with: its CA may be another one than the daemon's.
    pub state_directory: PathBuf,
    /// The repository, or where the user is.
    pub directory: PathBuf,
    /// The remote of a push, where it is one of ssh.
    pub ssh: Option<RemoteUrl>,
}

impl Session {
    /// Runs every check; dropping it ends what runs, and what was found stays on the board.
    pub(crate) async fn run(&self) {
        let (mut paths, mut others) = (JoinSet::new(), JoinSet::new());
        for host in &self.hosts {
            self.begin(host, &mut paths);
        }
        if let Some(local) = &self.local {
            let machine = Box::new(self.machine(local));
            others.spawn(examine(CheckTarget::Machine(machine), &self.board));
            if local.about.is_ok()
                && let Some(hosts) = self.terminated()
            {
                others.spawn(clients(local.clone(), hosts, Arc::clone(&self.board)));
            }
        }
        while paths.join_next().await.is_some() {
            // The LFS API may have named hosts that nobody knew before.
            for host in self.found_hosts() {
                self.begin(&host, &mut paths);
            }
        }
        self.means.skew.send_if_modified(Skew::give_up);
        while others.join_next().await.is_some() {}
    }

    /// The last faults of the running daemon; none where there is none.
    pub(crate) async fn faults(&self) -> Vec<RecentFault> {
        match &self.local {
            Some(local) if local.about.is_ok() => local.daemon.status().await.faults,
            Some(_) | None => Vec::new(),
        }
    }

    fn begin(&self, host: &PlannedHost, running: &mut JoinSet<()>) {
        for probe in host.probes(&self.config, &self.means) {
            let subject = CheckSubject::Path(probe.name());
            if !self.board.knows(&subject) {
                let examined = CheckTarget::Path(Box::new(probe));
                running.spawn(examine(examined, &self.board));
            }
        }
    }

    /// The hosts that findings lead to.
    fn found_hosts(&self) -> Vec<PlannedHost> {
        let findings = self.board.findings();
        let facts = findings.iter().flat_map(|found| &found.outcome.facts);
        let leads = facts.filter_map(|fact| match fact {
            Fact::Leads(target, purpose) => Some(PlannedHost::new(target.clone(), *purpose)),
            _ => None,
        });
        leads.collect()
    }

    fn machine(&self, local: &LocalFacts) -> Machine {
        Machine {
            config: Arc::clone(&self.config),
            daemon: local.daemon.clone(),
            about: local.about.clone(),
            state_directory: local.state_directory.clone(),
            directory: local.directory.clone(),
            variables: env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect::<BTreeMap<_, _>>(),
            skew: self.means.skew.subscribe(),
        }
    }

    /// A main site and a storage host whose TLS the daemon terminates; those that are tried first.
    fn terminated(&self) -> Option<(String, String)> {
        let tried = self.hosts.iter().map(|host| host.target.clone());
        let named = super::of_config(&self.config).into_iter();
        let targets: Vec<_> = tried.chain(named.map(|host| host.target)).collect();
        let of = |wanted: fn(Role) -> bool| {
            let fits = |target: &&crate::model::Target| {
                let route = self.config.route(target);
                route.tls == TlsMode::Terminate && target.port == 443 && wanted(route.role)
            };
            targets
                .iter()
                .find(fits)
                .map(|target| target.host.to_string())
        };
        let main = of(|role| role != Role::LfsStorage).or_else(|| of(|_| true))?;
        let storage = of(|role| role == Role::LfsStorage).unwrap_or_else(|| main.clone());
        Some((main, storage))
    }
}

/// Finds the installed clients, and runs each against a nonce of the daemon.
async fn clients(local: LocalFacts, hosts: (String, String), board: Arc<CheckResults>) {
    let Ok(nonce) = local.daemon.nonce().await else {
        // A daemon of an older version: the check `daemon` says so.
        return;
    };
    let common = ClientDefaults {
        hosts,
        nonce,
        ssh: local.ssh,
        directory: local.directory,
        daemon: local.daemon,
    };
    let mut running = JoinSet::new();
    for client in clients::installed(&common).await {
        running.spawn(examine(CheckTarget::Client(Box::new(client)), &board));
    }
    while running.join_next().await.is_some() {}
}
