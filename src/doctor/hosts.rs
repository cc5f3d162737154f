//! Which hosts are checked, and over which upstreams.

use std::sync::Arc;

use super::{CredentialSource, Probe, ProbeSetup, Rehearsal, RemoteProtocol, Repository};
use crate::{
    config::{Config, Upstream, Via},
    model::{Scheme, Target, TlsMode},
};

/// A host to check.
#[derive(Clone)]
pub(crate) struct PlannedHost {
    /// Host and port.
    pub target: Target,
    /// The protocol.
    pub protocol: RemoteProtocol,
    /// The parts of a push to rehearse there.
    pub rehearsal: Option<Rehearsal>,
}

/// Examples for the wildcards of the built-in routes: the hosts that uploads and downloads currently use.
const EXAMPLES: &[&str] = &[
    "cdn-lfs-us-1.hf.co",
    "hf-hub-lfs-us-east-1.s3-accelerate.amazonaws.com",
    "cas-server.xethub.hf.co",
    "transfer.xethub.hf.co",
];

/// A host for each pattern of each route: the exact names, and known examples of the wildcards.
pub(crate) fn of_config(config: &Config) -> Vec<PlannedHost> {
    let mut planned: Vec<PlannedHost> = Vec::new();
    let routes = config
        .routes
        .iter()
        .filter(|route| route.tls != TlsMode::Deny);
    for route in routes {
        let exact = route.hosts.iter().filter(|host| host.is_exact());
        let exact = exact.map(ToString::to_string);
        let examples = EXAMPLES.iter().map(ToString::to_string);
        let port = match route.ports.as_deref() {
            Some([first, ..]) => *first,
            _ => 443,
        };
        for name in exact.chain(examples) {
            let Ok(target) = Target::parse(&name, Some(port)) else {
                continue;
            };
            let known = planned.iter().any(|host| host.target == target);
            if Arc::ptr_eq(config.route(&target), route) && !known {
                planned.push(PlannedHost::new(
                    target,
                    RemoteProtocol::Requests(Scheme::Https),
                ));
            }
        }
    }
    planned
}

/// The first hosts that a push of `repository` contacts; the LFS API then names the storage hosts.
pub(crate) fn of_repository(repository: &Repository, config: &Config) -> Vec<PlannedHost> {
    let credentials = Arc::new(CredentialSource::new(repository.directory.clone()));
    let rehearsal = || Rehearsal {
        repository: None,
        lfs: None,
        lfs_over_ssh: repository.lfs_ssh.is_some(),
        uses_lfs: repository.uses_lfs,
        credentials: Arc::clone(&credentials),
    };
    let mut planned: Vec<PlannedHost> = Vec::new();
    for url in &repository.urls {
        let url = url.clone().behind_the_reverse_front(config);
        let mut host = PlannedHost::new(url.target.clone(), url.protocol);
        if let RemoteProtocol::Requests(_) = url.protocol {
            host.rehearsal = Some(Rehearsal {
                repository: Some(url),
                ..rehearsal()
            });
        }
        planned.push(host);
    }
    if let Some(ssh) = &repository.lfs_ssh
        && !planned.iter().any(|host| host.target == ssh.target)
    {
        planned.push(PlannedHost::new(ssh.target.clone(), RemoteProtocol::Ssh));
    }
    let lfs = repository.lfs.clone();
    let lfs = lfs.map(|lfs| lfs.behind_the_reverse_front(config));
    let Some(lfs) = lfs.filter(|lfs| lfs.protocol != RemoteProtocol::Ssh) else {
        return planned;
    };
    let (target, protocol) = (lfs.target.clone(), lfs.protocol);
    let same = planned.iter_mut().find(|host| {
        host.target == target && host.protocol == protocol && host.rehearsal.is_some()
    });
    match same.and_then(|host| host.rehearsal.as_mut()) {
        Some(rehearsal) => rehearsal.lfs = Some(lfs),
        None => planned.push(PlannedHost {
            rehearsal: Some(Rehearsal {
                lfs: Some(lfs),
                ..rehearsal()
            }),
            ..PlannedHost::new(target, protocol)
        }),
    }
    planned
}

impl PlannedHost {
    /// A host without a rehearsal.
    pub(crate) fn new(target: Target, protocol: RemoteProtocol) -> Self {
        Self {
            target,
            protocol,
            rehearsal: None,
        }
    }

    /// A probe for each upstream of its route, and for each other upstream of the config.
    pub(crate) fn probes(&self, config: &Config, setup: &Arc<ProbeSetup>) -> Vec<Probe> {
        let route = config.route(&self.target);
        let mut probes: Vec<Probe> = Vec::new();
        let probe = |upstream: &Arc<Upstream>, place| {
            let over = (Arc::clone(upstream), place);
            Probe::new(
                self.target.clone(),
                self.protocol,
                route,
                over,
                Arc::clone(setup),
            )
            .with_rehearsal(self.rehearsal.as_ref())
        };
        for (place, upstream) in route.upstreams.iter().enumerate() {
            if self.protocol == RemoteProtocol::Ssh && upstream.mirror.is_some() {
                continue;
            }
            probes.push(probe(upstream, Some(place)));
        }
        for other in other_upstreams(config) {
            let known = route
                .upstreams
                .iter()
                .any(|upstream| upstream.label == other.label || same_connection(upstream, &other));
            if !known {
                probes.push(probe(&other, None));
            }
        }
        probes
    }
}

/// The upstreams of all routes and hops, mirrors apart. Doctor dials directly only if some route does.
fn other_upstreams(config: &Config) -> Vec<Arc<Upstream>> {
    let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
    let routes = config.routes.iter().chain([&config.other_hosts]);
    let used = routes
        .filter(|route| route.tls != TlsMode::Deny)
        .flat_map(|route| &route.upstreams)
        .filter(|upstream| upstream.mirror.is_none())
        .cloned();
    let hops = config.hops.iter().map(|hop| {
        Arc::new(Upstream {
            label: hop.name.clone(),
            via: Via::Hop(Arc::clone(hop)),
            mirror: None,
        })
    });
    for upstream in used.chain(hops) {
        if !upstreams.iter().any(|known| known.label == upstream.label) {
            upstreams.push(upstream);
        }
    }
    upstreams
}

/// True for the same connection; `environment` without a variable is `direct`.
fn same_connection(one: &Upstream, other: &Upstream) -> bool {
    let direct = |via: &Via| match via {
        Via::Direct => true,
        Via::Environment(environment) => environment.https.is_none(),
        Via::Hop(_) => false,
    };
    one.mirror.is_none() && (one.via == other.via || direct(&one.via) && direct(&other.via))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn every_built_in_route_has_a_host_to_try() {
        let home = |name: &str| (name == "HOME").then(|| "/home/user".to_owned());
        let config = config::load(None, &home).unwrap();
        let hosts = of_config(&config);
        for route in &config.routes {
            let tried = hosts
                .iter()
                .filter(|host| Arc::ptr_eq(config.route(&host.target), route));
            assert!(tried.count() > 0, "{} has no host to try", route.name);
        }
    }
}
