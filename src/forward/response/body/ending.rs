//! How an external event ends a response's body, and what the client receives then.

use std::{future::Future, pin::Pin};

use crate::{
    forward::{
        exchange::{Exchange, LeasedResponse},
        response::drain,
    },
    model::{attempts::Event, fault::BoxError, stall::Stall},
    track::FinalFault,
};

/// Without close_notify, a TLS client cannot tell the end of the data from a truncation by an attacker (RFC 8446, section 6.1).
pub(super) const NO_CLOSE_NOTIFY: &str =
    "TLS ended without close_notify and the response has no length: it may be incomplete";

/// The rest of a broken response, being requested.
pub(super) type ResumeFuture =
    Pin<Box<dyn Future<Output = (Box<Exchange>, Result<LeasedResponse, FinalFault>)> + Send>>;

pub(super) type FailureFuture = Pin<Box<dyn Future<Output = BoxError> + Send>>;

pub(super) type CompletionFuture = Pin<Box<dyn Future<Output = Option<Stall>> + Send>>;

/// Waits for an external event that ends the response.
pub(super) fn external_end(exchange: &Exchange) -> CompletionFuture {
    let transfer = exchange.transfer.handle();
    let shutdown = exchange.forwarder.shared.shutdown.clone();
    Box::pin(async move {
        tokio::select! {
            () = shutdown.ended() => None,
            stall = transfer.stalled() => Some(stall),
        }
    })
}

/// Ends the transfer with `event` when the client has received the bytes before it.
pub(super) async fn fail(
    mut exchange: Box<Exchange>,
    event: Event,
    close_delimited: bool,
) -> BoxError {
    let client = exchange.exchange_request.client.clone();
    drain::wait_until_acknowledged(&client.tcp, client.shared).await;
    let given_up = exchange.plan.give_up(event);
    if close_delimited
        && !client.shared
        && drain::ends_with_reset(&given_up, exchange.exchange_request.front)
    {
        client.tcp.mark_for_reset();
    }
    break_connection(&exchange, given_up)
}

/// Ends the transfer of a broken response; returns the error for the client's connection.
pub(super) fn break_connection(exchange: &Exchange, given_up: FinalFault) -> BoxError {
    exchange.transfer.break_off(&given_up);
    given_up.into_fault().into()
}
