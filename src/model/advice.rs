//! The sentence for the person: a guess, apart from the cause, that names a key or a command.

use super::{
    Denial, Fault, FaultKind, Leg, Stage,
    stall::{self, Verdict},
};

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

/// What to do about `fault`; `None` where nothing sensible can be said.
pub(crate) fn advice(fault: &Fault, context: Context<'_>) -> Option<String> {
    match fault.leg {
        Leg::Client => client(fault, context),
        Leg::Hop => hop(fault, context),
        Leg::Origin => origin(fault, context),
    }
}

fn client(fault: &Fault, context: Context<'_>) -> Option<String> {
    use FaultKind as Kind;
    let host = context.host;
    Some(match (&fault.kind, fault.stage) {
        (Kind::Alert(_) | Kind::Reset | Kind::ClosedEarly, Stage::Handshaking) => format!(
            "the client does not trust gitferry's CA for {host}: run `gitferry setup all`, or give it the file that `gitferry ca path --bundle` prints"
        ),
        (Kind::Denied(denial), _) => denied(*denial, context),
        (Kind::NotHttp, _) => "write `http://` before gitferry's address, whatever the scheme of the URLs that are asked for; `gitferry setup` does so".into(),
        (Kind::Loop, _) => "a proxy setting of gitferry's own environment or config points back at gitferry: see `gitferry check`".into(),
        (Kind::Unauthorized, _) => "give the client the `username` and password of `[listen]`".into(),
        (Kind::TooLarge, _) => "raise `max_head` of `[listen]`".into(),
        (Kind::Shutdown, _) => "repeat it when gitferry runs again; a longer `grace` of `[shutdown]` lets more finish".into(),
        (Kind::Local, _) => "see the cause: gitferry itself ran out of something, or cannot read its state directory".into(),
        (
            Kind::Alert(_)
            | Kind::Reset
            | Kind::ClosedEarly
            | Kind::TimedOut
            | Kind::Stalled(_)
            | Kind::Expired
            | Kind::NotYetValid
            | Kind::UnknownIssuer
            | Kind::NameMismatch
            | Kind::BadCertificate
            | Kind::NoCommonTls
            | Kind::Refused
            | Kind::Unreachable
            | Kind::NameUnknown
            | Kind::HopRefused(_)
            | Kind::Answered(_)
            | Kind::SocksRefused(_)
            | Kind::HopAuthentication
            | Kind::BadAnswer
            | Kind::CredentialsWithheld
            | Kind::BadRequest
            | Kind::Gone,
            _,
        ) => return None,
    })
}

/// What to change where a rule says no and should not.
fn denied(
    denial: Denial,
    Context {
        host, port, route, ..
    }: Context<'_>,
) -> String {
    match denial {
        Denial::Route => {
            format!(
                "if {host} is to be reached, change `tls` of `{route}`: `gitferry check` shows it"
            )
        }
        Denial::Upstream => format!("add {host} itself to `upstreams` of route `{route}`"),
        Denial::Port => format!("add {port} to `ports` of `[other_hosts]`"),
        Denial::NotServed => format!("add \"{host}\" to `allow` of `[reverse]`"),
        Denial::Browser => "read it with `git`, or go to the site itself in the browser".into(),
        Denial::ForeignName => {
            "write the address of `[listen]`, or localhost, in the client's URL".into()
        }
        Denial::Private => {
            format!("name {host} itself in `allow` of `[reverse]` if it is meant to be reached")
        }
    }
}

fn hop(
    fault: &Fault,
    Context {
        host,
        route,
        upstream,
        ..
    }: Context<'_>,
) -> Option<String> {
    use FaultKind as Kind;
    let url = setting(upstream);
    Some(match &fault.kind {
        Kind::HopAuthentication if is_environment(upstream) => format!(
            "put `user:password@` into {url}, or name the proxy in `[hops]` with `username` and `password_file` and use it in `upstreams`"
        ),
        Kind::HopAuthentication => {
            format!("set `username` and `password_file` of `{upstream}` in `[hops]`")
        }
        Kind::HopRefused(403) | Kind::SocksRefused(2) => format!(
            "{upstream} does not let {host} through: ask its owner, or give route `{route}` another way in `upstreams`"
        ),
        Kind::HopRefused(_) | Kind::SocksRefused(_) => {
            format!(
                "{upstream} cannot reach {host}: give route `{route}` another way in `upstreams`"
            )
        }
        Kind::NameUnknown => format!("check the host in {url}"),
        Kind::Refused | Kind::Unreachable => {
            format!("nothing answers there: check {url}, and that the proxy runs")
        }
        Kind::TimedOut if fault.stage == Stage::Greeting => format!(
            "{upstream} took the request for {host} and did not connect: give route `{route}` another way in `upstreams`"
        ),
        Kind::Stalled(verdict) => stalled(*verdict, host, route, upstream),
        Kind::BadAnswer => {
            format!("what answers does not speak what {url} says: is it http, https or socks5?")
        }
        Kind::UnknownIssuer => {
            format!("add the CA of the proxy in {url} to `extra_roots` of `[trust]`")
        }
        Kind::Expired | Kind::NotYetValid => format!(
            "the certificate of {upstream} is out of its time: check this machine's clock, and tell its owner"
        ),
        Kind::NameMismatch => {
            format!("the proxy has a certificate for another name: check {url}")
        }
        Kind::Reset
        | Kind::ClosedEarly
        | Kind::TimedOut
        | Kind::Alert(_)
        | Kind::BadCertificate
        | Kind::NoCommonTls => {
            format!("the way to {upstream} itself is broken: try another hop in `[hops]`")
        }
        Kind::CredentialsWithheld
        | Kind::Answered(_)
        | Kind::BadRequest
        | Kind::NotHttp
        | Kind::Unauthorized
        | Kind::Denied(_)
        | Kind::Loop
        | Kind::TooLarge
        | Kind::Gone
        | Kind::Shutdown
        | Kind::Local => {
            return None;
        }
    })
}

