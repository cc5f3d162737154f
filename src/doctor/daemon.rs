//! What the running daemon reports about itself.

use std::{io, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, de::DeserializeOwned};

use crate::{model::secret::Credentials, net::api};

/// How the daemon is reached.
#[derive(Clone, Debug)]
pub(crate) struct DaemonAddress {
    /// Where it listens.
    pub address: SocketAddr,
    /// The credentials that it requires from clients.
    pub credentials: Option<Credentials>,
}

/// What commands read of `/-/api/daemon`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct DaemonInfo {
    /// The version of gitferry.
    pub version: String,
    /// The config's file; none for the embedded default.
    pub config: Option<PathBuf>,
    /// The state directory, where the CA is.
    pub state_directory: PathBuf,
    /// The fingerprint of its CA's certificate.
    pub ca_sha256: Option<String>,
    /// The proxies in its environment.
    pub environment: DaemonEnvironment,
}

/// The `*_PROXY` variables that the daemon started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct DaemonEnvironment {
    /// For `https://` targets.
    pub https_proxy: Option<String>,
    /// For `http://` targets.
    pub http_proxy: Option<String>,
    /// The hosts that it reaches without a proxy.
    pub no_proxy: Vec<String>,
    /// True where the proxy for `https://` targets has credentials, which it does not show.
    #[serde(default)]
    pub https_proxy_has_credentials: bool,
    /// The same for `http://` targets.
    #[serde(default)]
    pub http_proxy_has_credentials: bool,
}

/// A fault of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct RecentFault {
    /// The transfer's number.
    #[serde(default)]
    pub id: u64,
    /// `leg/stage/kind`.
    pub code: String,
    /// The host asked for.
    pub host: String,
    /// The upstream.
    #[serde(default)]
    pub upstream: Option<String>,
    /// The advice in the log.
    #[serde(default)]
    pub advice: Option<String>,
    /// How long ago it was, in seconds.
    #[serde(default)]
    pub s_ago: u64,
}

impl RecentFault {
    /// True for the same fault with the same host over the same upstream.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (&self.code, &self.host, &self.upstream) == (&other.code, &other.host, &other.upstream)
    }
}

impl DaemonAddress {
    /// What the daemon reports about itself. Fails where no daemon answers.
    pub(crate) async fn about(&self) -> io::Result<DaemonInfo> {
        self.ask("GET /-/api/daemon").await
    }

    /// Its last faults; none where it does not answer.
    pub(super) async fn faults(&self) -> Vec<RecentFault> {
        #[derive(Default, Deserialize)]
        struct FaultList {
            #[serde(default)]
            faults: Vec<RecentFault>,
        }
        let answer: io::Result<FaultList> = self.ask("GET /-/api/faults").await;
        answer.unwrap_or_default().faults
    }

    /// A nonce, which the daemon echoes for a minute.
    pub(super) async fn nonce(&self) -> io::Result<String> {
        #[derive(Deserialize)]
        struct Nonce {
            nonce: String,
        }
        let answer: Nonce = self.ask("POST /-/api/nonce").await?;
        Ok(answer.nonce)
    }

    /// The JSON that the daemon answers.
    async fn ask<T: DeserializeOwned>(&self, request: &'static str) -> io::Result<T> {
        let Self {
            address,
            credentials,
        } = self.clone();
        let asking = move || api::ask(address, credentials.as_ref(), request);
        let asked = tokio::task::spawn_blocking(asking);
        let answer = asked.await.map_err(io::Error::other)??;
        serde_json::from_str(&answer).map_err(io::Error::other)
    }
}
