//! The config in force: the running daemon's, with the environment that it was started with.

use std::{env, io, sync::Arc};

use crate::{
    cli::daemon,
    config::{self, Config},
    doctor::{
        daemon::{DaemonAddress, DaemonEnvironment, DaemonInfo},
        same_place,
    },
    model::Scheme,
};

/// The running daemon's config where its file can be read; else the loaded one.
pub(super) async fn of(
    loaded: Config,
) -> (Config, DaemonAddress, Result<DaemonInfo, Arc<io::Error>>) {
    let address = daemon::address(&loaded);
    let at = DaemonAddress {
        address: address.unwrap_or_else(|| ([127, 0, 0, 1], 4483).into()),
        credentials: loaded.listen.credentials.clone(),
    };
    let about = at.about().await.map_err(Arc::new);
    let config = match &about {
        Ok(about) => reloaded(about).unwrap_or(loaded),
        Err(_) => loaded,
    };
    (config, at, about)
}

/// Its file, read with its proxy variables; `None` where this user cannot read it.
fn reloaded(about: &DaemonInfo) -> Option<Config> {
    let variables = |name: &str| variable(&about.environment, name);
    config::load(about.config.as_deref(), &variables).ok()
}

/// The proxy variables of the daemon; all others of this process.
fn variable(environment: &DaemonEnvironment, name: &str) -> Option<String> {
    match name {
        "https_proxy" => with_user_info(environment.https_proxy.clone()?),
        "http_proxy" => with_user_info(environment.http_proxy.clone()?),
        "no_proxy" => Some(environment.no_proxy.join(",")),
        "HTTPS_PROXY" | "HTTP_PROXY" | "ALL_PROXY" | "all_proxy" | "NO_PROXY" => None,
        other => env::var(other).ok(),
    }
}

/// The daemon hides user names and passwords: they are taken from this shell, where it has the same proxy.
fn with_user_info(url: String) -> Option<String> {
    let names = [
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "http_proxy",
    ];
    let mut own = names.iter().filter_map(|name| env::var(name).ok());
    Some(own.find(|own| same_place(own, &url)).unwrap_or(url))
}

/// The schemes whose proxy has credentials in the daemon's environment and none in this shell.
pub(super) fn missing_passwords(
    about: &Result<DaemonInfo, Arc<io::Error>>,
    config: &Config,
) -> Vec<Scheme> {
    let Ok(DaemonInfo { environment, .. }) = about else {
        return Vec::new();
    };
    let there = [
        (Scheme::Https, environment.https_proxy_has_credentials),
        (Scheme::Http, environment.http_proxy_has_credentials),
    ];
    let missing = there.into_iter().filter(|(scheme, has_credentials)| {
        *has_credentials && !config.environment.has_credentials(*scheme)
    });
    missing.map(|(scheme, _)| scheme).collect()
}
