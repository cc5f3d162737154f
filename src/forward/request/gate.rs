//! `Expect: 100-continue`: holds the client's body until the origin asks for it.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hyper::{HeaderMap, header::EXPECT};
use tokio::time::Sleep;

use crate::sync::Mutex;

/// Holds a request's body back until the origin says `100 Continue` (RFC 9110, section 10.1.1).
///
/// hyper sends the client `100 Continue` when its body is first read, so both sides wait for the same signal.
pub(crate) struct Gate {
    state: Arc<Mutex<GateState>>,
    timeout: Pin<Box<Sleep>>,
}

/// The other end of a [`Gate`].
#[derive(Clone, Debug)]
pub(crate) struct GateKey(Arc<Mutex<GateState>>);

#[derive(Debug, Default)]
struct GateState {
    decision: Option<BodyDecision>,
    waker: Option<Waker>,
}

/// The decision about the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyDecision {
    /// Send it.
    Send,
    /// Drop it: the origin does not want it.
    Drop,
}

/// How long to wait for a silent origin before the body is sent anyway.
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

impl Gate {
    /// A closed gate and its key.
    pub(crate) fn new() -> (Self, GateKey) {
        let state = Arc::<Mutex<GateState>>::default();
        let gate = Self {
            state: Arc::clone(&state),
            timeout: Box::pin(tokio::time::sleep(CONTINUE_TIMEOUT)),
        };
        (gate, GateKey(state))
    }

    /// Ready when the origin has decided, or was silent for too long.
    pub(crate) fn poll_decision(&mut self, cx: &mut Context<'_>) -> Poll<BodyDecision> {
        {
            let mut state = self.state.lock();
            if let Some(decision) = state.decision {
                return Poll::Ready(decision);
            }
            state.waker = Some(cx.waker().clone());
        }
        self.timeout.as_mut().poll(cx).map(|()| BodyDecision::Send)
    }
}

impl GateKey {
    /// Lets the body pass.
    pub(crate) fn open(&self) {
        self.decide(BodyDecision::Send);
    }

    /// The origin answered without the body: it is not wanted.
    pub(crate) fn refuse(&self) {
        self.decide(BodyDecision::Drop);
    }

    fn decide(&self, decision: BodyDecision) {
        let mut state = self.0.lock();
        state.decision.get_or_insert(decision);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

/// The origin gave its final response before it asked for the body.
#[derive(Debug)]
pub(crate) struct BodyNotWanted;

impl fmt::Display for BodyNotWanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the origin responded without requesting the body")
    }
}

impl Error for BodyNotWanted {}

/// A gate for a request with `Expect: 100-continue`.
pub(crate) fn gate_for(headers: &HeaderMap, bodiless: bool) -> (Option<Gate>, Option<GateKey>) {
    let expects = headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if !expects || bodiless {
        return (None, None);
    }
    let (gate, key) = Gate::new();
    (Some(gate), Some(key))
}
