//! Advice on certificates and TLS.

use super::{Advice, AdviceContext, distrusted, hop::hop_fails};
use crate::model::{Fault, FaultKind, Leg, Stage, untrusted::Untrusted};

/// An alert, a bad certificate, or no version in common.
pub(in crate::model) fn no_tls(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let AdviceContext { host, upstream, .. } = context;
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
                "{host} requires a client certificate that it trusts: set `client_certificate` and `client_key` of {}",
                context.place()
            )
            .into(),
        ),
        (Leg::Origin, FaultKind::Alert(_) | FaultKind::NoCommonTls) => Some(
            format!(
                "{host} may support only TLS that gitferry does not (1.0, 1.1, RSA key exchange, CBC): set `tls = \"tunnel\"` of {}, so that the client speaks TLS itself",
                context.place()
            )
            .into(),
        ),
        (Leg::Origin, _) => Some(context.other_upstream(format!(
            "{host} and gitferry do not agree on TLS through {upstream}: "
        ))),
    }
}

pub(in crate::model) fn out_of_date(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let server = match fault.leg {
        Leg::Client => return None,
        Leg::Hop => context.upstream,
        Leg::Origin => context.host,
    };
    let text = format!(
        "check this machine's clock; if it is correct, the owner of {server} must renew its certificate"
    );
    Some(text.into())
}

pub(in crate::model) fn unknown_issuer(
    fault: &Fault,
    context: AdviceContext<'_>,
) -> Option<Advice> {
    let reason = fault.source.as_ref().and_then(|it| it.downcast_ref());
    let own_root = matches!(reason, Some(Untrusted::OwnRoot));
    let text = match fault.leg {
        Leg::Client => return None,
        Leg::Hop if own_root => format!(
            "the proxy in {}: move its certificate from `extra_roots` of `[trust]` to `roots` beside its `url` in `[hops]`",
            context.hop_url()
        ),
        Leg::Origin if own_root => format!(
            "move the certificate from `extra_roots` of `[trust]` to `roots` of {}",
            context.place()
        ),
        Leg::Hop => format!(
            "add the CA of the proxy in {} to `extra_roots` of `[trust]`, or its own certificate to `roots` beside its `url`",
            context.hop_url()
        ),
        Leg::Origin => format!(
            "if a proxy of your organisation inspects TLS, add its CA to `extra_roots` of `[trust]`; if {} has a self-signed certificate, add that to `roots` of {}; if not, another server answers for it",
            context.host,
            context.place()
        ),
    };
    Some(text.into())
}

pub(in crate::model) fn name_mismatch(fault: &Fault, context: AdviceContext<'_>) -> Option<Advice> {
    let text = match fault.leg {
        Leg::Client => return None,
        Leg::Hop => format!(
            "the proxy's certificate is for another name: check {}",
            context.hop_url()
        ),
        Leg::Origin => format!(
            "another server answers for {}: log in to the captive portal of this network, or correct `resolve` of {}",
            context.host,
            context.place()
        ),
    };
    Some(text.into())
}
