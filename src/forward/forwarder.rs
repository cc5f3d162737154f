//! One snapshot of the config with everything built from it. A reload makes a new one; running transfers keep theirs.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::AtomicBool},
};

use tokio::sync::Semaphore;

use crate::forward::{
    client_check::Nonces,
    downloads::DownloadLimits,
    limits::RewriteLimits,
    request::{
        spool::{self, Budget},
        uploads::UploadPlaces,
    },
    upstream::pool::Pool,
};
use crate::{
    config::{Config, Route},
    model::{
        Denial, Fault, FaultKind, Leg, Stage, Target, TlsMode, credential_memory::CredentialMemory,
        health::Health,
    },
    net::groups::Groups,
    rt::{Shutdown, Tasks},
    sync::Mutex,
    tls::{Connector, Leaves},
    track::Tracker,
};

/// One snapshot of the config, and everything needed to forward by it.
#[derive(Debug)]
pub(crate) struct Forwarder {
    /// The snapshot.
    pub config: Arc<Config>,
    /// TLS to origins and hops.
    pub connector: Connector,
    /// TLS to clients.
    pub leaves: Arc<Leaves>,
    /// State that outlives a reload.
    pub shared: Shared,
    /// Idle origin connections.
    pub(super) pool: Pool,
    pub(super) rewriting: RewriteLimits,
}

/// The config snapshot for new requests. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Current(Arc<Mutex<Arc<Forwarder>>>);

impl Current {
    /// Starts with `forwarder`.
    pub(crate) fn new(forwarder: Arc<Forwarder>) -> Self {
        Self(Arc::new(Mutex::new(forwarder)))
    }

    /// The current snapshot.
    pub(crate) fn get(&self) -> Arc<Forwarder> {
        Arc::clone(&self.0.lock())
    }

    /// New requests use `forwarder`; running ones keep theirs.
    pub(crate) fn replace(&self, forwarder: Arc<Forwarder>) {
        *self.0.lock() = forwarder;
    }
}

/// State that outlives a reload. Clones share it.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Running transfers and counters.
    pub tracker: Tracker,
    /// The circuits of upstreams that failed.
    pub health: Arc<Health>,
    /// Which credential belongs to which host of the reverse front.
    pub credentials: Arc<CredentialMemory>,
    /// The limits on concurrent uploads.
    pub uploads: Arc<UploadPlaces>,
    /// The memory and disk budget for replaying uploads.
    pub replay: Arc<Budget>,
    /// The memory and connections of downloads in segments.
    pub downloads: Arc<DownloadLimits>,
    /// The nonces with which `gitferry doctor` checks clients.
    pub nonces: Arc<Nonces>,
    /// The groups of local users.
    pub groups: Arc<Groups>,
    /// True where the kernel reports which local user a client on loopback is.
    pub users_told_apart: Arc<AtomicBool>,
    /// Places for responses that are read to their end after their client has left.
    pub rests: Arc<Semaphore>,
    /// All tasks of the daemon.
    pub tasks: Tasks,
    /// The two steps of stopping.
    pub shutdown: Shutdown,
}

/// The most responses that are read to their end after their client has left: nobody waits for them.
const MAX_RESTS: usize = 64;

impl Default for Shared {
    fn default() -> Self {
        let (tasks, shutdown) = (Tasks::default(), Shutdown::default());
        Self {
            tracker: Tracker::new(tasks.clone(), shutdown.clone()),
            health: Arc::default(),
            credentials: Arc::default(),
            uploads: Arc::default(),
            replay: Arc::default(),
            downloads: Arc::default(),
            nonces: Arc::default(),
            groups: Arc::default(),
            users_told_apart: Arc::default(),
            rests: Arc::new(Semaphore::new(MAX_RESTS)),
            tasks,
            shutdown,
        }
    }
}

impl Forwarder {
    /// A forwarder for `config`; its idle connections end with it. Sets the limits in `shared` to those of `config`.
    pub(crate) fn new(
        config: Arc<Config>,
        connector: Connector,
        leaves: Arc<Leaves>,
        shared: Shared,
    ) -> Arc<Self> {
        let pool = Pool::new(config.pool);
        pool.sweep_until_drained(&shared.tasks, &shared.shutdown);
        let spool = config.state_directory.join(spool::SPOOL_DIRECTORY);
        let replay = &config.replay;
        shared.replay.set(spool, replay.memory, replay.spool);
        shared.uploads.set(&config);
        shared.downloads.set(config.downloads.memory);
        let rewriting = RewriteLimits::new(config.rewrite.max_body, shared.shutdown.clone());
        Arc::new(Self {
            config,
            connector,
            leaves,
            shared,
            pool,
            rewriting,
        })
    }

    /// The route of `target`, or the fault that refuses it.
    pub(crate) fn admit(&self, target: &Target) -> Result<Arc<Route>, Fault> {
        let route = self.config.route(target);
        let denied = |denial: Denial, detail: String| {
            let kind = FaultKind::Denied(denial);
            let fault = Fault::new(Leg::Client, Stage::Accepted, kind).peer(target);
            Err(fault.detail(detail))
        };
        if self.is_own(target) {
            let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::Loop).peer(target);
            return Err(fault.detail("the target is gitferry itself"));
        }
        if route.tls == TlsMode::Deny {
            return denied(
                Denial::Route,
                format!("route {} denies this host", route.name),
            );
        }
        if route
            .ports
            .as_ref()
            .is_some_and(|ports| !ports.contains(&target.port))
        {
            let why = format!("port {} is not in `ports` of [{}]", target.port, route.name);
            return denied(Denial::Port, why);
        }
        Ok(Arc::clone(route))
    }

    /// How many idle origin connections there are.
    pub(crate) fn idle_connections(&self) -> usize {
        self.pool.idle_count()
    }

    /// True where a connection to `target` would reach this daemon.
    pub(crate) fn is_own(&self, target: &Target) -> bool {
        let ip = target.host.ip().map(|ip| ip.to_canonical());
        // Linux connects to this machine where the address is unspecified.
        let here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
        let loopback = target.host.is_loopback() || ip.is_some_and(here);
        let mut addresses = self.config.listen.addresses.iter();
        addresses.any(|own| {
            let same = ip == Some(own.ip().to_canonical());
            own.port() == target.port && (same || loopback && here(own.ip()))
        })
    }
}
