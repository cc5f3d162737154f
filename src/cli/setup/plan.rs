//! The settings of git and git-lfs for a config.
//!
//! Both match the host of `http.<url>.*` label by label, and `*` only as a whole label (measured: git 2.39 and 2.47, git-lfs
//! 3.3.0). A pattern of gitferry's is converted: `cdn-lfs*.huggingface.co` becomes `*.huggingface.co`, which covers more, and
//! `*.hf.co`, which covers any depth, becomes `*.hf.co` and `*.*.hf.co`, enough for every known host.

use std::{collections::BTreeSet, net::SocketAddr, path::Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::named::named;
use crate::{
    cli::{Failure, daemon},
    config::{Config, Route},
    model::{Host, HostPattern, Role, TlsMode},
};

named! {
/// The clients that read git's config; each can be undone alone.
pub(super) enum GitClient {
    /// git, for all hosts except storage.
    Git = "git",
    /// git-lfs, for storage.
    Lfs = "lfs",
}
}

impl GitClient {
    fn serves(self, role: Role) -> bool {
        match role {
            Role::LfsStorage => self == Self::Lfs,
            Role::MainSite | Role::Other => self == Self::Git,
        }
    }
}

/// The clients to set up.
#[derive(Clone, Copy)]
pub(super) struct ClientSelection<'a> {
    pub(super) names: &'a [GitClient],
    pub(super) no_ca: bool,
}

/// One line of a git config.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Setting {
    /// The clients that need it.
    pub(super) clients: BTreeSet<GitClient>,
    /// The key, as for `git config`.
    pub(super) key: String,
    /// The value.
    pub(super) value: String,
}

/// A URL of an exact host, for checking git's settings once they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProbeUrl {
    /// `https://host/`.
    pub(super) url: String,
    /// The URL that git should use for it.
    pub(super) becomes: String,
}

/// The settings, and notes for the user.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) settings: Vec<Setting>,
    pub(super) probes: Vec<ProbeUrl>,
    pub(super) notes: Vec<String>,
    /// The hosts of the settings, which `NO_PROXY` must not name.
    pub(super) hosts: Vec<HostPattern>,
    /// The daemon as a proxy URL, with the credentials that it requires.
    pub(super) proxy: String,
    /// The password in it, percent-encoded.
    password: Option<String>,
    /// True where a setting contains the bundle's path.
    pub(super) needs_bundle: bool,
}

/// A URL of git's config, without a final slash.
struct ConfigUrl {
    url: String,
    /// The host as the first segment of a path of the reverse front.
    segment: String,
}

impl Plan {
    /// The settings of `clients`. Fails where `bundle` is not UTF-8 or the daemon has no address.
    pub(super) fn new(
        config: &Config,
        clients: &[GitClient],
        no_ca: bool,
        bundle: &Path,
    ) -> Result<Self, Failure> {
        let bundle = bundle.to_str().ok_or_else(|| {
            Failure::new(format!("{} is not UTF-8", bundle.display()))
                .hint("set `directory` of `[state]` to a path in UTF-8")
        })?;
        let address =
            daemon::address(config).ok_or_else(|| Failure::new("the daemon has no address"))?;
        let mut plan = Self::empty(config, address);
        let reverse = no_ca.then(|| format!("http://{address}"));
        let mut wild = Vec::new();
        for client in clients {
            for route in &config.routes {
                if route.tls != TlsMode::Deny && client.serves(route.role) {
                    plan.add_route(*client, route, bundle, reverse.as_deref(), &mut wild);
                }
            }
            if no_ca && *client == GitClient::Lfs {
                plan.set(*client, "lfs.transfer.enablehrefrewrite".into(), "true");
            }
        }
        if no_ca && clients.contains(&GitClient::Git) {
            plan.notes.push(format!(
                "git asks its credential helper for {address} in place of the real host: `gitferry help reverse` shows how to use the helper of the real host"
            ));
        }
        if !wild.is_empty() {
            let wild: Vec<String> = wild.iter().map(ToString::to_string).collect();
            plan.notes.push(format!(
                "url.*.insteadOf has no wildcards: for these hosts, URLs in responses use gitferry, and URLs that you enter yourself bypass it: {}",
                wild.join(", ")
            ));
        }
        Ok(plan)
    }

