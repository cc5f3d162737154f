//! One run of doctor: it runs all planned checks concurrently.

use std::{env, ffi::OsString, sync::Arc};

use tokio::task::JoinSet;

use super::{
    CheckResults, CheckSubject, PlannedHost, ProbeSetup,
    clients::{self, ClientContext},
    daemon::RecentFault,
    engine::examine,
    machine::{LocalFacts, Machine, Skew},
    table::{CLIENT_CHECKS, MACHINE_CHECKS, PATH_CHECKS},
};
use crate::{
    config::Config,
    model::{Role, TlsMode},
};

/// What a run checks.
pub(crate) struct Session {
    /// The config in force.
    pub config: Arc<Config>,
    /// The hosts to try.
    pub hosts: Vec<PlannedHost>,
    /// Roots and TLS.
    pub setup: Arc<ProbeSetup>,
    /// This machine.
    pub local: LocalFacts,
    /// The findings.
    pub results: Arc<CheckResults>,
}

impl Session {
    /// Runs every check. Dropping the future ends the running ones, and keeps the findings so far.
    pub(crate) async fn run(&self) {
        let (mut paths, mut others) = (JoinSet::new(), JoinSet::new());
        for host in &self.hosts {
            self.begin(host, &mut paths);
        }
        others.spawn(examine(
            CheckSubject::Machine,
            self.machine(),
            MACHINE_CHECKS,
            &self.results,
        ));
        if self.local.about.is_ok()
            && let Some(hosts) = self.terminated()
        {
            others.spawn(clients(
                self.local.clone(),
                hosts,
                Arc::clone(&self.results),
            ));
        }
        while paths.join_next().await.is_some() {
            // The LFS API may have named more hosts.
            for host in self.found_hosts() {
                self.begin(&host, &mut paths);
            }
        }
        self.setup.skew.send_if_modified(Skew::give_up);
        while others.join_next().await.is_some() {}
    }

    /// The last faults of the running daemon; none where there is none.
    pub(crate) async fn faults(&self) -> Vec<RecentFault> {
        match &self.local.about {
            Ok(_) => self.local.daemon.faults().await,
            Err(_) => Vec::new(),
        }
    }

    fn begin(&self, host: &PlannedHost, running: &mut JoinSet<()>) {
        for probe in host.probes(&self.config, &self.setup) {
            let subject = CheckSubject::Path(probe.name());
            if !self.results.knows(&subject) {
                running.spawn(examine(subject, probe, PATH_CHECKS, &self.results));
            }
        }
    }

    /// The hosts that the findings name.
    fn found_hosts(&self) -> Vec<PlannedHost> {
        let findings = self.results.findings();
        let upload_hosts = findings
            .into_iter()
            .flat_map(|found| found.outcome.facts.upload_hosts);
        upload_hosts
            .map(|(target, protocol)| PlannedHost::new(target, protocol))
            .collect()
    }

    fn machine(&self) -> Machine {
        let text = |text: OsString| text.into_string().ok();
        Machine {
            config: Arc::clone(&self.config),
            local: self.local.clone(),
            variables: env::vars_os()
                .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
                .collect(),
            skew: self.setup.skew.subscribe(),
        }
    }

    /// A main site and a storage host whose TLS the daemon terminates; the checked ones first.
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

/// Finds the installed clients, and runs each with a nonce of the daemon.
async fn clients(local: LocalFacts, hosts: (String, String), results: Arc<CheckResults>) {
    let Ok(nonce) = local.daemon.nonce().await else {
        // The daemon is older: the check `daemon` reports that.
        return;
    };
    let context = Arc::new(ClientContext {
        hosts,
        nonce,
        local,
    });
    let mut running = JoinSet::new();
    for client in clients::installed(&context).await {
        let subject = CheckSubject::Client(client.name.as_str().into());
        running.spawn(examine(subject, client, CLIENT_CHECKS, &results));
    }
    while running.join_next().await.is_some() {}
}
