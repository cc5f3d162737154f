//! The daemon: builds everything from a config, and replaces it at a reload.
//!
//! Start and reload share one path ([`build`]), so the path used daily is the tested one. `cli::run` supplies the config, the log and the
//! process; tests supply their own.

use std::{
    borrow::Cow,
    error::Error,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    panic::resume_unwind,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use super::{
    drain::{self, DrainOutcome},
    history::HistoryKeeper,
};
use crate::{
    config::{Config, Listen, reload},
    forward::{Forwarder, Shared, request::spool},
    front::FrontServer,
    model::{HostPattern, fault::BoxError},
    net::{
        listen::{self, Acceptor, CLIENT_BUFFER, ListenError, slots::SlotLimits},
        socket_owner::SocketOwners,
    },
    rt::{self, IoThreads},
    tls::{
        Authority, CaError, Connector, Leaves, ca::CaOrigin, files::CERTIFICATE_FILE, state,
        trust::Roots,
    },
    track::event,
};

/// A running daemon.
pub struct Daemon {
    front: FrontServer,
    shared: Shared,
    addresses: Vec<SocketAddr>,
    history: HistoryKeeper,
}

/// Why the daemon does not start, or why a reload changed nothing.
#[derive(Debug)]
pub enum StartError {
    /// The local CA, or the bundle beside it.
    Ca(CaError),
    /// A listening socket.
    Listen(ListenError),
    /// `users` or `groups` of `[listen]` are set, but this system cannot tell local users apart.
    Users(io::Error),
    /// The TLS configuration.
    Tls(BoxError),
    /// A reload would serve clients without the credentials that were required until now.
    WeakensAccess,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ca(error) => write!(f, "cannot use {error}"),
            Self::Listen(error) => error.fmt(f),
            Self::Users(_) => f.write_str(
                "`users` and `groups` of `[listen]` cannot be enforced: local users cannot be identified",
            ),
            Self::Tls(_) => f.write_str("cannot set up TLS"),
            Self::WeakensAccess => f.write_str(
                "the new config has no credentials in `[listen]`, and anybody could use this daemon",
            ),
        }
    }
}

impl StartError {
    /// The advice, where it adds something to the cause.
    pub(crate) fn advice(&self) -> Option<Cow<'static, str>> {
        let fixed = match self {
            Self::Ca(CaError {
                advice: Some(advice),
                ..
            }) => return Some(advice.to_string().into()),
            // A full disk has its own hint.
            Self::Ca(error) => error
                .source
                .downcast_ref::<io::Error>()
                .filter(|error| error.kind() != io::ErrorKind::StorageFull)
                .map(
                    |_| "this is `directory` of `[state]`: the daemon must be able to write to it",
                ),
            Self::Listen(error) => Some(error.advice()),
            Self::Users(_) => Some(
                "set `username` and `password_file` of `[listen]` instead, or allow the daemon to use AF_NETLINK",
            ),
            Self::Tls(_) => None,
            Self::WeakensAccess => Some(
                "set `username` and `password_file` (or `password_env`) of `[listen]`; only a restart removes them",
            ),
        };
        fixed.map(Cow::Borrowed)
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Ca(error) => Some(error),
            Self::Listen(error) => Some(error),
            Self::Users(error) => Some(error),
            Self::Tls(error) => Some(&**error),
            Self::WeakensAccess => None,
        }
    }
}

