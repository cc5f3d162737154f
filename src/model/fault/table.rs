//! Every kind of fault, one row each: its code, its outlook for the next attempt, the HTTP status, the error type of RFC 9209 and the
//! advice.
//!
//! The retry policy, the error responses, the log and the manual use these rows. A new kind needs one row here, its line in the test of the
//! retry policy and, where no function of `model::advice` fits, a function there.

mod outlook;
mod proxy_error;
mod suffix;

use std::{borrow::Cow, fmt};

use super::{Denial, Fault, HopLogin, advice};
use crate::model::{
    Leg, Stage,
    advice::{Advice, AdviceContext},
    stall::Verdict,
};
pub(crate) use outlook::Outlook;
use outlook::{doubtful, hop_refused, lasting, ours, passing, socks_refused, stalled};
use proxy_error::{
    certificate, denied, internal, protocol, request, terminated, timeout, unavailable,
};
use suffix::Suffix;

/// The status of an error response (RFC 9110, section 15; RFC 5842, section 7.2 for 508).
#[derive(Clone, Copy, Debug)]
struct StatusPair {
    /// For a fault on the client's leg.
    client: u16,
    /// For a fault on the hop's or the origin's.
    upstream: u16,
}

const GATEWAY: StatusPair = StatusPair::of(400, 502);
const TIMEOUT: StatusPair = StatusPair::of(400, 504);
const FORBIDDEN: StatusPair = StatusPair::of(403, 403);
const UNAVAILABLE: StatusPair = StatusPair::of(503, 503);

impl StatusPair {
    const fn of(client: u16, upstream: u16) -> Self {
        Self { client, upstream }
    }
}

/// One kind of fault.
#[derive(Debug)]
pub(crate) struct FaultRow {
    /// The last part of a fault's code; kinds with a value append it: `hop-refused-403`.
    pub code: &'static str,
    /// What went wrong, in a sentence: for the manual.
    pub meaning: &'static str,
    outlook: fn(&FaultKind) -> Outlook,
    status: StatusPair,
    /// The error type of RFC 9209, section 2.3.
    error: fn(Stage) -> &'static str,
    advice: fn(&Fault, AdviceContext<'_>) -> Option<Advice>,
}

macro_rules! fault_kinds {
    ($(
        #[doc = $meaning:literal]
        $kind:ident $(($value:ident: $type:ty))? { $($field:ident: $set:expr),+ $(,)? }
    )+) => {
        /// What went wrong.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum FaultKind {
            $( #[doc = $meaning] $kind $(($type))?, )+
        }

        /// Every kind, in the order of the manual.
        pub(crate) const FAULT_KINDS: &[FaultRow] = &[
            $( FaultRow { meaning: $meaning, $($field: $set),+ }, )+
        ];

        impl FaultKind {
            fn row(&self) -> &'static FaultRow {
                match self {
                    $( Self::$kind { .. } => const { &FaultRow { meaning: $meaning, $($field: $set),+ } }, )+
                }
            }

            /// An example of every kind, in the order of the manual.
            pub(crate) fn samples() -> Vec<Self> {
                vec![ $( Self::$kind $(( <$type as Suffix>::sample(stringify!($kind)) ))? ),+ ]
            }

            /// Its meaning as part of another sentence: `the name cannot be resolved`.
            pub(crate) fn as_clause(&self) -> String {
                crate::model::fault::lower_first(self.row().meaning.trim().trim_end_matches('.'))
            }

            /// The name in a fault's code.
            pub(crate) fn as_str(&self) -> Cow<'static, str> {
                let code = self.row().code;
                match self {
                    $( Self::$kind $(($value))? => {
                        $( if let Some(value) = $value.suffix() {
                            return format!("{code}-{value}").into();
                        } )?
                        code.into()
                    } )+
                }
            }
        }
    };
}

