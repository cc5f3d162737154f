//! The samples of a transfer for the watchdog, and the watchdog's state between two checks.

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
        stall::{self, Flow, Sample, Stall, Verdict, Watchdog},
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
    pub(super) watch: Option<Watchdog>,
    pub(super) checked_at: Option<Instant>,
    /// When the next check is due.
    pub(super) next_check: Option<Instant>,
    pub(super) sample: Option<Sample>,
    pub(super) reported: Option<Stall>,
    /// True during a stall on which gitferry must act.
    pub(super) must_act: bool,
    pub(super) pace: RateSampler,
    pub(super) rest: TunnelRest,
}

/// A check that is so late says that this process did not run: it was stopped (Ctrl-Z, a paused container), or the machine is overloaded.
const LATE: Duration = Duration::from_secs(1);

impl WatchdogState {
    /// Leaves out the time in which this process did not run, where the check at `now` is late.
    pub(super) fn leave_out_lost_time(&mut self, now: Instant) {
        let due = self.next_check.take();
        let lost = due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if let Some(watch) = self.watch.as_mut()
            && lost >= LATE
        {
            watch.not_counting(lost, now);
        }
    }

    /// The due party, how long it has not moved, and the verdict, for `status`.
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
        origin.reports_acks.then(|| origin.acknowledged())
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
    /// True where the other side did not answer at least two probes of the kernel.
    pub(super) fn is_probed(&self) -> bool {
        let origin = self.origin.as_ref();
        origin.is_some_and(|origin| origin.socket.unanswered_probes() > 1)
    }

    /// True where the whole request was handed to the connection.
    fn is_whole(&self, inner: &TransferState) -> bool {
        let counters = &inner.counters;
        let sent = counters.sending.load(Ordering::Relaxed) == 0;
        let early = counters.early.load(Ordering::Relaxed) && self.stage == Stage::ReceivingBody;
        self.stage >= Stage::AwaitingHead && (sent || !early)
    }

    /// The origin's side. On a shared connection (HTTP/2), unacknowledged bytes may belong to another transfer, or acknowledge PING and
    /// SETTINGS. After the request they count only where the path loses them.
    fn flow_of_origin(&self, flow: Flow, shared: bool, whole: bool) -> Flow {
        let lost = flow.kernel.is_some_and(|kernel| kernel.retransmits > 0);
        if shared && whole && !lost {
            return Flow {
                written: flow.acknowledged(),
                queued: 0,
                blocked: false,
                ..flow
            };
        }
        flow
    }

    /// The present state, without `TCP_INFO` of the sockets.
    pub(super) fn sample(&self, inner: &TransferState) -> Sample {
        self.sample_with(inner, TcpMonitor::flow)
    }

    /// The present state with `TCP_INFO`.
    pub(super) fn detailed_sample(&self, inner: &TransferState) -> Sample {
        self.sample_with(inner, TcpMonitor::detailed_flow)
    }

    fn sample_with(&self, inner: &TransferState, flow_of: fn(&TcpMonitor) -> Flow) -> Sample {
        let counters = &inner.counters;
        let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let up = counters.up.load(Ordering::Relaxed);
        let down = counters.down.load(Ordering::Relaxed);
        let tunnel = self.tunnel || inner.about.front == Front::Tunnel;
        // Of the received bytes, only the payload counts: a slow peer also sends heads, interim responses and framing, and a hop's response is
        // not the origin's.
        let payload = tunnel || self.stage >= Stage::SendingHead;
        let whole = self.is_whole(inner);
        let of_transfer = |flow: Flow, shared: bool, read, written| Flow {
            read: if shared || payload { read } else { flow.read },
            written: if shared {
                written + flow.queued
            } else {
                flow.written
            },
            ..flow
        };
        let client = self.client.as_ref().map(|side| {
            let mut flow = flow_of(&side.socket);
            if side.shared {
                // The queued bytes belong to other transfers too. The stream's own window shows in `awaits_origin`.
                (flow.queued, flow.blocked) = (0, false);
            }
            of_transfer(flow, side.shared, up, down)
        });
        let origin = self.origin.as_ref().map(|side| {
            let flow = self.flow_of_origin(flow_of(&side.socket), side.shared, whole);
            of_transfer(flow, side.shared, down, up)
        });
        let early = is(&counters.early) && self.stage == Stage::ReceivingBody;
        Sample {
            stage: self.stage,
            attempt: self.attempts,
            tunnel,
            whole,
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
            origin,
        }
    }
}
