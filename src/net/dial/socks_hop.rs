//! SOCKS5 hops (RFC 1928, RFC 1929).
//!
//! With `socks5` gitferry resolves names, with `socks5h` the hop does. A route's override applies to both, and then the hop gets the
//! address. Of several addresses, the next one is requested where the hop cannot reach one.

mod codec;

use std::net::SocketAddr;

use tokio::time::timeout;

use self::codec::{Method, SocksReply};
use super::{
    DialRequest, DialledConnection, direct,
    greeting::{Greeting, MAX_ADDRESSES, is_address_specific, within},
    protocol,
};
use crate::{
    config::{GrantedTargets, Hop},
    model::{Fault, FaultKind, Host, Leg, Stage, Target, fault::HopLogin, secret::Credentials},
    net::resolve,
};

/// Connects to the hop and requests a connection to the attempt's target.
pub(crate) async fn dial(hop: &Hop, attempt: &DialRequest<'_>) -> Result<DialledConnection, Fault> {
    let mut last = None;
    for target in targets(hop, attempt).await? {
        match connect_through(hop, attempt, &target).await {
            Err(fault) if is_address_specific(&fault.kind) => last = Some(fault),
            result => return result,
        }
    }
    Err(last.unwrap_or_else(|| Fault::new(Leg::Hop, Stage::Greeting, FaultKind::Local)))
}

/// The requests to the hop, in order; never empty.
async fn targets(hop: &Hop, attempt: &DialRequest<'_>) -> Result<Vec<Target>, Fault> {
    let target = attempt.target;
    let overrides = attempt.overrides(&target.host);
    if hop.kind.row().resolves && overrides.is_empty() {
        return Ok(vec![target.clone()]);
    }
    let limit = attempt.route.dial.connect_timeout;
    let lookup = resolve::addresses(target, overrides, Leg::Origin, attempt.progress);
    let mut found = timeout(limit, lookup).await.unwrap_or_else(|_| {
        Err(
            Fault::new(Leg::Origin, Stage::Resolving, FaultKind::TimedOut)
                .peer(target)
                .detail(format!("no answer from the resolver within {limit:?}")),
        )
    })?;
    if let Some(fake) = attempt.public_only
        && overrides.is_empty()
    {
        found = resolve::public(&found, target, fake)?;
    }
    if overrides.is_empty() {
        // Whether this machine has an IPv6 route says nothing about the hop.
        found.sort_by_key(SocketAddr::is_ipv6);
    }
    let target = |address: SocketAddr| Target::new(Host::Ip(address.ip()), address.port());
    Ok(found.into_iter().take(MAX_ADDRESSES).map(target).collect())
}

async fn connect_through(
    hop: &Hop,
    attempt: &DialRequest<'_>,
    target: &Target,
) -> Result<DialledConnection, Fault> {
    let (tcp, peer) = direct::connect(attempt, &hop.target, &[], Leg::Hop).await?;
    (attempt.progress)(Stage::Greeting);
    let greeting =
        Greeting::new(Box::new(tcp.clone()), peer).with_secrets(password(hop.credentials.as_ref()));
    let limit = attempt.route.dial.greet_timeout;
    let greeted = within(
        limit,
        peer,
        greet(
            greeting,
            target,
            (hop.credentials.as_ref(), hop.pipeline),
            &hop.granted,
        ),
    );
    let greeting = tokio::select! {
        biased;
        greeted = greeted => match greeted {
            Ok(greeting) => greeting,
            Err(fault) if fault.is_hang_up() && hop.granted.is_empty() => {
                return Err(protocol::explain(fault, hop, attempt).await);
            }
            Err(fault) if hop.pipeline && fault.kind == FaultKind::TimedOut => {
                return Err(fault.detail(format!(
                    "the hop did not respond within {limit:?} to a request that came with the greeting: remove `pipeline`"
                )));
            }
            Err(fault) => return Err(fault),
        },
        // An HTTP hop waits for the end of a line.
        fault = protocol::detect_if_silent(hop, attempt, &tcp) => return Err(fault),
    };
    hop.granted.record_target(target);
    Ok(DialledConnection::new(greeting.into_tunnel(), tcp, peer))
}

/// The tunnel that a hop gives on an existing stream, for tests.
#[cfg(any(test, feature = "testing"))]
pub(crate) async fn greet_on(
    io: crate::io::BoxIo,
    peer: SocketAddr,
    target: &Target,
    credentials: &Credentials,
) -> Result<crate::io::BoxIo, Fault> {
    let greeting = Greeting::new(io, peer).with_secrets(password(Some(credentials)));
    let greeted = greet(
        greeting,
        target,
        (Some(credentials), false),
        &GrantedTargets::default(),
    )
    .await?;
    Ok(greeted.into_tunnel())
}

async fn greet(
    mut greeting: Greeting,
    target: &Target,
    (credentials, pipeline): (Option<&Credentials>, bool),
    granted: &GrantedTargets,
) -> Result<Greeting, Fault> {
    let Some(request) = codec::request(target) else {
        return Err(greeting
            .fault(FaultKind::NameUnknown)
            .detail("the name is too long for SOCKS5"));
    };
    let hello = codec::hello(credentials.is_some());
    if pipeline {
        greeting.send_all(&[hello, &request].concat()).await?;
    } else {
        greeting.send_all(hello).await?;
    }
    match receive(&mut greeting, codec::method).await? {
        Method::Open => {}
        Method::Password => authenticate(&mut greeting, credentials).await?,
        Method::Unacceptable => {
            let login = match credentials {
                Some(_) => HopLogin::OtherScheme,
                None => HopLogin::Missing,
            };
            return Err(login_fault(&greeting, login, login.cause()));
        }
    }
    greeting.name_target(granted, target);
    if !pipeline {
        greeting.send_all(&request).await?;
    }
    match receive(&mut greeting, codec::reply).await? {
        SocksReply::Granted => Ok(greeting),
        SocksReply::Refused(code) => Err(greeting
            .fault(FaultKind::SocksRefused(code))
            .detail(codec::meaning(code))),
    }
}

fn password(credentials: Option<&Credentials>) -> Option<String> {
    credentials.map(|credentials| credentials.password.expose().to_owned())
}

async fn authenticate(
    greeting: &mut Greeting,
    credentials: Option<&Credentials>,
) -> Result<(), Fault> {
    let Some(credentials) = credentials else {
        let login = HopLogin::Missing;
        return Err(login_fault(greeting, login, login.cause()));
    };
    let login = HopLogin::Refused;
    let Some(message) = codec::credentials(credentials) else {
        let cause = "the user name or password is too long for SOCKS5";
        return Err(login_fault(greeting, login, cause));
    };
    greeting.send_all(&message).await?;
    match receive(greeting, codec::accepted).await? {
        true => Ok(()),
        false => Err(login_fault(greeting, login, login.cause())),
    }
}

fn login_fault(greeting: &Greeting, login: HopLogin, cause: &'static str) -> Fault {
    let kind = FaultKind::HopAuthentication(login);
    greeting.fault(kind).detail(cause)
}

/// Waits until `decode` has a whole message, and removes its bytes.
async fn receive<T>(
    greeting: &mut Greeting,
    decode: impl Fn(&[u8]) -> Result<Option<(T, usize)>, codec::MalformedReply>,
) -> Result<T, Fault> {
    loop {
        match decode(&greeting.received) {
            Ok(Some((message, length))) => {
                let _ = greeting.received.split_to(length);
                return Ok(message);
            }
            Ok(None) => greeting.receive().await?,
            Err(codec::MalformedReply) => return Err(greeting.bad_response()),
        }
    }
}
