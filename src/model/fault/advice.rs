//! The advice for a fault: a guess, separate from the cause, that names a key or a command.
//!
//! One function per kind of fault, or per group of kinds with one remedy; `fault::table` maps kinds to functions. No text ends with a full
//! stop.

mod hop;
mod tls;

use super::{Denial, Fault, FaultKind};
use crate::model::{
    Leg, Stage,
    advice::{Advice, AdviceContext},
    stall,
};
pub(super) use hop::{hop_authentication, hop_refused, name_unknown, unreachable};
use hop::{hop_fails, no_bytes_after_grant};
pub(super) use tls::{name_mismatch, no_tls, out_of_date, unknown_issuer};

pub(super) fn none(_: &Fault, _: AdviceContext<'_>) -> Option<Advice> {
    None
}

/// A reset or an early end.
pub(super) fn broken(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let AdviceContext {
        host,
        port,
        upstream,
        ..
    } = context;
    match (fault.leg, fault.stage) {
        (Leg::Client, Stage::Handshaking) => Some(distrusted(host)),
        (Leg::Client, _) => None,
        (Leg::Hop, Stage::Handshaking) => Some(no_bytes_after_grant(context)),
        (Leg::Hop, _) => Some(hop_fails(context)),
        (Leg::Origin, Stage::Handshaking) => {
            let what = if port == 22 { "ssh" } else { "TLS" };
            Some(context.other_upstream(format!(
                "something on the path through {upstream} blocks {what} to {host}: "
            )))
        }
        (Leg::Origin, _) => Some(context.other_upstream(RECURS)),
    }
}

/// gitferry offers HTTP/2 only where `http` of a route is set, so that key is the remedy.
pub(super) fn http2(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    (fault.leg == Leg::Origin).then(|| {
        let place = context.place();
        format!("{RECURS}set `http = \"1.1\"` of {place}").into()
    })
}

const RECURS: &str = "if this happens again, ";

fn distrusted(host: &str) -> Advice {
    format!(
        "the client does not trust gitferry's CA for {host}: run `gitferry setup all`, or give the client the file that `gitferry ca path --bundle` prints"
    )
    .into()
}

pub(super) fn timed_out(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let AdviceContext { host, upstream, .. } = context;
    match (fault.leg, fault.stage) {
        (Leg::Client, _) => None,
        // The name server does not answer.
        (_, Stage::Resolving) => name_unknown(fault, context),
        (Leg::Hop, Stage::Greeting) => Some(context.other_upstream(format!(
            "{} accepted the request for {host} and did not connect: ",
            context.hop()
        ))),
        (Leg::Hop, Stage::Handshaking) => Some(no_bytes_after_grant(context)),
        (Leg::Hop, _) => Some(hop_fails(context)),
        (Leg::Origin, Stage::Handshaking) => Some(context.other_upstream(format!(
            "something on the path through {upstream} blocks TLS to {host}: "
        ))),
        (Leg::Origin, stage) if stage <= Stage::Connecting => {
            Some(context.other_upstream(format!("{host} is unreachable through {upstream}: ")))
        }
        (Leg::Origin, _) => Some(context.other_upstream(RECURS)),
    }
}

/// The network changed. The next request uses a new connection, which shows more about the path.
pub(super) fn stale_connection(fault: &Fault, _: AdviceContext<'_>) -> Option<Advice> {
    (fault.leg != Leg::Client).then(|| {
        "the network changed while the connection was idle: repeat the command, which gets a new connection".into()
    })
}

/// Used where the stall's own advice, which compares with the sibling route, is not available.
pub(super) fn stalled(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let FaultKind::Stalled(verdict) = fault.kind else {
        return None;
    };
    (fault.leg != Leg::Client).then(|| {
        let about = stall::StallContext {
            host: context.host,
            route: context.route,
            upstream: context.upstream,
            max_segment: context.max_segment,
            sibling: None,
        };
        stall::advice(verdict, about)
    })
}

pub(super) fn answered(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let FaultKind::Answered(status) = fault.kind else {
        return None;
    };
    (fault.leg == Leg::Origin).then(|| {
        format!(
            "{} itself answers {status} through {}: this machine is not the cause, see the site's status page",
            context.host, context.upstream
        )
        .into()
    })
}

