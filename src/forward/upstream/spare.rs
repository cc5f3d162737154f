//! Connections opened before their request arrives, because it is almost certain to come.
//!
//! No exchange waits for them. Where opening fails, there is no fault, no circuit change and only a debug log line; the request dials
//! itself.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use crate::forward::{
    forwarder::Forwarder,
    upstream::{
        attempt::StreamUse,
        background_dial::{BackgroundDial, Probing},
        destination::Destination,
        pool::{ConnectionInfo, Key, RECENT},
        send,
    },
};
use crate::{
    config::MirrorCredentials,
    model::{Scheme, Target, TlsMode},
};

/// What is needed to open one.
pub(crate) struct SpareDial {
    pub(crate) key: Arc<Key>,
    pub(crate) dial: BackgroundDial,
}

impl SpareDial {
    /// A spare to a host that a response refers the client to, under the rules of CONNECT: `None` unless a route names the host and terminates
    /// its TLS. `reverse` is true where the client came through the reverse front.
    pub(crate) fn to_named(forwarder: &Forwarder, target: &Target, reverse: bool) -> Option<Self> {
        let config = &forwarder.config;
        if !config.has_route(target) || !forwarder.shared.health.all_closed() {
            return None;
        }
        let route = forwarder.admit(target).ok()?;
        let upstream = route.upstreams.first()?;
        let mirror = upstream.mirror.as_ref();
        let trusted = mirror.is_none_or(|mirror| {
            mirror.credentials == MirrorCredentials::Pass && !forwarder.is_own(&mirror.target)
        });
        if route.tls != TlsMode::Terminate || !trusted {
            return None;
        }
        let probing = Probing {
            purpose: StreamUse::Requests(Scheme::Https),
            public_only: reverse && config.needs_public_address(target),
        };
        let to = Destination::of(Scheme::Https, target, Some(upstream));
        let key = Key {
            route: route.name.clone(),
            public_only: probing.public_only,
            upstream: upstream.label.clone(),
            scheme: to.scheme,
            target: to.target,
            bound_to: None,
        };
        Some(Self {
            key: Arc::new(key),
            dial: BackgroundDial::new(&route, upstream, target, probing),
        })
    }

    /// Opens one in the background once the connection described by `info` is nearly too old for its next request, unless that request has
    /// arrived.
    pub(crate) fn open_in_place_of(self, info: Arc<ConnectionInfo>, forwarder: Arc<Forwarder>) {
        let (shared, now) = (forwarder.shared.clone(), Instant::now());
        shared.tasks.clone().spawn(async move {
            tokio::select! {
                () = sleep_until(now + RECENT / 2) => {}
                () = shared.shutdown.drained() => return,
            }
            if forwarder.pool.is_idle_since(&self.key, &info, now) {
                self.open(forwarder);
            }
        });
    }

    /// Opens one in the background, unless there are enough.
    pub(crate) fn open(self, forwarder: Arc<Forwarder>) {
        let Self { key, dial } = self;
        let Some(opening) = forwarder.pool.open_spare(&key) else {
            return;
        };
        let shared = forwarder.shared.clone();
        shared.tasks.clone().spawn(async move {
            let opening_http = async {
                let stream = dial.dial_once(&forwarder, dial.route.http).await?;
                send::open(&forwarder, stream).await
            };
            let opened = tokio::select! {
                opened = opening_http => opened,
                () = shared.shutdown.drained() => return,
            };
            match opened {
                Ok((sender, info)) => opening.insert(sender, info),
                Err(fault) => tracing::debug!(%fault, "spare connection failed"),
            }
        });
    }
}
