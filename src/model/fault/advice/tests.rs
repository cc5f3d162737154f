use super::*;
use crate::model::fault::HopLogin;

const CONTEXT: AdviceContext<'_> = AdviceContext {
    host: "hf.co",
    port: 443,
    route: "hf-main",
    upstream: "office",
    max_segment: None,
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
fn advice_on_the_environments_proxy_names_its_variables_and_not_hops() {
    for kind in [
        FaultKind::HopAuthentication(HopLogin::Missing),
        FaultKind::Refused,
        FaultKind::NameUnknown,
        FaultKind::BadAnswer,
    ] {
        let fault = Fault::new(Leg::Hop, Stage::Greeting, kind);
        let environment = AdviceContext {
            upstream: "environment",
            ..CONTEXT
        };
        let text = fault.advice(environment).unwrap().text;
        assert!(text.contains("HTTPS_PROXY"), "{text}");
        let refused = Fault::new(Leg::Hop, Stage::Greeting, FaultKind::HopRefused(403));
        let text = refused.advice(environment).unwrap().text;
        assert!(
            text.starts_with("the proxy of the environment does not allow"),
            "{text}"
        );
        let text = fault.advice(CONTEXT).unwrap().text;
        assert!(
            text.contains("`[hops]`") && !text.contains("HTTPS_PROXY"),
            "{text}"
        );
    }
}

#[test]
fn a_client_that_disconnected_gets_no_advice() {
    assert_eq!(
        Fault::new(Leg::Client, Stage::SendingBody, FaultKind::Gone).advice(CONTEXT),
        None
    );
}
