//! The sentence for the person: a guess, apart from the cause, that names a key or a command.
//!
//! One function per kind of fault, or per group of kinds with one remedy; `fault::table` says which. No text ends with a full stop.

use super::{Denial, Fault, FaultKind, Leg, Stage, fault::HopLogin, stall};

/// What to do about a fault or a stall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// The sentence.
    pub text: String,
    /// What it comes to, for programs.
    pub remedy: Remedy,
}

/// What an advice comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Another upstream for the route: a report that knows a working one names it.
    OtherUpstream,
    /// What the sentence says.
    Other,
}

impl Remedy {
    /// The name in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::OtherUpstream => "other-upstream",
            Self::Other => "other",
        }
    }
}

impl Advice {
    /// `begin`, and then another upstream for this route.
    pub(crate) fn other_upstream(begin: &str, route: &str) -> Self {
        let text = format!(
            "{begin}add another upstream to `upstreams` of route `{route}`, such as a hop of `[hops]`"
        );
        Self {
            text,
            remedy: Remedy::OtherUpstream,
        }
    }
}

impl<T: Into<String>> From<T> for Advice {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            remedy: Remedy::Other,
        }
    }
}

/// What a fault happened in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The host asked for.
    pub host: &'a str,
    /// The port asked for.
    pub port: u16,
    /// The route's name.
    pub route: &'a str,
    /// The upstream's label.
    pub upstream: &'a str,
}

impl Context<'_> {
    /// `begin`, and then the usual remedy.
    fn other_upstream(&self, begin: impl AsRef<str>) -> Advice {
        Advice::other_upstream(begin.as_ref(), self.route)
    }

    /// True for the upstream of the daemon's own environment, which no `[hops]` can describe.
    fn is_environment(&self) -> bool {
        self.upstream.split(' ').next() == Some("environment")
    }

    /// Where the hop's URL is written.
    fn hop_url(&self) -> String {
        if self.is_environment() {
            "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY of the daemon's environment (`gitferry check` shows it)".into()
        } else {
            format!("`url` of `{}` in `[hops]`", self.upstream)
        }
    }
}

pub(super) fn none(_: &Fault, _: Context<'_>) -> Option<Advice> {
    None
}