fault_kinds! {
    /// The peer, or something on the path, reset the connection.
    Reset { code: "reset", outlook: passing, status: GATEWAY, error: terminated, advice: advice::broken }
    /// The connection ended before the message was complete.
    ClosedEarly { code: "closed-early", outlook: passing, status: GATEWAY, error: terminated, advice: advice::broken }
    /// The peer ended an HTTP/2 stream or connection, by the error's name in RFC 9113, section 7.
    Http2(name: Cow<'static, str>) {
        code: "http2", outlook: passing, status: GATEWAY, error: protocol, advice: advice::http2
    }
    /// A reused connection had died while it was idle: the peer acknowledged nothing that was sent on it.
    StaleConnection {
        code: "stale-connection", outlook: passing, status: GATEWAY, error: terminated, advice: advice::stale_connection
    }
    /// Nothing arrived within the deadline.
    TimedOut { code: "timed-out", outlook: |_| Outlook::Slow, status: TIMEOUT, error: timeout, advice: advice::timed_out }
    /// Nothing moved for longer than the route allows.
    Stalled(verdict: Verdict) { code: "stalled", outlook: stalled, status: TIMEOUT, error: timeout, advice: advice::stalled }
    /// The peer sent a TLS alert, by its name in RFC 8446, section 6.
    Alert(name: Cow<'static, str>) {
        code: "alert", outlook: lasting, status: GATEWAY, error: |_| "tls_alert_received", advice: advice::no_tls
    }
    /// The certificate has expired.
    Expired { code: "expired", outlook: lasting, status: GATEWAY, error: certificate, advice: advice::out_of_date }
    /// The certificate is not valid yet.
    NotYetValid { code: "not-yet-valid", outlook: lasting, status: GATEWAY, error: certificate, advice: advice::out_of_date }
    /// No trusted root signed the certificate (self-signed included).
    UnknownIssuer { code: "unknown-issuer", outlook: lasting, status: GATEWAY, error: certificate, advice: advice::unknown_issuer }
    /// The certificate is for other names.
    NameMismatch { code: "name-mismatch", outlook: lasting, status: GATEWAY, error: certificate, advice: advice::name_mismatch }
    /// The certificate, its chain or its signature is invalid in another way.
    BadCertificate { code: "bad-certificate", outlook: lasting, status: GATEWAY, error: certificate, advice: advice::no_tls }
    /// The two sides share no TLS version or cipher suite.
    NoCommonTls { code: "no-common-tls", outlook: lasting, status: GATEWAY, error: |_| "tls_protocol_error", advice: advice::no_tls }
    /// The peer refused the connection.
    Refused { code: "refused", outlook: doubtful, status: GATEWAY, error: |_| "connection_refused", advice: advice::unreachable }
    /// No route to the host or network.
    Unreachable {
        code: "unreachable", outlook: passing, status: GATEWAY,
        error: |_| "destination_ip_unroutable", advice: advice::unreachable
    }
    /// The name cannot be resolved.
    NameUnknown { code: "name-unknown", outlook: doubtful, status: GATEWAY, error: |_| "dns_error", advice: advice::name_unknown }
    /// The hop refused with an HTTP status.
    HopRefused(status: u16) { code: "hop-refused", outlook: hop_refused, status: GATEWAY, error: unavailable, advice: advice::hop_refused }
    /// The origin, or a proxy in front of it, answered 502, 503 or 504.
    Answered(status: u16) { code: "answered", outlook: passing, status: GATEWAY, error: unavailable, advice: advice::answered }
    /// A SOCKS5 hop refused with a reply code (RFC 1928, section 6).
    SocksRefused(code: u8) {
        code: "socks-refused", outlook: socks_refused, status: GATEWAY, error: unavailable, advice: advice::hop_refused
    }
    /// The hop accepted the request and closed the connection without a response: it refuses this target.
    TargetRefused { code: "target-refused", outlook: doubtful, status: GATEWAY, error: unavailable, advice: advice::hop_refused }
    /// The hop requires credentials, or rejected the configured ones.
    HopAuthentication(login: HopLogin) {
        code: "hop-authentication", outlook: lasting, status: GATEWAY, error: unavailable, advice: advice::hop_authentication
    }
    /// The peer speaks another protocol, or violates the expected one.
    BadAnswer { code: "bad-answer", outlook: lasting, status: GATEWAY, error: protocol, advice: advice::bad_answer }
    /// A mirror asks for the credentials that the config withholds from it.
    CredentialsWithheld {
        code: "credentials-withheld", outlook: lasting, status: FORBIDDEN, error: denied, advice: advice::credentials_withheld
    }
    /// The client's request is malformed.
    BadRequest { code: "bad-request", outlook: ours, status: GATEWAY, error: request, advice: advice::none }
    /// The request or its ClientHello names another host than its CONNECT did.
    Misdirected { code: "misdirected", outlook: ours, status: StatusPair::of(421, 502), error: request, advice: advice::none }
    /// gitferry does not forward this method.
    MethodNotAllowed { code: "method-not-allowed", outlook: ours, status: StatusPair::of(405, 502), error: request, advice: advice::none }
    /// The client began with TLS or SOCKS: its proxy setting has the wrong scheme.
    NotHttp { code: "not-http", outlook: ours, status: GATEWAY, error: request, advice: advice::not_http }
    /// The client gave no credentials, or wrong ones.
    Unauthorized { code: "unauthorized", outlook: ours, status: StatusPair::of(407, 407), error: denied, advice: advice::unauthorized }
    /// Too many wrong passwords came from the same user or address: further ones are not checked for a while.
    TooManyGuesses { code: "too-many-wrong-passwords", outlook: ours, status: UNAVAILABLE, error: denied, advice: advice::too_many_guesses }
    /// The config denies it.
    Denied(denial: Denial) { code: "denied", outlook: ours, status: FORBIDDEN, error: denied, advice: advice::denied }
    /// The request would loop back to gitferry.
    Loop { code: "loop", outlook: ours, status: StatusPair::of(508, 508), error: |_| "proxy_loop_detected", advice: advice::request_loop }
    /// A head or body is over its limit.
    TooLarge { code: "too-large", outlook: ours, status: StatusPair::of(431, 502), error: request, advice: advice::too_large }
    /// All client connections that `max_connections` allows are taken, and too many requests wait for one.
    Full { code: "too-many-clients", outlook: ours, status: UNAVAILABLE, error: |_| "connection_limit_reached", advice: advice::full }
    /// The client disconnected.
    Gone { code: "gone", outlook: ours, status: GATEWAY, error: terminated, advice: advice::none }
    /// gitferry is shutting down, and its grace period is over.
    Shutdown { code: "shutdown", outlook: ours, status: UNAVAILABLE, error: internal, advice: advice::shutdown }
    /// Something on this machine failed: no descriptors, no memory, an unreadable file.
    Local { code: "local", outlook: ours, status: UNAVAILABLE, error: internal, advice: advice::local }
}

