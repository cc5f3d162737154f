//! One host over one upstream: how the checks dial, and what one check leaves for another.

pub(super) mod http;
pub(super) mod name;
pub(super) mod portal;
pub(super) mod post;
pub(super) mod push;
pub(super) mod reach;
pub(super) mod tls;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use super::{
    CredentialSource, Outcome, RemoteProtocol, RemoteUrl, check_results::PathName, machine::Skew,
};
use crate::{
    config::{Dial, Hop, HttpVersion, MirrorCredentials, PeerTls, Route, Upstream, Via},
    io::{BoxIo, PathInfo, Tcp},
    model::{Fault, FaultKind, Host, Leg, Scheme, Target, advice::AdviceContext, fault::HopLogin},
    net::{
        self,
        dial::{AbsoluteForm, DialRequest, DialledConnection, trail::EMPTY_TRAIL},
    },
    sync::Mutex,
    tls::{Connector, Peer},
};

/// The limit of each step of a check: the whole run takes 20 s.
const STEP: Duration = Duration::from_secs(5);

/// What a check of a path returns; a fault becomes its outcome by [`Probe::outcome`].
type CheckResult = Result<Outcome, Fault>;

/// What all probes use.
pub(crate) struct ProbeSetup {
    /// Verified TLS.
    pub connector: Connector,
    /// The difference of a site's clock, once a site has answered.
    pub skew: watch::Sender<Skew>,
    /// The schemes for whose targets the daemon has credentials for the proxy of its environment, and this shell has none: the daemon does not
    /// show them.
    pub lacks_password: Vec<Scheme>,
}

/// One host over one upstream.
pub(crate) struct Probe {
    /// The host asked for.
    pub target: Target,
    /// The protocol.
    pub protocol: RemoteProtocol,
    /// The host's route, with limits of at most one step.
    pub route: Arc<Route>,
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Its position in the route; `None` for an alternative.
    pub place: Option<usize>,
    /// The parts of a push to rehearse.
    pub rehearsal: Option<Rehearsal>,
    /// Roots and TLS.
    pub setup: Arc<ProbeSetup>,
    evidence: Mutex<Evidence>,
}

/// The parts of a push to rehearse on a host.
#[derive(Clone)]
pub(crate) struct Rehearsal {
    /// The repository that the push would write to.
    pub repository: Option<RemoteUrl>,
    /// The LFS API that it would use.
    pub lfs: Option<RemoteUrl>,
    /// True where git-lfs gets the API's URL and a token from the ssh server.
    pub lfs_over_ssh: bool,
    /// True where the repository uses git-lfs.
    pub uses_lfs: bool,
    /// The user's credentials.
    pub credentials: Arc<CredentialSource>,
}

/// What one check leaves for another.
#[derive(Debug, Default)]
struct Evidence {
    /// The addresses of the peer: the origin or the hop.
    addresses: Vec<SocketAddr>,
    /// The certificates of the server, and whether they were verified.
    chain: Option<(Vec<CertificateDer<'static>>, Result<(), rustls::Error>)>,
    /// The code of the fault of the usual handshake.
    handshake: Option<String>,
    /// True where the certificate was not trusted.
    distrusted: bool,
    /// The kernel's last measurement.
    path: Option<PathInfo>,
}

/// A stream for requests, with TLS verified.
struct Stream {
    io: BoxIo,
    tcp: Tcp,
    absolute_form: Option<AbsoluteForm>,
}

impl Probe {
    /// A probe; it reduces the route's limits to those of one step.
    pub(crate) fn new(
        target: Target,
        protocol: RemoteProtocol,
        route: &Route,
        (upstream, place): (Arc<Upstream>, Option<usize>),
        setup: Arc<ProbeSetup>,
    ) -> Self {
        let dial = Dial {
            connect_timeout: route.dial.connect_timeout.min(STEP),
            greet_timeout: route.dial.greet_timeout.min(STEP),
            handshake_timeout: route.dial.handshake_timeout.min(STEP),
            ..route.dial
        };
        let route = Arc::new(Route {
            dial,
            ..route.clone()
        });
        Self {
            target,
            protocol,
            route,
            upstream,
            place,
            rehearsal: None,
            setup,
            evidence: Mutex::default(),
        }
    }

    /// Its names in the findings.
    pub(super) fn name(&self) -> PathName {
        let scheme = match self.protocol {
            RemoteProtocol::Requests(scheme) => scheme,
            RemoteProtocol::Ssh => Scheme::Https,
        };
        PathName {
            host: self.target.authority(scheme).into(),
            route: self.route.name.clone(),
            role: self.route.role.as_str(),
            upstream: self.upstream.label.clone(),
            place: self.place,
            direct: self.hop().is_none(),
            written: written(&self.upstream).into(),
        }
    }

    /// The server that gets the requests: the site or its mirror.
    fn origin(&self) -> (Scheme, &Target) {
        match (self.protocol, &self.upstream.mirror) {
            (RemoteProtocol::Requests(_), Some(mirror)) => (mirror.scheme, &mirror.target),
            (RemoteProtocol::Requests(scheme), None) => (scheme, &self.target),
            (RemoteProtocol::Ssh, _) => (Scheme::Https, &self.target),
        }
    }

