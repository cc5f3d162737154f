//! Advice on hops, addresses and names.

use super::{Advice, AdviceContext, RECURS};
use crate::model::{Fault, FaultKind, Leg, Stage, fault::HopLogin};

pub(super) fn hop_fails(context: AdviceContext<'_>) -> Advice {
    format!(
        "the connection to {} itself fails: use another hop of `[hops]`",
        context.hop()
    )
    .into()
}

/// For a refused connection, or a peer to which this machine has no network route.
pub(in crate::model) fn unreachable(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let AdviceContext { host, upstream, .. } = context;
    match (fault.leg, fault.stage) {
        (Leg::Client, _) => None,
        (Leg::Hop, _) => {
            let url = context.hop_url();
            let or = match context.is_environment() {
                true => "; where this network needs no proxy, start the daemon without it",
                false => "",
            };
            Some(format!("no proxy answers there: check {url}, and that the proxy runs{or}").into())
        }
        (Leg::Origin, stage) if stage <= Stage::Connecting => {
            Some(context.other_upstream(format!("{host} is unreachable through {upstream}: ")))
        }
        (Leg::Origin, _) => Some(context.other_upstream(RECURS)),
    }
}

pub(in crate::model) fn name_unknown(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let text = match fault.leg {
        Leg::Client => return None,
        Leg::Hop => format!("check the host name in {}", context.hop_url()),
        Leg::Origin if context.is_environment() => format!(
            "this machine cannot resolve {}: if this network requires a proxy, set HTTPS_PROXY of the daemon to it (`http://` or `socks5h://`), or add it to `[hops]`",
            context.host
        ),
        Leg::Origin => format!(
            "this machine cannot resolve {}: use a hop that resolves names itself (`http://` or `socks5h://`), or set `resolve` of {}",
            context.host,
            context.place()
        ),
    };
    Some(text.into())
}

pub(in crate::model) fn hop_refused(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let AdviceContext { host, port, .. } = context;
    if fault.leg != Leg::Hop {
        return None;
    }
    let hop = context.hop();
    let url = context.hop_url();
    let begin = match fault.kind {
        FaultKind::HopRefused(403) | FaultKind::SocksRefused(2)
            if fault.stage == Stage::Greeting && ![80, 443].contains(&port) =>
        {
            format!(
                "{hop} does not allow {host} or its port {port} (many proxies allow CONNECT to port 443 only): ask its owner, or "
            )
        }
        FaultKind::HopRefused(403) | FaultKind::SocksRefused(2) => {
            format!("{hop} does not allow {host}: ask its owner, or ")
        }
        // `ssh -D` and pproxy also do this where they cannot reach the target.
        FaultKind::TargetRefused => {
            format!("{hop} does not allow {host} or cannot reach it: ask its owner, or ")
        }
        FaultKind::HopRefused(400 | 405 | 501) if fault.stage == Stage::Greeting => {
            return Some(
                format!(
                    "the server there may be a web server and not a CONNECT proxy: check {url}"
                )
                .into(),
            );
        }
        FaultKind::HopRefused(300..=399) => {
            format!("log in to the page that {hop} redirects to, or ")
        }
        _ => format!("{hop} cannot reach {host}: "),
    };
    Some(context.other_upstream(begin))
}

pub(in crate::model) fn hop_authentication(
    fault: &Fault,
    context: AdviceContext<'_>,
) -> Option<Advice> {
    let FaultKind::HopAuthentication(login) = fault.kind else {
        return None;
    };
    let (url, hop) = (context.hop_url(), context.upstream);
    let environment = context.is_environment();
    let text = match login {
        HopLogin::OtherScheme => format!(
            "gitferry speaks only Basic: run cntlm or px, which log in to such a proxy, and put their address into {url}"
        ),
        HopLogin::Refused if environment => format!("check `user:password@` in {url}"),
        HopLogin::Refused => {
            format!("check `username` and `password_file` of `{hop}` in `[hops]`")
        }
        HopLogin::Missing if environment => format!(
            "put `user:password@` into {url}, or name the proxy in `[hops]` with `username` and `password_file` and use it in `upstreams`"
        ),
        HopLogin::Missing => {
            format!(
                "set `username` and `password_file` of `{hop}` in `[hops]`; if it is cntlm or px, check the password in its own config"
            )
        }
    };
    Some(text.into())
}

/// Some hops grant every request and connect afterwards; a path that intercepts TLS looks the same.
pub(super) fn no_bytes_after_grant(context: AdviceContext<'_>) -> Advice {
    let AdviceContext { host, upstream, .. } = context;
    context.other_upstream(format!(
        "{upstream} does not reach {host}, or something on the path to or behind {upstream} blocks TLS: "
    ))
}