    /// True for a URL of the daemon's reverse front.
    pub(super) fn is_front(&self, url: &str) -> bool {
        let address = self.proxy.rsplit(['@', '/']).next().unwrap_or_default();
        let rest = url.strip_prefix("http://").unwrap_or_default();
        let rest = rest.strip_prefix(address);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    /// A plan without settings, for the daemon at `address`.
    fn empty(config: &Config, address: SocketAddr) -> Self {
        let credentials = config.listen.credentials.as_ref();
        let encoded = |text: &str| utf8_percent_encode(text, USER_INFO).to_string();
        let password = credentials.map(|known| encoded(known.password.expose()));
        let user_info = credentials
            .zip(password.as_ref())
            .map(|(known, password)| format!("{}:{password}@", encoded(&known.username)))
            .unwrap_or_default();
        Self {
            settings: Vec::new(),
            probes: Vec::new(),
            notes: Vec::new(),
            hosts: Vec::new(),
            proxy: format!("http://{user_info}{address}"),
            password,
            needs_bundle: false,
        }
    }

    /// Adds the hosts of a route. Wildcards that URL rewriting cannot express go to `wild` instead.
    fn add_route<'c>(
        &mut self,
        client: GitClient,
        route: &'c Route,
        bundle: &str,
        reverse: Option<&str>,
        wild: &mut Vec<&'c HostPattern>,
    ) {
        for host in &route.hosts {
            self.hosts.push(host.clone());
            for url in urls(host, route.ports.as_deref()) {
                match (reverse, route.tls) {
                    (Some(reverse), TlsMode::Terminate) if host.is_exact() => {
                        self.add_instead(client, &url, reverse);
                    }
                    (Some(_), TlsMode::Terminate) if wild.contains(&host) => {}
                    (Some(_), TlsMode::Terminate) => wild.push(host),
                    (_, tls) => {
                        self.add_proxy(
                            client,
                            &url,
                            host,
                            (tls == TlsMode::Terminate).then_some(bundle),
                        );
                    }
                }
            }
        }
    }

    fn add_instead(&mut self, client: GitClient, url: &ConfigUrl, reverse: &str) {
        let base = format!("{reverse}/{}/", url.segment);
        self.probes.push(ProbeUrl {
            url: format!("{}/", url.url),
            becomes: base.clone(),
        });
        self.add(Setting {
            clients: [client].into(),
            key: format!("url.{base}.insteadOf"),
            value: format!("{}/", url.url),
        });
        // `http_proxy` and `http.proxy` would send requests to this machine through a hop; an empty value disables them.
        self.set(client, format!("http.{reverse}.proxy"), "");
    }

    fn add_proxy(
        &mut self,
        client: GitClient,
        url: &ConfigUrl,
        host: &HostPattern,
        bundle: Option<&str>,
    ) {
        if host.is_exact() {
            let url = format!("{}/", url.url);
            self.probes.push(ProbeUrl {
                becomes: url.clone(),
                url,
            });
        }
        let proxy = self.proxy.clone();
        self.set(client, format!("http.{}.proxy", url.url), &proxy);
        // Plain HTTP has no certificate.
        if let Some(bundle) = bundle.filter(|_| url.url.starts_with("https:")) {
            self.needs_bundle = true;
            self.set(client, format!("http.{}.sslCAInfo", url.url), bundle);
        }
    }

    fn set(&mut self, client: GitClient, key: String, value: &str) {
        self.add(Setting {
            clients: [client].into(),
            key,
            value: value.to_owned(),
        });
    }

    /// Adds a setting, or its clients to an equal one: two patterns may become the same key.
    fn add(&mut self, setting: Setting) {
        let same = |known: &&mut Setting| known.key == setting.key && known.value == setting.value;
        match self.settings.iter_mut().find(same) {
            Some(known) => known.clients.extend(setting.clients),
            None => self.settings.push(setting),
        }
    }

    /// `text` for the terminal, without the password.
    pub(super) fn masked(&self, text: &str) -> String {
        match &self.password {
            Some(password) => text.replace(&format!(":{password}@"), ":***@"),
            None => text.to_owned(),
        }
    }

    /// True where a host uses the daemon by `http.<url>.proxy`.
    pub(super) fn uses_proxy(&self) -> bool {
        self.settings
            .iter()
            .any(|setting| setting.value == self.proxy)
    }
}

/// The URLs for a pattern in git's config; none for ports that do not speak HTTP.
fn urls(host: &HostPattern, ports: Option<&[u16]>) -> Vec<ConfigUrl> {
    let hosts = match host {
        HostPattern::Exact(host) => vec![host.to_string()],
        HostPattern::Wildcard(pattern) => {
            let whole: Vec<&str> = pattern
                .split('.')
                .map(|label| if label.contains('*') { "*" } else { label })
                .collect();
            let whole = whole.join(".");
            let deeper = pattern.starts_with("*.").then(|| format!("*.{whole}"));
            std::iter::once(whole).chain(deeper).collect()
        }
    };
    // A URL of git's config has one port: a route for all ports gets the usual one.
    let ports = ports.unwrap_or(&[443]);
    let mut urls = Vec::new();
    for host in hosts {
        for port in ports {
            urls.extend(match port {
                22 | 9418 => None,
                80 => Some((format!("http://{host}"), format!("{host}:80"))),
                443 => Some((format!("https://{host}"), host.clone())),
                port => Some((format!("https://{host}:{port}"), format!("{host}:{port}"))),
            });
        }
    }
    urls.into_iter()
        .map(|(url, segment)| ConfigUrl { url, segment })
        .collect()
}

/// The characters of user info in a URL that are not encoded (RFC 3986, section 2.3: unreserved).
const USER_INFO: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The name of an exact host.
pub(super) fn exact_name(host: &HostPattern) -> Option<&str> {
    match host {
        HostPattern::Exact(Host::Name(name)) => Some(name),
        HostPattern::Exact(Host::Ip(_)) | HostPattern::Wildcard(_) => None,
    }
}
