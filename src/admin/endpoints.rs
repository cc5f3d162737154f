//! The table of `/-/`: every address and its content. The API's index and the manual are generated from it.

use serde::Serialize;

/// An address below `/-/`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Endpoint {
    /// The path; `{id}` is a transfer's number.
    pub path: &'static str,
    /// Its content, in one sentence.
    pub summary: &'static str,
    /// The media type of the response.
    pub media: &'static str,
    /// The parameters of its query.
    pub parameters: &'static [Parameter],
    /// The page.
    #[serde(skip)]
    pub page: EndpointPage,
}

/// A parameter of a query.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub summary: &'static str,
}

/// The page of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointPage {
    /// The status page.
    Status,
    /// A file of the page.
    Asset(Asset),
    /// Metrics for Prometheus.
    Metrics,
    /// The CA's certificate.
    Certificate,
    /// The health check.
    Health,
    /// The index of the API.
    Index,
    /// The identity of the daemon.
    Daemon,
    /// The config in force.
    Config,
    /// The overview.
    Overview,
    /// Running transfers.
    Transfers,
    /// One transfer.
    Transfer(u64),
    /// Finished transfers.
    History,
    /// One finished transfer.
    FinishedTransfer(u64),
    /// Upstreams.
    Upstreams,
    /// Faults.
    Faults,
    /// Stalls.
    Stalls,
    /// Totals per day.
    Totals,
    /// A stream of changes.
    Events,
    /// An unknown path.
    Unknown,
}

/// A file that belongs to the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asset {
    /// `page.css`
    Style,
    /// `page.js`
    Script,
    /// `icon.svg`
    Icon,
}

const JSON: &str = "application/json";
const LIMIT: Parameter = Parameter {
    name: "limit",
    summary: "maximum number of transfers, 1 to 1000 (default 100)",
};

/// Every address.
pub(crate) const ENDPOINTS: &[Endpoint] = &[
    get("/-/", "The status page, live where scripts run.", "text/html; charset=utf-8", EndpointPage::Status),
    get("/-/page.css", "The style of the status page.", "text/css; charset=utf-8", EndpointPage::Asset(Asset::Style)),
    get("/-/page.js", "The script of the status page.", "text/javascript; charset=utf-8", EndpointPage::Asset(Asset::Script)),
    get("/-/icon.svg", "The icon of the status page.", "image/svg+xml", EndpointPage::Asset(Asset::Icon)),
    get("/-/healthz", "`ok` while the daemon is running.", "text/plain; charset=utf-8", EndpointPage::Health),
    get("/-/metrics", "Metrics for Prometheus; OpenMetrics where `Accept` asks for it.", "text/plain; version=0.0.4; charset=utf-8", EndpointPage::Metrics),
    get("/-/ca.pem", "The certificate of the local CA. Its key is never served.", "application/x-pem-file", EndpointPage::Certificate),
    get("/-/api/", "This table.", JSON, EndpointPage::Index),
    get("/-/api/daemon", "The daemon: version, process, config, state directory and CA fingerprint.", JSON, EndpointPage::Daemon),
    get("/-/api/config", "The config in force without secrets, as `gitferry check` shows it.", JSON, EndpointPage::Config),
    get("/-/api/overview", "A snapshot: verdict, running and recent transfers, upstreams, faults, stalls and today's totals.", JSON, EndpointPage::Overview)
        .with(&[LIMIT]),
    get("/-/status", "The same as /-/api/overview.", JSON, EndpointPage::Overview).with(&[LIMIT]),
    get("/-/api/transfers", "Running transfers, oldest first, in pages: `next` is the `after` of the next page.", JSON, EndpointPage::Transfers)
        .with(&[LIMIT, Parameter { name: "after", summary: "start after the transfer with this number" }]),
    get("/-/api/transfers/{id}", "One transfer, running or finished: stages, attempts, stalls and the kernel's view of its sockets.", JSON, EndpointPage::Transfer(0)),
    get("/-/api/history", "Finished transfers, newest first, in pages: `next` is the `before` of the next page.", JSON, EndpointPage::History)
        .with(&[
            LIMIT,
            Parameter { name: "before", summary: "start before the transfer with this number" },
            Parameter { name: "host", summary: "only hosts, with their port, that contain this text" },
            Parameter { name: "since", summary: "only transfers that ended since then: 90s, 15m, 2h, 3d, or a time as the log writes it" },
            Parameter { name: "failed", summary: "1: only transfers that failed or that the site refused" },
        ]),
    get("/-/api/history/{id}", "One finished transfer.", JSON, EndpointPage::FinishedTransfer(0)),
    get("/-/api/upstreams", "Every upstream of every route, with its health and open circuits.", JSON, EndpointPage::Upstreams),
    get("/-/api/faults", "The last 50 faults, newest first.", JSON, EndpointPage::Faults),
    get("/-/api/stalls", "The last 50 stalls, newest first.", JSON, EndpointPage::Stalls),
    get("/-/api/totals", "Totals per route and day for the last 31 days (UTC).", JSON, EndpointPage::Totals),
    get("/-/api/events", "Server-sent events: an overview, then the changed fields of it once a second.", "text/event-stream", EndpointPage::Events)
        .with(&[LIMIT]),
];

const fn get(
    path: &'static str,
    summary: &'static str,
    media: &'static str,
    page: EndpointPage,
) -> Endpoint {
    Endpoint {
        path,
        summary,
        media,
        parameters: &[],
        page,
    }
}

impl Endpoint {
    const fn with(mut self, parameters: &'static [Parameter]) -> Self {
        self.parameters = parameters;
        self
    }
}

impl EndpointPage {
    /// The page of a path, and its media type.
    pub(crate) fn of(path: &str) -> (Self, &'static str) {
        if let Some(found) = ENDPOINTS.iter().find(|it| it.path == path) {
            return (found.page, found.media);
        }
        let id = |prefix| {
            path.strip_prefix(prefix)
                .and_then(|id: &str| id.parse().ok())
        };
        if let Some(id) = id("/-/api/transfers/") {
            return (Self::Transfer(id), JSON);
        }
        if let Some(id) = id("/-/api/history/") {
            return (Self::FinishedTransfer(id), JSON);
        }
        (Self::Unknown, JSON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_the_table_is_served() {
        for endpoint in ENDPOINTS {
            let path = endpoint.path.replace("{id}", "0");
            assert_eq!(EndpointPage::of(&path).0, endpoint.page, "{path}");
            assert!(endpoint.summary.ends_with('.'), "{path}");
        }
        assert_eq!(
            EndpointPage::of("/-/api/transfers/7").0,
            EndpointPage::Transfer(7)
        );
        for path in ["/-/api", "/-/x", "/-/api/transfers/", "/-/api/history/-1"] {
            assert_eq!(EndpointPage::of(path).0, EndpointPage::Unknown, "{path}");
        }
    }
}
