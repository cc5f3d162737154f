//! The daemon itself: from a config to listening sockets, and from one config to the next.
//!
//! Start and reload are one path ([`build`]), so that the one used daily is the one that works. `cli::run` brings the
//! config, the log and the process; tests bring their own.

use std::{
    error::Error,
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{drain, pages::DaemonPages};
use crate::{
    config::{self, Config},
    forward::{Forwarder, Shared},
    front::Front,
    net::listen::{self, Listeners},
    tls::{Authority, Connector, Leaves, ca::CaError, ca::Opened, trust::Roots},
    track::event,
};

/// A daemon that listens.
pub struct Daemon {
    front: Front,
    shared: Shared,
    addresses: Vec<SocketAddr>,
}

/// Why the daemon does not start.
#[derive(Debug)]
pub enum StartError {
    /// The local CA.
    Ca(CaError),
    /// A listening socket.
    Listen(std::io::Error),
    /// A file in the state directory.
    State(PathBuf, std::io::Error),
}

impl Daemon {
    /// Binds, makes what the config needs, and serves.
    ///
    /// Fails where an address cannot be bound, or the local CA can neither be read nor made.
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        let shared = Shared::default();
        let listeners = Listeners::bind(&config.listen.addresses).map_err(StartError::Listen)?;
        // Port 0 and handed-over sockets have their addresses only now; a loop is told by them.
        config.listen.addresses = listeners.addresses();
        let addresses = config.listen.addresses.clone();
        let max_connections = config.listen.max_connections;
        let forwarder = build(config, &shared)?;
        let front = Front::new(forwarder, Arc::new(DaemonPages::new()));
        for address in &addresses {
            event::listening(*address);
        }
        let serving = front.clone();
        listeners.serve(&shared.tasks, &shared.shutdown, max_connections, move |socket, client, guard| {
            serving.serve(socket, client, guard);
        });
        Ok(Self { front, shared, addresses })
    }

    /// The addresses it listens on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What outlives reloads: running transfers, tasks.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The config that new transfers go by.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.front.current().config)
    }

    /// New transfers go by `config`; what needs a restart is said. A failure changes nothing.
    pub fn reload(&self, mut config: Config) -> Result<(), StartError> {
        let before = self.config();
        let changes = config::reload::differences(&before, &config);
        config.listen.addresses.clone_from(&self.addresses);
        let forwarder = build(config, &self.shared)?;
        self.front.replace(forwarder);
        event::config_reloaded(&changes);
        Ok(())
    }

    /// Accepts nothing new, waits `grace` for what runs, ends the rest.
    pub async fn stop(self, grace: Duration) -> drain::Drained {
        let Self { front, shared, .. } = self;
        drop(front);
        drain::drain(&shared.tasks, &shared.shutdown, grace).await
    }
}