impl Daemon {
    /// Binds the addresses, builds everything the config needs, and serves.
    ///
    /// Fails where an address cannot be bound, or the local CA can neither be read nor created. Must run inside a runtime, which then serves
    /// all clients.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_on(&IoThreads::of_caller(), config)
    }

    /// Like [`Daemon::start`]; the clients are served on `threads`.
    pub(crate) fn start_on(threads: &IoThreads, mut config: Config) -> Result<Self, StartError> {
        let _first = threads.enter_first();
        state::check(&config.state_directory, state::StateUsers::Owner).map_err(StartError::Ca)?;
        let shared = Shared::default();
        let owners = owners(&config.listen)?;
        let told_apart = &shared.users_told_apart;
        told_apart.store(owners.is_some(), Ordering::Relaxed);
        let limits = slot_limits(config.listen.max_connections);
        let owned = owners.as_ref();
        let acceptors = listen::open(&config.listen, Some(CLIENT_BUFFER), owned, limits, threads)
            .map_err(StartError::Listen)?;
        // Port 0 and inherited sockets have their addresses only now; loop detection needs them.
        config.listen.addresses = acceptors.iter().map(Acceptor::address).collect();
        let addresses = config.listen.addresses.clone();
        spool::sweep(&config.state_directory);
        let proxy = config.environment.https.as_ref().map(|hop| hop.url());
        event::config_loaded(
            config.file.as_deref(),
            config.routes.len(),
            proxy.as_deref().unwrap_or("direct"),
        );
        let front = FrontServer::new(build(config, &shared)?);
        let directory = front.current().config.state_directory.clone();
        let history = HistoryKeeper::begin(&shared, directory);
        for acceptor in acceptors {
            event::listening(acceptor.address());
            shared
                .tasks
                .spawn(accept(acceptor, front.clone(), shared.clone()));
        }
        Ok(Self {
            front,
            shared,
            addresses,
            history,
        })
    }

    /// The addresses it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// State that outlives reloads: running transfers, tasks.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The config for new transfers.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.front.current().config)
    }

    /// Writes the history. Call it after the last transfer has ended.
    pub(crate) fn save_history(&self) {
        self.history.save();
    }

    /// Applies `config` to new transfers, and logs which keys need a restart. A failure changes nothing.
    ///
    /// Fails where the local CA cannot be read or created, and where clients would be served that are refused now.
    pub fn reload(&self, mut config: Config) -> Result<(), StartError> {
        if reload::weakens_access(&self.config(), &config, &self.addresses) {
            return Err(StartError::WeakensAccess);
        }
        let told_apart = self.shared.users_told_apart.load(Ordering::Relaxed);
        if config.listen.access.is_explicit() && !told_apart {
            let why = "they could not be identified at start";
            return Err(StartError::Users(io::Error::other(why)));
        }
        let restart = reload::keys_for_restart(&self.config(), &config);
        config.listen.addresses.clone_from(&self.addresses);
        self.front.replace(build(config, &self.shared)?);
        self.shared.health.clear();
        let config = self.config();
        event::config_reloaded(config.file.as_deref(), config.routes.len(), &restart);
        Ok(())
    }

    /// Accepts nothing new, waits for running transfers up to `grace`, then ends the rest.
    pub async fn stop(self, grace: Duration) -> DrainOutcome {
        let Self {
            front,
            shared,
            history,
            ..
        } = self;
        drop(front);
        let drained = drain::drain(&shared.tasks, &shared.shutdown, grace).await;
        history.save();
        drained
    }
}

async fn accept(acceptor: Acceptor, front: FrontServer, shared: Shared) {
    loop {
        tokio::select! {
            (client, place) = acceptor.accept() => front.serve(client, place),
            () = shared.shutdown.drained() => return,
        }
    }
}

/// The limit on client connections: the configured one, lowered to what the descriptor limit of this process allows.
fn slot_limits(asked: usize) -> SlotLimits {
    /// Descriptors for listening sockets, the log, the CA and the runtime.
    const OWN: usize = 64;
    let limit = rt::descriptor_limit();
    let limits = SlotLimits::within(asked, limit.saturating_sub(OWN));
    if limits.slots < asked {
        event::too_few_descriptors(limit, limits.slots, asked);
    }
    limits
}

/// The look-up of a connection's local user; `None`, with a warning in the log, where it cannot work and the config does not require it.
fn owners(listen: &Listen) -> Result<Option<Arc<SocketOwners>>, StartError> {
    let mut addresses = listen.addresses.iter().map(SocketAddr::ip);
    let loopback = addresses.find(IpAddr::is_loopback);
    match SocketOwners::open(loopback.unwrap_or(Ipv4Addr::LOCALHOST.into())) {
        Ok(owners) => Ok(Some(Arc::new(owners))),
        Err(error) if listen.access.is_explicit() => Err(StartError::Users(error)),
        Err(error) => {
            if listen.identifies_users() && loopback.is_some() {
                event::users_not_identified(&error);
            }
            Ok(None)
        }
    }
}

/// Builds everything that depends on the config.
fn build(config: Config, shared: &Shared) -> Result<Arc<Forwarder>, StartError> {
    state::check(&config.state_directory, state::StateUsers::Owner).map_err(StartError::Ca)?;
    for warning in &config.warnings {
        event::config_warning(&warning.one_line(), warning.hint.as_deref());
    }
    let terminated: Vec<HostPattern> = config.terminated_hosts().cloned().collect();
    let (roots, authority) = thread::scope(|scope| {
        let roots = scope.spawn(|| Roots::load(&config.trust));
        let authority = Authority::open(&config.state_directory, &terminated);
        let roots = roots.join().unwrap_or_else(|panic| resume_unwind(panic));
        (roots, authority)
    });
    for problem in &roots.problems {
        event::roots_incomplete(problem);
    }
    let (authority, opened) = authority.map_err(StartError::Ca)?;
    if opened == CaOrigin::Created {
        event::ca_created(&config.state_directory.join(CERTIFICATE_FILE));
    }
    for warning in authority.warnings() {
        event::ca_warning(warning);
    }
    let missing: Vec<String> = authority
        .certificate()
        .missing(&terminated)
        .iter()
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        event::ca_lacks_hosts(&missing.join(", "));
    }
    roots
        .write_bundle(&config.state_directory, &authority)
        .map_err(StartError::Ca)?;
    let leaves = Leaves::new(Arc::new(authority)).map_err(StartError::Tls)?;
    let connector = Connector::new(&roots, config.tls_peers()).map_err(StartError::Tls)?;
    Ok(Forwarder::new(
        Arc::new(config),
        connector,
        Arc::new(leaves),
        shared.clone(),
    ))
}