/// True for the way out of the daemon's own environment, which no `[hops]` can describe.
fn is_environment(upstream: &str) -> bool {
    upstream.split(' ').next() == Some("environment")
}

/// Where the hop's URL is written.
fn setting(upstream: &str) -> String {
    if is_environment(upstream) {
        "HTTPS_PROXY or its like in the daemon's own environment (`gitferry check` shows it)".into()
    } else {
        format!("`url` of `{upstream}` in `[hops]`")
    }
}

fn origin(fault: &Fault, context: Context<'_>) -> Option<String> {
    use FaultKind as Kind;
    let Context {
        host,
        port,
        route,
        upstream,
        ..
    } = context;
    let another =
        format!("give route `{route}` another way in `upstreams`, such as a hop of `[hops]`");
    Some(match &fault.kind {
        Kind::Reset | Kind::ClosedEarly if fault.stage == Stage::Handshaking => {
            let what = if port == 22 { "ssh" } else { "TLS" };
            format!("something on the path through {upstream} cuts {what} to {host}: {another}")
        }
        Kind::TimedOut if fault.stage == Stage::Handshaking => format!(
            "TLS to {host} gets no answer through {upstream}: a path that loses large packets (MTU) or filters the name; {another}"
        ),
        Kind::TimedOut | Kind::Refused | Kind::Unreachable if fault.stage <= Stage::Connecting => {
            format!("{host} cannot be reached through {upstream}: {another}")
        }
        Kind::NameUnknown => format!("{host} cannot be looked up here: a hop looks names up on its side (`socks5` alone does not), `resolve` of the route gives an address"),
        Kind::UnknownIssuer => format!(
            "if a proxy of yours inspects TLS, add its CA to `extra_roots` of `[trust]`; otherwise somebody else answers for {host}"
        ),
        Kind::NameMismatch => format!("somebody else answers for {host}: a captive portal, or a wrong `resolve` in route `{route}`"),
        Kind::Expired | Kind::NotYetValid => "check this machine's clock; if it is right, the origin's certificate is out of its time".into(),
        Kind::BadCertificate | Kind::NoCommonTls | Kind::Alert(_) => format!("{host} and gitferry do not agree on TLS through {upstream}: {another}"),
        Kind::BadAnswer if fault.stage == Stage::Handshaking => {
            format!("what answers for {host} through {upstream} does not speak TLS, as a captive portal would: {another}")
        }
        Kind::Reset | Kind::ClosedEarly | Kind::TimedOut | Kind::Refused | Kind::Unreachable | Kind::BadAnswer => {
            format!("if it comes back, {another}")
        }
        Kind::Answered(status) => format!(
            "{host} itself says {status} through {upstream}: nothing on this machine is at fault, see the site's status page"
        ),
        Kind::CredentialsWithheld => format!(
            "if the mirror's keeper may act as you, set `credentials = \"pass\"` beside `mirror` in route `{route}`; otherwise add an upstream to {host} itself"
        ),
        Kind::Denied(denial) => denied(*denial, context),
        Kind::Stalled(verdict) => stalled(*verdict, host, route, upstream),
        Kind::TooLarge => return None,
        Kind::HopRefused(_)
        | Kind::SocksRefused(_)
        | Kind::HopAuthentication
        | Kind::BadRequest
        | Kind::NotHttp
        | Kind::Unauthorized
        | Kind::Loop
        | Kind::Gone
        | Kind::Shutdown
        | Kind::Local => return None,
    })
}

/// Where the stall's own advice, which knows the sibling route, is not at hand.
fn stalled(verdict: Verdict, host: &str, route: &str, upstream: &str) -> String {
    let about = stall::About {
        host,
        route,
        upstream,
        sibling: None,
    };
    stall::advice(verdict, about)
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
            (Leg::Hop, Stage::Greeting, FaultKind::HopAuthentication),
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
            let text = advice(&Fault::new(leg, stage, kind), CONTEXT).unwrap();
            assert!(text.contains('`') && !text.ends_with('.'), "{text}");
        }
    }

    #[test]
    fn the_way_out_of_the_environment_is_not_looked_for_among_the_hops() {
        for kind in [
            FaultKind::HopAuthentication,
            FaultKind::Refused,
            FaultKind::NameUnknown,
            FaultKind::BadAnswer,
        ] {
            let fault = Fault::new(Leg::Hop, Stage::Greeting, kind);
            let environment = Context {
                upstream: "environment",
                ..CONTEXT
            };
            let text = advice(&fault, environment).unwrap();
            assert!(text.contains("HTTPS_PROXY"), "{text}");
            let text = advice(&fault, CONTEXT).unwrap();
            assert!(
                text.contains("`[hops]`") && !text.contains("HTTPS_PROXY"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_client_that_went_away_needs_no_advice() {
        assert_eq!(
            advice(
                &Fault::new(Leg::Client, Stage::SendingBody, FaultKind::Gone),
                CONTEXT
            ),
            None
        );
    }
}
