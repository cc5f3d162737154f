//! Going on with a download that broke off: the rest is asked for on the next connection or upstream, while the client waits.

use std::sync::Arc;

use hyper::body::Incoming;

use crate::forward::{
    Forwarder, exchange::ExchangeRequest, request::outgoing::Outgoing, response::resume::Part,
    upstream::circuit::Account, upstream::destination::Destination, upstream::plan::UpstreamPlan,
    upstream::pool::Lease, upstream::send,
};
use crate::model::{Fault, FaultKind, Leg, Stage};

/// What is needed to ask for the rest of an answer.
pub(crate) struct Resumption {
    /// Which bytes were promised.
    pub(crate) part: Part,
    /// The request, without a body.
    pub(crate) outgoing: Outgoing,
    /// Where the attempts have come to.
    pub(crate) ways: UpstreamPlan,
    /// What the front asked for.
    pub(crate) asked: ExchangeRequest,
    /// By whom.
    pub(crate) forwarder: Arc<Forwarder>,
}

/// The rest of an answer, from the byte where it broke off.
pub(crate) struct Rest {
    /// The bytes.
    pub(crate) body: Incoming,
    /// Their connection.
    pub(crate) lease: Lease,
    /// For the next break.
    pub(crate) resumption: Box<Resumption>,
}

impl Resumption {
    /// Gets the rest after `got` bytes; `moved` says whether any came since the last break, so that patience begins anew.
    ///
    /// Fails with the last fault, which is in the log then.
    pub(crate) async fn after(
        mut self: Box<Self>,
        got: u64,
        moved: bool,
        mut fault: Fault,
    ) -> Result<Rest, Fault> {
        let transfer = self.outgoing.transfer().clone();
        if moved {
            self.ways.renew();
        }
        loop {
            let unsent = fault.sent(false);
            if !self.ways.after(&self.forwarder, &transfer, &unsent).await {
                return Err(unsent);
            }
            match self.ask(got).await? {
                Ok((body, lease)) => {
                    transfer.enter(Stage::ReceivingBody);
                    return Ok(Rest {
                        body,
                        lease,
                        resumption: self,
                    });
                }
                Err(again) => fault = again,
            }
        }
    }

    /// Where the end of the rest is written down.
    pub(crate) fn account(&self) -> Option<Account> {
        self.ways.account(&self.forwarder)
    }

    /// Asks once; the outer failure is the last one, the inner one may pass.
    async fn ask(&mut self, got: u64) -> Result<Result<(Incoming, Lease), Fault>, Fault> {
        let Self {
            part,
            outgoing,
            ways,
            asked,
            forwarder,
        } = self;
        let transfer = outgoing.transfer().clone();
        if !part.ask(got, outgoing.headers()) {
            let fault = Fault::new(Leg::Origin, Stage::ReceivingBody, FaultKind::BadAnswer);
            let fault = fault.detail("there is no rest to ask for");
            transfer.gives_up(&fault);
            return Err(fault);
        }
        let mut lease = forwarder.connect(ways, outgoing, asked).await?;
        let to = Destination::of(asked, ways.upstream().map(|upstream| &**upstream));
        let request = outgoing.request(&lease, asked, &to)?;
        let peer = lease.about.peer;
        transfer.enter(Stage::AwaitingHead);
        let fault = |kind| Fault::new(Leg::Origin, Stage::AwaitingHead, kind).peer(peer);
        let response = tokio::select! {
            biased;
            () = forwarder.shared.shutdown.ended() => {
                let fault = Fault::new(Leg::Client, Stage::AwaitingHead, FaultKind::Shutdown);
                transfer.gives_up(&fault);
                return Err(fault);
            }
            stall = transfer.stalled() => return Ok(Err(transfer.stall_fault(&stall))),
            sent = send::send(&mut lease, request) => match sent {
                Ok(response) => response,
                Err(failed) => return Ok(Err(failed.fault(&transfer, outgoing.notes(), peer))),
            },
        };
        let status = response.status();
        if (502..=504).contains(&status.as_u16()) {
            return Ok(Err(fault(FaultKind::Answered(status.as_u16()))));
        }
        if !part.goes_on(got, status, response.headers()) {
            let fault = fault(FaultKind::BadAnswer).detail(format!(
                "the rest from byte {got} on was asked for, and the answer was {} or of other bytes",
                status.as_u16()
            ));
            if !part.is_gone(status, response.headers()) {
                return Ok(Err(fault));
            }
            transfer.gives_up(&fault);
            return Err(fault);
        }
        ways.succeeded(forwarder, &transfer);
        Ok(Ok((response.into_body(), lease)))
    }
}