impl FaultKind {
    /// What it means for the next attempt through the same upstream.
    pub(crate) fn outlook(&self) -> Outlook {
        (self.row().outlook)(self)
    }

    /// True for the alerts with which a server refuses a client's certificate, or a missing one (RFC 8446, section 6.2).
    pub(crate) fn is_about_client_certificate(&self) -> bool {
        let Self::Alert(name) = self else {
            return false;
        };
        let about = [
            "certificate-required",
            "bad-certificate",
            "unsupported-certificate",
            "certificate-revoked",
            "certificate-expired",
            "certificate-unknown",
            "unknown-ca",
        ];
        about.contains(&&**name)
    }

    /// The stage that caused a failure seen at `stage`. In TLS 1.3 a server checks the client certificate when the request is already on its
    /// way.
    pub(crate) fn stage_seen_at(&self, stage: Stage) -> Stage {
        match self.is_about_client_certificate() {
            true => Stage::Handshaking,
            false => stage,
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str())
    }
}

impl Fault {
    /// The status of the error response.
    pub(crate) fn status(&self) -> u16 {
        let status = self.kind.row().status;
        match self.leg {
            Leg::Client => status.client,
            Leg::Hop | Leg::Origin => status.upstream,
        }
    }

    /// The error type of RFC 9209, section 2.3.
    pub(crate) fn proxy_error(&self) -> &'static str {
        (self.kind.row().error)(self.stage)
    }

    /// The advice; `None` where there is no useful one.
    pub(crate) fn advice(&self, context: AdviceContext<'_>) -> Option<Advice> {
        (self.kind.row().advice)(self, context)
    }
}

/// The meaning of a kind by its code, and the value at the end of the code: `hop-refused-403`.
pub(crate) fn meaning(kind: &str) -> Option<(&'static str, Option<&str>)> {
    let (row, value) = row_of(kind)?;
    Some((row.meaning.trim(), value))
}

/// The code of a kind without its value.
pub(crate) fn code_of(kind: &str) -> Option<&'static str> {
    row_of(kind).map(|(row, _)| row.code)
}

fn row_of(kind: &str) -> Option<(&'static FaultRow, Option<&str>)> {
    let rows = FAULT_KINDS.iter().filter_map(|row| {
        let value = kind.strip_prefix(row.code)?;
        match value.strip_prefix('-') {
            Some(value) => Some((row, Some(value))),
            None => value.is_empty().then_some((row, None)),
        }
    });
    rows.max_by_key(|(row, _)| row.code.len())
}

#[cfg(test)]
mod tests;