pub(super) fn bad_answer(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let AdviceContext { host, upstream, .. } = context;
    match (fault.leg, fault.stage) {
        (Leg::Client, _) => None,
        (Leg::Hop, _) => {
            let url = context.hop_url();
            Some(format!("the server there does not speak the protocol of {url}: is it http, https or socks5?").into())
        }
        (Leg::Origin, Stage::Handshaking) => Some(context.other_upstream(format!(
            "the server that answers for {host} through {upstream} does not speak TLS; a captive portal does that: log in to it, or "
        ))),
        (Leg::Origin, _) => Some(context.other_upstream(RECURS)),
    }
}

pub(super) fn credentials_withheld(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    (fault.leg == Leg::Origin).then(|| {
        format!(
            "if you trust the mirror with your credentials, set `credentials = \"pass\"` beside `mirror` in {}; if not, add an upstream to {} itself",
            context.place(),
            context.host
        )
        .into()
    })
}

pub(super) fn not_http(_: &Fault, _: AdviceContext<'_>) -> Option<Advice> {
    Some("write `http://` before gitferry's address in the client's proxy setting, also for https URLs; `gitferry setup` does it".into())
}

pub(super) fn unauthorized(_: &Fault, _: AdviceContext<'_>) -> Option<Advice> {
    Some("give the client the `username` and password of `[listen]`".into())
}

pub(super) fn too_many_guesses(_: &Fault, _: AdviceContext<'_>) -> Option<Advice> {
    Some("stop the client that sends the wrong password, and try again after a minute".into())
}

pub(super) fn request_loop(_: &Fault, _: AdviceContext<'_>) -> Option<Advice> {
    Some("a proxy setting in gitferry's environment or config points back at gitferry: `gitferry check` shows it".into())
}

pub(super) fn too_large(fault: &Fault, _: AdviceContext<'_>) -> Option<Advice> {
    (fault.leg == Leg::Client).then(|| "raise `max_head` of `[listen]`".into())
}

pub(super) fn shutdown(_: &Fault, _: AdviceContext<'_>) -> Option<Advice> {
    Some("repeat the command when gitferry runs again; a longer `grace` of `[shutdown]` lets more transfers finish".into())
}

pub(super) fn full(_: &Fault, _: AdviceContext<'_>) -> Option<Advice> {
    Some("if all these clients are yours, raise `max_connections` of `[listen]`".into())
}

pub(super) fn local(_: &Fault, _: AdviceContext<'_>) -> Option<Advice> {
    Some("see the cause: gitferry has no descriptors or memory left, or cannot read its state directory".into())
}

/// What to change where a rule denies too much.
pub(super) fn denied(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let FaultKind::Denied(denial) = fault.kind else {
        return None;
    };
    let AdviceContext { host, port, .. } = context;
    let place = context.place();
    let text = match denial {
        Denial::Route => format!(
            "to allow {host}, change `tls` of {place}; `gitferry check` shows the route"
        ),
        Denial::Upstream => format!("add {host} itself to `upstreams` of {place}"),
        Denial::Port => format!("add {port} to `ports` of `[other_hosts]`"),
        Denial::NotServed => format!("add \"{host}\" to `allow` of `[reverse]`"),
        Denial::Browser => "use `git`, or open the site itself in the browser".into(),
        Denial::ForeignName => {
            "use the address of `[listen]`, or localhost, in the client's URL".into()
        }
        Denial::LocalUser => {
            "add the user to `users` of `[listen]`, or one of their groups to `groups`".into()
        }
        Denial::UnknownUser => {
            "keep the connection open until the response has arrived; a user of another user namespace needs a daemon of their own".into()
        }
        Denial::Private => {
            format!("to allow the private host {host}, add it to `allow` of `[reverse]`")
        }
        Denial::FakeIp => format!(
            "add \"198.18.0.0/15\" (or \"fc00::/18\" for IPv6) to `fake_ip` of `[reverse]`, or {host} itself to `allow`"
        ),
    };
    Some(text.into())
}

#[cfg(test)]
mod tests;
