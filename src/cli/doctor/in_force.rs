//! The config that is in force: the running daemon's, in the environment that it was started with.

use std::{env, path::PathBuf};

use crate::{
    cli::daemon,
    config::{self, Config},
    doctor::daemon::{DaemonAddress, DaemonEnvironment, DaemonInfo},
};

/// The daemon's config where one runs and its file can be read; else the one that was loaded.
pub(super) async fn of(loaded: Config) -> (Config, DaemonAddress, Result<DaemonInfo, String>) {
    let address = daemon::address(&loaded);
    let at = DaemonAddress {
        address: address.unwrap_or_else(|| ([127, 0, 0, 1], 4483).into()),
        credentials: loaded.listen.credentials.clone(),
    };
    let about = at.about().await.map_err(|error| error.to_string());
    let config = match &about {
        Ok(about) => reloaded(about, &loaded.file).unwrap_or(loaded),
        Err(_) => loaded,
    };
    (config, at, about)
}

/// `None` where nothing would differ, or the daemon's file is not for this user to read.
fn reloaded(about: &DaemonInfo, file: &Option<PathBuf>) -> Option<Config> {
    let own = env_proxies();
    if about.config == *file && about.environment == own {
        return None;
    }
    let variables = |name: &str| variable(&about.environment, name);
    config::load(about.config.as_deref(), &variables).ok()
}

/// The daemon's proxy variables, this process' other ones.
fn variable(environment: &DaemonEnvironment, name: &str) -> Option<String> {
    match name {
        "https_proxy" => with_user_info(environment.https_proxy.clone()?),
        "http_proxy" => with_user_info(environment.http_proxy.clone()?),
        "no_proxy" => Some(environment.no_proxy.join(",")),
        "HTTPS_PROXY" | "HTTP_PROXY" | "ALL_PROXY" | "all_proxy" | "NO_PROXY" => None,
        other => env::var(other).ok(),
    }
}

/// The daemon does not tell user names and passwords: where this shell has the same proxy with them, they are taken from here.
fn with_user_info(url: String) -> Option<String> {
    let place = |url: &str| {
        let rest = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
        let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
        rest.trim_end_matches('/').to_owned()
    };
    let names = [
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
        "http_proxy",
    ];
    let mut own = names.iter().filter_map(|name| env::var(name).ok());
    Some(own.find(|own| place(own) == place(&url)).unwrap_or(url))
}

/// What the daemon would say if it had been started here, as far as a difference counts.
fn env_proxies() -> DaemonEnvironment {
    let any = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    };
    DaemonEnvironment {
        https_proxy: any(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        http_proxy: any(&["http_proxy", "all_proxy", "ALL_PROXY"]),
        no_proxy: Vec::new(),
    }
}
