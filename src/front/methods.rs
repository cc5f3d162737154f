//! Methods that gitferry answers itself, for any target.

use hyper::{
    Method, Request, Response,
    body::Incoming,
    header::{ALLOW, HeaderMap, HeaderValue, MAX_FORWARDS},
};

use super::refuse::refuse;
use crate::{
    forward::{Forwarder, HttpResponse, client::ClientConn, headers, request::body::full},
    model::{Fault, FaultKind, Leg, Stage, Target},
};

/// The methods that every front passes on.
const PASSED_ON: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, CONNECT");

/// The response to a request that is not forwarded; `None` where it is.
///
/// TRACE is never forwarded (RFC 9110, section 9.3.8): a hop or an origin would return the `Proxy-Authorization` that it received. OPTIONS
/// is answered here where its `Max-Forwards` is 0 (section 7.6.2).
pub(super) async fn response(
    forwarder: &Forwarder,
    request: &mut Request<Incoming>,
    client: &ClientConn,
    target: Option<&Target>,
) -> Option<HttpResponse> {
    let mut response = match request.method().clone() {
        Method::TRACE => {
            let fault = Fault::new(Leg::Client, Stage::Accepted, FaultKind::MethodNotAllowed)
                .detail("TRACE is not allowed: it would reveal the hop's credentials");
            refuse(forwarder, request, client, target, fault).await
        }
        Method::OPTIONS if is_final_recipient(request.headers_mut()) => Response::new(full("")),
        _ => return None,
    };
    response.headers_mut().insert(ALLOW, PASSED_ON);
    Some(response)
}

/// True where the request ends here. Otherwise decrements `Max-Forwards`.
fn is_final_recipient(headers: &mut HeaderMap) -> bool {
    let left =
        headers::text(headers, &MAX_FORWARDS).and_then(|left| left.trim().parse::<u32>().ok());
    let next = left.map(|left| left.checked_sub(1));
    if let Some(Some(next)) = next {
        headers.insert(MAX_FORWARDS, next.into());
    }
    next == Some(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_forwards_counts_down_to_this_daemon() {
        for (before, ends, after) in [
            (Some("0"), true, Some("0")),
            (Some("1"), false, Some("0")),
            (Some("many"), false, Some("many")),
            (None, false, None),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(before) = before {
                headers.insert(MAX_FORWARDS, HeaderValue::from_static(before));
            }
            assert_eq!(is_final_recipient(&mut headers), ends, "{before:?}");
            let left = headers.get(MAX_FORWARDS).map(|left| left.to_str().unwrap());
            assert_eq!(left, after);
        }
    }
}