    /// Adds a rehearsal, but only for an upstream of the route, and never for a mirror that gets no credentials.
    #[must_use]
    pub(super) fn with_rehearsal(mut self, rehearsal: Option<&Rehearsal>) -> Self {
        if self.place.is_some() && !self.is_withheld() {
            self.rehearsal = rehearsal.cloned();
        }
        self
    }

    /// The rehearsal, and the part of it that `part` takes.
    fn rehearsed(
        &self,
        part: impl Fn(&Rehearsal) -> Option<&RemoteUrl>,
    ) -> Option<(&Rehearsal, &RemoteUrl)> {
        let rehearsal = self.rehearsal.as_ref()?;
        Some((rehearsal, part(rehearsal)?))
    }

    fn is_tls(&self) -> bool {
        self.protocol != RemoteProtocol::Ssh && self.origin().0 == Scheme::Https
    }

    /// True for a mirror that gets no credentials: nothing is posted to it.
    fn is_withheld(&self) -> bool {
        let mirror = self.upstream.mirror.as_ref();
        mirror.is_some_and(|mirror| mirror.credentials == MirrorCredentials::Withhold)
    }

    fn hop(&self) -> Option<&Arc<Hop>> {
        let (scheme, target) = self.origin();
        net::dial::hop(&self.upstream.via, scheme, target)
    }

    /// True where the origin's name is looked up on this machine.
    fn looks_up_the_origin(&self) -> bool {
        let overridden = self.route.resolve.contains_key(&self.origin().1.host);
        overridden
            || match self.hop() {
                None => true,
                Some(hop) => !hop.kind.row().resolves,
            }
    }

    /// Dials `target` through `via` by this route's limits.
    async fn dial_to(
        &self,
        via: &Via,
        scheme: Scheme,
        target: &Target,
    ) -> Result<DialledConnection, Fault> {
        let attempt = DialRequest {
            target,
            scheme,
            route: &self.route,
            max_segment: self.route.dial.max_segment,
            progress: &|_| {},
            connector: &self.setup.connector,
            public_only: None,
            trail: &EMPTY_TRAIL,
        };
        net::dial::dial(via, &attempt).await
    }

    /// Connects to the origin, through the hop if there is one, without TLS.
    async fn dial(&self) -> Result<DialledConnection, Fault> {
        let (scheme, target) = self.origin();
        self.dial_to(&self.upstream.via, scheme, target).await
    }

    /// The same, with verified TLS where the scheme has it.
    async fn open(&self) -> Result<Stream, Fault> {
        let connection = self.dial().await?;
        let mut stream = Stream {
            io: connection.io,
            tcp: connection.tcp,
            absolute_form: connection.absolute_form,
        };
        if self.origin().0 == Scheme::Https {
            let peer_tls = self.route.peer_for(&self.upstream);
            let peer = self.peer(connection.peer, &peer_tls);
            stream.io = self.setup.connector.connect(stream.io, &peer).await?.io;
        }
        Ok(stream)
    }

    /// The origin at `address`, as the peer of a TLS handshake.
    fn peer<'a>(&'a self, address: SocketAddr, tls: &'a PeerTls) -> Peer<'a> {
        Peer {
            host: &self.origin().1.host,
            tls,
            http: HttpVersion::Http1,
            leg: Leg::Origin,
            address,
            deadline: self.route.dial.handshake_timeout,
        }
    }

    /// The outcome of a check.
    pub(super) fn outcome(&self, result: CheckResult) -> Outcome {
        result.unwrap_or_else(|fault| self.failed(&fault))
    }

    /// A fault as an outcome, with the advice of the log.
    fn failed(&self, fault: &Fault) -> Outcome {
        if self.lacks_password(fault) {
            return Outcome::unmeasured("password unknown")
                .detail("only the daemon has the password of the proxy: it does not show it")
                .advise("run `gitferry doctor` with the HTTPS_PROXY of the daemon")
                .fact(|facts| facts.lacks_password = true);
        }
        let host = self.origin().1.host.to_string();
        let context = AdviceContext {
            host: &host,
            port: self.origin().1.port,
            route: &self.route.name,
            upstream: &self.upstream.label,
            max_segment: self.route.dial.max_segment,
        };
        let mut outcome = Outcome::failed(fault.kind.to_string()).detail(fault.chain());
        outcome.code = Some(fault.code());
        outcome.advice = fault.advice(context).map(|advice| advice.text);
        outcome
    }

    /// True where the daemon would have sent the password that the hop asks for.
    fn lacks_password(&self, fault: &Fault) -> bool {
        self.setup.lacks_password.contains(&self.origin().0)
            && matches!(self.upstream.via, Via::Environment(_))
            && fault.kind == FaultKind::HopAuthentication(HopLogin::Missing)
    }

    fn evidence(&self) -> std::sync::MutexGuard<'_, Evidence> {
        self.evidence.lock()
    }

    /// True where the host is a name and not an address.
    fn has_name(&self) -> bool {
        matches!(self.origin().1.host, Host::Name(_))
    }
}

/// The upstream in the syntax of the config.
fn written(upstream: &Upstream) -> String {
    let lines = toml::to_string(upstream).unwrap_or_default();
    let keys: Vec<&str> = lines.lines().collect();
    format!("{{ {} }}", keys.join(", "))
}

/// `32 ms`, `1.4 s`.
fn shown(time: Duration) -> String {
    match time.as_millis() {
        0 => "1 ms".into(),
        ms @ 1..1000 => format!("{ms} ms"),
        ms => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
    }
}
