//! The reports of a daemon: events as values for both kinds of daemon, and the log lines of the binary.

use std::sync::atomic::Ordering;

use gitferry::testing::{EndSeen, FaultSeen, StallSeen};
use serde_json::Value;

use super::{Ferry, Running, SOON};
use crate::support::{
    process::{LOOK, wait_until},
    script::soon,
};

impl Ferry {
    /// Waits until the test has all lines that the binary has logged so far, because it writes them asynchronously. Does not wait for a daemon
    /// that has ended or whose pages are unavailable.
    fn catch_up(&self) {
        let Running::Binary(_, log) = &self.running else {
            return;
        };
        let Some(lines) = self.logged_lines() else {
            return;
        };
        wait_until(SOON, || log.count() >= lines || log.is_complete());
    }

    /// How many lines the binary has logged, by its metrics.
    fn logged_lines(&self) -> Option<u64> {
        let page = self.try_say(&format!(
            "GET /-/metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        ));
        let page = page.ok()?;
        let lines = page.lines().map(str::trim_end);
        let mut count = lines.filter_map(|line| line.strip_prefix("gitferry_log_lines_total "));
        count.next()?.parse().ok()
    }

    /// The binary's stderr so far.
    pub(crate) fn log(&self) -> String {
        self.catch_up();
        self.process().1.text()
    }

    /// The lines of the binary's log with this message.
    pub(crate) fn events(&self, message: &str) -> Vec<Value> {
        self.catch_up();
        self.process().1.events(message)
    }

    /// The warnings and errors in the binary's log.
    pub(crate) fn warnings(&self) -> Vec<Value> {
        self.catch_up();
        let is_one = |event: &Value| matches!(event["level"].as_str(), Some("warn" | "error"));
        self.process().1.lines(is_one)
    }

    /// The next line of the binary's log that was not consumed yet.
    pub(crate) async fn next_line(&self) -> Value {
        let n = self.lines.fetch_add(1, Ordering::Relaxed);
        soon("another line of the log", async {
            loop {
                if let Some(line) = self.process().1.line(n) {
                    return line;
                }
                tokio::time::sleep(LOOK).await;
            }
        })
        .await
    }

    /// The next line of the binary's log with this message; skips earlier lines.
    pub(crate) async fn says(&self, message: &str) -> Value {
        loop {
            let line = self.next_line().await;
            if line["message"] == message {
                return line;
            }
        }
    }

    /// The first line of the binary's log with this message; waits for it with a deadline.
    #[track_caller]
    pub(crate) fn wait_for_event(&mut self, message: &str) -> Value {
        let mut first = None;
        wait_until(SOON, || {
            first = self.process().1.events(message).into_iter().next();
            first.is_some() || self.has_ended().is_some()
        });
        first.unwrap_or_else(|| panic!("no event {message:?} in:\n{}", self.process().1.text()))
    }

    /// The events with this name, once there are `count` of them, because the log is written asynchronously.
    pub(crate) fn wait_for_events(&self, message: &str, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        wait_until(SOON, || {
            events = self.process().1.events(message);
            events.len() >= count
        });
        events
    }

    /// The codes of the faults so far.
    pub(crate) fn fault_codes(&self) -> Vec<String> {
        self.faults().into_iter().map(|fault| fault.code).collect()
    }

    /// Every fault so far.
    pub(crate) fn faults(&self) -> Vec<FaultSeen> {
        self.catch_up();
        self.events.faults()
    }

    /// Every line of a stall so far.
    pub(crate) fn stalls(&self) -> Vec<StallSeen> {
        self.catch_up();
        self.events.stalls()
    }

    /// Every end of a transfer so far.
    pub(crate) fn ends(&self) -> Vec<EndSeen> {
        self.catch_up();
        self.events.ends()
    }

    /// The next fault that was not consumed yet. Tests that are not async wait with [`wait`](super::events::wait).
    pub(crate) async fn next_fault(&self) -> FaultSeen {
        self.events.next_fault().await
    }

    /// The next line of a stall that was not consumed yet.
    pub(crate) async fn next_stall(&self) -> StallSeen {
        self.events.next_stall().await
    }

    /// The next end of a transfer that was not consumed yet.
    pub(crate) async fn next_end(&self) -> EndSeen {
        self.events.next_end().await
    }

    /// Waits for a fault with this code.
    #[track_caller]
    pub(crate) fn wait_for_fault(&self, code: &str) -> Value {
        let mut found = None;
        wait_until(SOON, || {
            let faults = self.process().1.events("fault");
            found = faults.into_iter().find(|fault| fault["code"] == code);
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no fault {code:?}, but {:?}", self.fault_codes()))
    }

    /// Waits for the closing lines with this host and method; a line is written after the client has its answer.
    #[track_caller]
    pub(crate) fn wait_for_transfer(&self, host: &str, matches: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        wait_until(SOON, || {
            let mut ended = self.process().1.events("transfer ended").into_iter();
            found = ended.find(|event| event["host"] == host && matches(event));
            found.is_some()
        });
        found.unwrap_or_else(|| panic!("no such transfer with {host}:\n{}", self.log()))
    }
}
