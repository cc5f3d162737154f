//! The error types of RFC 9209, section 2.3, that several kinds of fault share.

use crate::model::Stage;

pub(super) fn terminated(_: Stage) -> &'static str {
    "connection_terminated"
}

pub(super) fn certificate(_: Stage) -> &'static str {
    "tls_certificate_error"
}

pub(super) fn unavailable(_: Stage) -> &'static str {
    "destination_unavailable"
}

pub(super) fn denied(_: Stage) -> &'static str {
    "http_request_denied"
}

pub(super) fn request(_: Stage) -> &'static str {
    "http_request_error"
}

pub(super) fn internal(_: Stage) -> &'static str {
    "proxy_internal_error"
}

pub(super) fn protocol(stage: Stage) -> &'static str {
    if stage == Stage::Handshaking {
        "tls_protocol_error"
    } else {
        "http_protocol_error"
    }
}

pub(super) fn timeout(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolving => "dns_timeout",
        Stage::Connecting | Stage::Greeting | Stage::Handshaking => "connection_timeout",
        Stage::Accepted | Stage::Queued | Stage::SendingHead | Stage::SendingBody => {
            "connection_write_timeout"
        }
        Stage::AwaitingHead | Stage::ReceivingBody => "http_response_timeout",
    }
}
