//! The watchdog's view of a transfer, and its state between two checks.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::{Front, TransferData, TransferState, tunnel_rest::TunnelRest};
use crate::{
    io::TcpMonitor,
    model::{
        Role, Stage,
        stall::{self, Flow, Sample, Stall, Verdict, Watch},
    },
    track::pace::RateSampler,
};

/// A socket of a transfer.
#[derive(Clone, Debug)]
pub(crate) struct WatchedSocket {
    pub(super) socket: TcpMonitor,
    /// True where other transfers use the connection too (HTTP/2): its counts are not this transfer's.
    pub(super) shared: bool,
}

impl WatchedSocket {
    /// The transfer's own socket.
    pub(crate) fn own(socket: TcpMonitor) -> Self {
        Self {
            socket,
            shared: false,
        }
    }

    /// A socket whose connection other transfers may use too.
    pub(crate) fn multiplexed(socket: TcpMonitor) -> Self {
        Self {
            socket,
            shared: true,
        }
    }

    /// The congestion control of this socket.
    pub(super) fn congestion(&self) -> Option<String> {
        self.socket.congestion()
    }
}

/// The watchdog's state.
#[derive(Debug, Default)]
pub(super) struct WatchdogState {
    pub(super) watch: Option<Watch>,
    pub(super) checked_at: Option<Instant>,
    pub(super) sample: Option<Sample>,
    pub(super) reported: Option<Stall>,
    /// True while a stall lasts that must be acted upon.
    pub(super) must_act: bool,
    pub(super) pace: RateSampler,
    pub(super) rest: TunnelRest,
}

impl WatchdogState {
    /// What the status shows: the due party, for how long, and the verdict.
    pub(super) fn status(&self, now: Instant) -> Option<(stall::Due, Duration, Option<Verdict>)> {
        let watch = self.watch.as_ref()?;
        let (due, idle) = watch.idle_time(now);
        Some((due, idle, watch.verdict()))
    }

    /// The client's and the origin's side at the last check.
    pub(super) fn sides(&self) -> Option<(Flow, Option<Flow>)> {
        self.sample.map(|sample| (sample.client, sample.origin))
    }

    /// The bytes that the other side's kernel had acknowledged at the last check.
    pub(super) fn acknowledged(&self) -> Option<u64> {
        let origin = self.sample?.origin?;
        origin.told.then(|| origin.acknowledged())
    }

    /// True where nothing moved between the last two checks.
    pub(super) fn is_standing_still(&self) -> bool {
        let idle = self
            .watch
            .as_ref()
            .zip(self.checked_at)
            .map(|(watch, checked_at)| watch.idle_time(checked_at).1);
        idle.is_some_and(|idle| !idle.is_zero())
    }
}

impl TransferData {
    /// True where the kernel probes the other side again because the last probe was not answered.
    pub(super) fn is_probed(&self) -> bool {
        let origin = self.origin.as_ref();
        origin.is_some_and(|origin| origin.socket.unanswered_probes() > 1)
    }

    /// The transfer now, without `TCP_INFO` of its sockets.
    pub(super) fn sample(&self, inner: &TransferState) -> Sample {
        self.sample_with(inner, TcpMonitor::flow)
    }

    /// The same with `TCP_INFO`.
    pub(super) fn detailed_sample(&self, inner: &TransferState) -> Sample {
        self.sample_with(inner, TcpMonitor::detailed_flow)
    }

    fn sample_with(&self, inner: &TransferState, flow_of: fn(&TcpMonitor) -> Flow) -> Sample {
        let counters = &inner.counters;
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let up = counters.up.load(Ordering::Relaxed);
        let down = counters.down.load(Ordering::Relaxed);
        let tunnel = self.tunnel || inner.about.front == Front::Tunnel;
        // Of received bytes, only payload counts: a peer that trickles also sends heads, interim responses and framing, and a hop's response does not
        // come from the origin.
        let payload = tunnel || self.stage >= Stage::SendingHead;
        let flow = |side: &Option<WatchedSocket>, read, written| {
            side.as_ref().map(|side| {
                let mut flow = flow_of(&side.socket);
                if side.shared {
                    flow.written = written + flow.queued;
                }
                if side.shared || payload {
                    flow.read = read;
                }
                flow
            })
        };
        let client = flow(&self.client, up, down);
        let sent = counters.sending.load(Ordering::Relaxed) == 0;
        let early = is(&counters.early) && self.stage == Stage::ReceivingBody;
        Sample {
            stage: self.stage,
            attempt: self.attempts,
            tunnel,
            whole: self.stage >= Stage::AwaitingHead && (sent || !early),
            early,
            refused: is(&counters.refused),
            hop: self.hop,
            prompt: inner.about.role == Role::LfsStorage
                || inner.about.path.ends_with("/info/lfs/objects/batch"),
            awaits_client: is(&counters.awaits_client),
            awaits_origin: is(&counters.awaits_origin),
            client: client.unwrap_or(Flow {
                read: up,
                written: down,
                ..Flow::default()
            }),
            origin: flow(&self.origin, down, up),
        }
    }
}
