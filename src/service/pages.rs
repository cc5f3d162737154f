//! The daemon's own pages: what the fronts hand over, shown by `admin`.

use std::sync::Arc;

use hyper::Method;
use tokio::time::Instant;

use crate::{
    admin::{CircuitView, DaemonView, EnvironmentView, Page, UpstreamView, View},
    config::Hop,
    forward::{Answer, Forwarder, request::body::full},
    front::Pages,
    tls::certificate::{CERTIFICATE_FILE, CaCertificate},
    track::{metrics::OpenCircuits, redact},
};

/// Fills an `admin` view from a forwarder.
#[derive(Debug)]
pub(super) struct DaemonPages {
    started: Instant,
}

impl Default for DaemonPages {
    fn default() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Pages for DaemonPages {
    fn page(&self, forwarder: &Forwarder, method: &Method, path: &str) -> Answer {
        let view = || self.view(forwarder);
        let certificate = || {
            std::fs::read_to_string(forwarder.config.state_directory.join(CERTIFICATE_FILE)).ok()
        };
        Page::of(method, path)
            .answer(
                view,
                || daemon(forwarder),
                || metrics(forwarder),
                certificate,
            )
            .map(full)
    }
}

impl DaemonPages {
    fn view(&self, forwarder: &Forwarder) -> View {
        let now = Instant::now();
        let seconds = |since: Instant| now.saturating_duration_since(since).as_secs();
        let open = forwarder.shared.health.snapshot();
        let upstreams = forwarder
            .config
            .routes
            .iter()
            .chain([&forwarder.config.other_hosts])
            .flat_map(|route| {
                route
                    .upstreams
                    .iter()
                    .map(move |upstream| (route, upstream))
            })
            .map(|(route, upstream)| {
                let circuits = open.iter().filter(|condition| {
                    condition.route == route.name && condition.upstream == upstream.label
                });
                UpstreamView {
                    route: route.name.clone(),
                    upstream: upstream.label.clone(),
                    circuits: circuits
                        .map(|condition| CircuitView {
                            host: condition.host.clone(),
                            state: condition.state,
                            failures: condition.failures,
                            failed_s_ago: seconds(condition.last),
                            code: condition.code.clone(),
                        })
                        .collect(),
                }
            })
            .collect();
        View {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: seconds(self.started),
            listen: forwarder.config.listen.addresses.clone(),
            config: forwarder
                .config
                .file
                .as_ref()
                .map(|file| file.display().to_string()),
            tasks: forwarder.shared.tasks.running(),
            idle_connections: forwarder.idle_connections(),
            transfers: forwarder.shared.tracker.list(),
            upstreams,
            faults: forwarder.shared.tracker.faults(),
            stalls: forwarder.shared.tracker.stalls(),
        }
    }
}

fn daemon(forwarder: &Forwarder) -> DaemonView {
    let config = &forwarder.config;
    let certificate = CaCertificate::read(&config.state_directory).ok().flatten();
    let proxy = |hop: &Option<Arc<Hop>>| hop.as_ref().map(|hop| hop.url());
    DaemonView {
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
        },
    }
}

fn metrics(forwarder: &Forwarder) -> String {
    let shared = &forwarder.shared;
    let mut open = OpenCircuits::new();
    for condition in shared.health.snapshot() {
        let upstream = redact::text(&condition.upstream).into();
        *open.entry((condition.route, upstream)).or_default() += 1;
    }
    let running = shared.tracker.list().len();
    shared.tracker.metrics().render(running, &open)
}