/// A reset or an early end.
pub(super) fn broken(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let Context {
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

/// Some hops grant every request and connect then; a path that ends TLS looks the same.
fn no_bytes_after_grant(context: Context<'_>) -> Advice {
    let Context { host, upstream, .. } = context;
    context.other_upstream(format!(
        "{upstream} does not reach {host}, or something on the path through it blocks TLS: "
    ))
}

const RECURS: &str = "if this happens again, ";

fn distrusted(host: &str) -> Advice {
    format!(
        "the client does not trust gitferry's CA for {host}: run `gitferry setup all`, or give the client the file that `gitferry ca path --bundle` prints"
    )
    .into()
}

fn hop_fails(context: Context<'_>) -> Advice {
    format!(
        "the connection to {} itself fails: use another hop of `[hops]`",
        context.upstream
    )
    .into()
}

pub(super) fn timed_out(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let Context { host, upstream, .. } = context;
    match (fault.leg, fault.stage) {
        (Leg::Client, _) => None,
        (Leg::Hop, Stage::Greeting) => Some(context.other_upstream(format!(
            "{upstream} accepted the request for {host} and did not connect: "
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

/// The network changed; a new connection is made for the next request, and tells more of the path.
pub(super) fn stale_connection(fault: &Fault, _: Context<'_>) -> Option<Advice> {
    (fault.leg != Leg::Client).then(|| {
        "the network changed while the connection was idle: repeat the command, which gets a new connection".into()
    })
}

/// Where the stall's own advice, which knows the sibling route, is not at hand.
pub(super) fn stalled(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let FaultKind::Stalled(verdict) = fault.kind else {
        return None;
    };
    (fault.leg != Leg::Client).then(|| {
        let about = stall::StallContext {
            host: context.host,
            route: context.route,
            upstream: context.upstream,
            sibling: None,
        };
        stall::advice(verdict, about)
    })
}

/// An alert, a bad certificate, or no version in common.
pub(super) fn no_tls(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let Context { host, upstream, .. } = context;
    match (fault.leg, &fault.kind) {
        (Leg::Client, FaultKind::Alert(_)) if fault.stage == Stage::Handshaking => {
            Some(distrusted(host))
        }
        (Leg::Client, _) => None,
        (Leg::Hop, kind) if kind.is_about_client_certificate() => {
            let begin = format!("{upstream} wants a client certificate that it knows: ");
            let keys = "`client_certificate` and `client_key`";
            let text = match context.is_environment() {
                true => format!("{begin}write it into `[hops]`, with {keys} beside its `url`"),
                false => format!("{begin}set {keys} beside the `url` of `{upstream}` in `[hops]`"),
            };
            Some(text.into())
        }
        (Leg::Hop, _) => Some(hop_fails(context)),
        (Leg::Origin, kind) if kind.is_about_client_certificate() => Some(
            format!(
                "{host} requires a client certificate that it trusts: set `client_certificate` and `client_key` of route `{}`",
                context.route
            )
            .into(),
        ),
        (Leg::Origin, FaultKind::Alert(_) | FaultKind::NoCommonTls) => Some(
            format!(
                "{host} may support only TLS that gitferry does not (1.0, 1.1, RSA key exchange, CBC): set `tls = \"tunnel\"` of route `{}`, so that the client speaks TLS itself",
                context.route
            )
            .into(),
        ),
        (Leg::Origin, _) => Some(context.other_upstream(format!(
            "{host} and gitferry do not agree on TLS through {upstream}: "
        ))),
    }
}

pub(super) fn out_of_date(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let text = match fault.leg {
        Leg::Client => return None,
        Leg::Hop => format!(
            "check this machine's clock; if it is correct, the owner of {} must renew its certificate",
            context.upstream
        ),
        Leg::Origin => format!(
            "check this machine's clock; if it is correct, the owner of {} must renew its certificate",
            context.host
        ),
    };
    Some(text.into())
}

pub(super) fn unknown_issuer(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let text = match fault.leg {
        Leg::Client => return None,
        Leg::Hop => format!(
            "add the CA of the proxy in {} to `extra_roots` of `[trust]`, or its own certificate to `roots` beside its `url`",
            context.hop_url()
        ),
        Leg::Origin => format!(
            "if a proxy of your organisation inspects TLS, add its CA to `extra_roots` of `[trust]`; if {} has a self-signed certificate, add that to `roots` of route `{}`; if not, another server answers for it",
            context.host, context.route
        ),
    };
    Some(text.into())
}

pub(super) fn name_mismatch(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let text = match fault.leg {
        Leg::Client => return None,
        Leg::Hop => format!(
            "the proxy's certificate is for another name: check {}",
            context.hop_url()
        ),
        Leg::Origin => format!(
            "another server answers for {}: log in to the captive portal of this network, or correct `resolve` of route `{}`",
            context.host, context.route
        ),
    };
    Some(text.into())
}

/// Refused, or no route.
pub(super) fn unreachable(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let Context { host, upstream, .. } = context;
    match (fault.leg, fault.stage) {
        (Leg::Client, _) => None,
        (Leg::Hop, _) => {
            let url = context.hop_url();
            Some(format!("no proxy answers there: check {url}, and that the proxy runs").into())
        }
        (Leg::Origin, stage) if stage <= Stage::Connecting => {
            Some(context.other_upstream(format!("{host} is unreachable through {upstream}: ")))
        }
        (Leg::Origin, _) => Some(context.other_upstream(RECURS)),
    }
}

pub(super) fn name_unknown(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let text = match fault.leg {
        Leg::Client => return None,
        Leg::Hop => format!("check the host name in {}", context.hop_url()),
        Leg::Origin => format!(
            "this machine cannot resolve {}: use a hop that resolves names itself (`http://` or `socks5h://`), or set `resolve` of route `{}`",
            context.host, context.route
        ),
    };
    Some(text.into())
}

pub(super) fn hop_refused(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let Context {
        host,
        port,
        upstream,
        ..
    } = context;
    if fault.leg != Leg::Hop {
        return None;
    }
    let url = context.hop_url();
    let begin = match fault.kind {
        FaultKind::HopRefused(403) | FaultKind::SocksRefused(2) if ![80, 443].contains(&port) => {
            format!(
                "{upstream} does not allow {host} or its port {port} (many proxies allow CONNECT to port 443 only): ask its owner, or "
            )
        }
        FaultKind::HopRefused(403) | FaultKind::SocksRefused(2) | FaultKind::TargetRefused => {
            format!("{upstream} does not allow {host}: ask its owner, or ")
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
            format!("log in to the page that {upstream} redirects to, or ")
        }
        _ => format!("{upstream} cannot reach {host}: "),
    };
    Some(context.other_upstream(begin))
}

pub(super) fn hop_authentication(fault: &Fault, context: Context<'_>) -> Option<Advice> {
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
            format!("set `username` and `password_file` of `{hop}` in `[hops]`")
        }
    };
    Some(text.into())
}

pub(super) fn answered(fault: &Fault, context: Context<'_>) -> Option<Advice> {
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

pub(super) fn bad_answer(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let Context { host, upstream, .. } = context;
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

pub(super) fn credentials_withheld(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    (fault.leg == Leg::Origin).then(|| {
        format!(
            "if you trust the mirror with your credentials, set `credentials = \"pass\"` beside `mirror` in route `{}`; if not, add an upstream to {} itself",
            context.route, context.host
        )
        .into()
    })
}

pub(super) fn not_http(_: &Fault, _: Context<'_>) -> Option<Advice> {
    Some("write `http://` before gitferry's address in the client's proxy setting, also for https URLs; `gitferry setup` does it".into())
}

pub(super) fn unauthorized(_: &Fault, _: Context<'_>) -> Option<Advice> {
    Some("give the client the `username` and password of `[listen]`".into())
}

pub(super) fn comes_back(_: &Fault, _: Context<'_>) -> Option<Advice> {
    Some("a proxy setting in gitferry's environment or config points back at gitferry: `gitferry check` shows it".into())
}

pub(super) fn too_large(fault: &Fault, _: Context<'_>) -> Option<Advice> {
    (fault.leg == Leg::Client).then(|| "raise `max_head` of `[listen]`".into())
}

pub(super) fn shutdown(_: &Fault, _: Context<'_>) -> Option<Advice> {
    Some("repeat the command when gitferry runs again; a longer `grace` of `[shutdown]` lets more transfers finish".into())
}

pub(super) fn full(_: &Fault, _: Context<'_>) -> Option<Advice> {
    Some("if all these clients are yours, raise `max_connections` of `[listen]`".into())
}

pub(super) fn local(_: &Fault, _: Context<'_>) -> Option<Advice> {
    Some("see the cause: gitferry has no descriptors or memory left, or cannot read its state directory".into())
}

/// What to change where a rule denies what it should not.
pub(super) fn denied(fault: &Fault, context: Context<'_>) -> Option<Advice> {
    let FaultKind::Denied(denial) = fault.kind else {
        return None;
    };
    let Context {
        host, port, route, ..
    } = context;
    let text = match denial {
        Denial::Route => format!(
            "to allow {host}, change `tls` of route `{route}`; `gitferry check` shows the route"
        ),
        Denial::Upstream => format!("add {host} itself to `upstreams` of route `{route}`"),
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
mod tests {
    use super::*;

    const CONTEXT: Context<'_> = Context {
        host: "hf.co",
        port: 443,
        route: "hf-main",
        upstream: "office",
    };

    #[test]
    fn advice_names_a_key_or_a_command() {
        for (leg, stage, kind) in [
            (Leg::Origin, Stage::Handshaking, FaultKind::Reset),
            (Leg::Origin, Stage::Connecting, FaultKind::TimedOut),
            (
                Leg::Hop,
                Stage::Greeting,
                FaultKind::HopAuthentication(HopLogin::Missing),
            ),
            (Leg::Hop, Stage::Greeting, FaultKind::HopRefused(403)),
            (
                Leg::Client,
                Stage::Handshaking,
                FaultKind::Alert("unknown-ca".into()),
            ),
            (
                Leg::Client,
                Stage::Accepted,
                FaultKind::Denied(Denial::NotServed),
            ),
            (Leg::Client, Stage::Accepted, FaultKind::NotHttp),
        ] {
            let text = Fault::new(leg, stage, kind).advice(CONTEXT).unwrap().text;
            assert!(text.contains('`') && !text.ends_with('.'), "{text}");
        }
    }

    #[test]
    fn the_way_out_of_the_environment_is_not_looked_for_among_the_hops() {
        for kind in [
            FaultKind::HopAuthentication(HopLogin::Missing),
            FaultKind::Refused,
            FaultKind::NameUnknown,
            FaultKind::BadAnswer,
        ] {
            let fault = Fault::new(Leg::Hop, Stage::Greeting, kind);
            let environment = Context {
                upstream: "environment",
                ..CONTEXT
            };
            let text = fault.advice(environment).unwrap().text;
            assert!(text.contains("HTTPS_PROXY"), "{text}");
            let text = fault.advice(CONTEXT).unwrap().text;
            assert!(
                text.contains("`[hops]`") && !text.contains("HTTPS_PROXY"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_client_that_went_away_needs_no_advice() {
        assert_eq!(
            Fault::new(Leg::Client, Stage::SendingBody, FaultKind::Gone).advice(CONTEXT),
            None
        );
    }
}
