//! `/-/api/daemon`: the identity of the daemon.

use std::{net::SocketAddr, sync::Arc};

use serde::Serialize;

use crate::model::{Scheme, fields::documented};
use crate::{config::Hop, forward::Forwarder, tls::certificate::CaCertificate};

documented! {
/// The identity of the daemon, which a command checks before it trusts the daemon's data.
#[derive(Debug, Serialize)]
pub(crate) struct DaemonView {
    /// The version of gitferry.
    pub version: &'static str,
    /// The process ID.
    pub pid: u32,
    /// The addresses it listens on.
    pub listen: Vec<SocketAddr>,
    /// The config's file; none for the embedded default.
    pub config: Option<String>,
    /// The state directory, which has the CA.
    pub state_directory: String,
    /// The SHA-256 fingerprint of the CA's certificate, in hexadecimal; none where it cannot be read.
    pub ca_sha256: Option<String>,
    /// The proxies that its own environment names, without user info.
    pub environment: EnvironmentView,
}
}

documented! {
/// The `*_PROXY` variables as the daemon found them at its start.
#[derive(Debug, Serialize)]
pub(crate) struct EnvironmentView {
    /// For `https://` targets.
    pub https_proxy: Option<String>,
    /// For `http://` targets.
    pub http_proxy: Option<String>,
    /// The hosts that are reached without either.
    pub no_proxy: Vec<Box<str>>,
    /// True where `https_proxy` has a user name or a password, which are not shown.
    pub https_proxy_has_credentials: bool,
    /// The same for `http_proxy`.
    pub http_proxy_has_credentials: bool,
}
}

impl DaemonView {
    /// The identity of the daemon of `forwarder`.
    pub(super) fn of(forwarder: &Forwarder) -> Self {
        let config = &forwarder.config;
        let certificate = CaCertificate::read(&config.state_directory).ok().flatten();
        let proxy = |hop: &Option<Arc<Hop>>| hop.as_ref().map(|hop| hop.url());
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            listen: config.listen.addresses.clone(),
            config: config.file.as_ref().map(|file| file.display().to_string()),
            state_directory: std::path::absolute(&config.state_directory)
                .unwrap_or_else(|_| config.state_directory.clone())
                .display()
                .to_string(),
            ca_sha256: certificate.map(|certificate| certificate.fingerprint()),
            environment: EnvironmentView {
                https_proxy: proxy(&config.environment.https),
                http_proxy: proxy(&config.environment.http),
                no_proxy: config.environment.no_proxy.clone(),
                https_proxy_has_credentials: config.environment.has_credentials(Scheme::Https),
                http_proxy_has_credentials: config.environment.has_credentials(Scheme::Http),
            },
        }
    }
}
