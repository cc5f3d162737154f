//! TLS with several ClientHellos, and the certificate of the server.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

use super::{CheckResult, Probe, shown};
use crate::{
    doctor::{Outcome, State, certificate as parsed},
    model::{
        Fault, Leg, Stage, classify,
        untrusted::{self, Untrusted},
    },
    tls::inspect::{Hello, Inspection},
};

pub(in crate::doctor) async fn usual(probe: &Probe) -> CheckResult {
    if !probe.is_tls() {
        return Ok(Outcome::skipped(""));
    }
    let begun = Instant::now();
    let seen = hello(probe, Hello::Usual).await;
    let seen = seen.inspect_err(|fault| probe.evidence().handshake = Some(fault.code()))?;
    let version = seen.version.unwrap_or("TLS").replace("TLSv1_", "TLS 1.");
    probe.evidence().chain = Some((seen.chain, seen.verified));
    let took = shown(begun.elapsed());
    Ok(Outcome::passed(format!("{version}, {took}")))
}

pub(in crate::doctor) async fn small(probe: &Probe) -> CheckResult {
    variant(probe, Hello::Small).await
}

pub(in crate::doctor) async fn large(probe: &Probe) -> CheckResult {
    let result = variant(probe, Hello::Large).await;
    // Only tunnelled clients send such a hello, not gitferry itself.
    Ok(result.unwrap_or_else(|fault| {
        let mut outcome = probe.failed(&fault);
        if outcome.state == State::Failed {
            outcome.state = State::Warned;
        }
        outcome
    }))
}

pub(in crate::doctor) async fn nameless(probe: &Probe) -> CheckResult {
    if !probe.has_name() {
        return Ok(Outcome::skipped(""));
    }
    let result = variant(probe, Hello::Nameless).await;
    // Many servers refuse a hello without a name with an alert: that says nothing about the path.
    Ok(result.unwrap_or_else(|fault| Outcome {
        state: State::Unmeasured,
        advice: None,
        ..probe.failed(&fault)
    }))
}

async fn variant(probe: &Probe, which: Hello) -> CheckResult {
    if !probe.is_tls() {
        return Ok(Outcome::skipped(""));
    }
    let begun = Instant::now();
    hello(probe, which).await?;
    Ok(Outcome::passed(shown(begun.elapsed())))
}

async fn hello(probe: &Probe, hello: Hello) -> Result<Inspection, Fault> {
    let connection = probe.dial().await?;
    let peer_tls = probe.route.peer_for(&probe.upstream);
    let peer = probe.peer(connection.peer, &peer_tls);
    let connector = &probe.setup.connector;
    connector.inspect(connection.io, &peer, hello).await
}

pub(in crate::doctor) async fn certificate(probe: &Probe) -> CheckResult {
    let Some((chain, verified)) = probe.evidence().chain.take() else {
        return Ok(Outcome::skipped(""));
    };
    let shown = chain.first().and_then(parsed::read);
    let outcome = match verified {
        Ok(()) => good(shown.as_ref(), now()),
        Err(error) => {
            probe.evidence().distrusted = true;
            bad(probe, &error, shown.as_ref(), &chain)
        }
    };
    Ok(outcome.fact(|facts| {
        facts.validity = shown.as_ref().map(|it| (it.not_before, it.not_after));
        facts.issuer = shown.map(|shown| shown.issuer);
    }))
}

fn good(shown: Option<&parsed::CertificateSummary>, now: i64) -> Outcome {
    let Some(shown) = shown else {
        return Outcome::passed("verified");
    };
    let days = (shown.not_after - now) / 86_400;
    let words = format!("by {}", shown.issuer);
    match parsed::middlebox(&shown.issuer) {
        Some(name) => Outcome::warned(words)
            .detail(format!("TLS is inspected by {name}, and its CA is trusted")),
        None if days < 3 => Outcome::warned(words)
            .detail(format!("the certificate expires within {} days", days + 1)),
        None => Outcome::passed(words),
    }
}

fn bad(
    probe: &Probe,
    error: &rustls::Error,
    shown: Option<&parsed::CertificateSummary>,
    chain: &[CertificateDer<'_>],
) -> Outcome {
    let kind = classify::tls(error);
    let fault = Fault::new(Leg::Origin, Stage::Handshaking, kind).peer(probe.origin().1);
    let untrusted = untrusted::reason(error);
    if let Some(reason @ Untrusted::OwnRoot) = untrusted {
        return probe.failed(&fault.source(reason.clone()));
    }
    let mut outcome = probe.failed(&fault);
    let Some(shown) = shown else {
        return outcome.detail(format!("{error}; {} certificates were sent", chain.len()));
    };
    let who = match parsed::middlebox(&shown.issuer) {
        Some(name) => format!("signed by {}, which is {name}", shown.issuer),
        None => format!("signed by {}", shown.issuer),
    };
    outcome.detail = Some(format!(
        "the certificate is for {}, {who}, valid {} to {}",
        shown.names,
        parsed::day(shown.not_before),
        parsed::day(shown.not_after)
    ));
    outcome
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}
