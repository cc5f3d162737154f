//! Dials that no exchange waits for: probes, spare connections, further attempts at a dead upstream, segments of a download.

use std::sync::Arc;

use crate::{
    config::{Config, HttpVersion, Route, Upstream},
    forward::{
        forwarder::Forwarder,
        upstream::attempt::{OriginStream, StreamUse, UpstreamDial, dial_once},
    },
    model::{Fault, Target, address::FakeNetwork},
    net::dial::trail::{EMPTY_TRAIL, Trail},
};

/// The purpose of a dial, and whether the address must be public.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probing {
    pub(crate) purpose: StreamUse,
    pub(crate) public_only: bool,
}

impl Probing {
    /// See [`UpstreamDial::public_only`].
    pub(crate) fn fake_networks(self, config: &Config) -> Option<&[FakeNetwork]> {
        self.public_only.then_some(&*config.reverse.fake_ip)
    }
}

/// A dial that no exchange waits for: it causes no log line, no circuit change and no retry.
pub(crate) struct BackgroundDial {
    pub(super) route: Arc<Route>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) target: Target,
    pub(super) probing: Probing,
    pub(super) max_segment: Option<u32>,
    pub(super) trail: Trail,
}

impl BackgroundDial {
    /// To `target` through `upstream`, without anything that an exchange has learned.
    pub(crate) fn new(
        route: &Arc<Route>,
        upstream: &Arc<Upstream>,
        target: &Target,
        probing: Probing,
    ) -> Self {
        Self {
            route: Arc::clone(route),
            upstream: Arc::clone(upstream),
            target: target.clone(),
            probing,
            max_segment: route.dial.max_segment,
            trail: EMPTY_TRAIL.clone(),
        }
    }

    /// Dials once; `http` limits the versions offered by ALPN.
    pub(crate) async fn dial_once(
        &self,
        forwarder: &Forwarder,
        http: HttpVersion,
    ) -> Result<OriginStream, Fault> {
        let dial = UpstreamDial {
            route: &self.route,
            upstream: &self.upstream,
            target: &self.target,
            purpose: self.probing.purpose,
            max_segment: self.max_segment,
            public_only: self.probing.fake_networks(&forwarder.config),
            trail: &self.trail,
            http,
            connector: &forwarder.connector,
        };
        dial_once(&dial, None).await
    }
}
