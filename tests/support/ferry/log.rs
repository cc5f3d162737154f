//! The log of a daemon that is a process of its own, as it comes.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex},
    thread,
};

use gitferry::testing::Events;
use serde_json::Value;

use super::super::events;

/// What the daemon has written so far.
pub(super) struct Log(Arc<Mutex<String>>);

impl Log {
    /// Reads `pipe` to its end; the events come as values too.
    pub(super) fn of(pipe: impl Read + Send + 'static) -> (Self, Events) {
        let (log, events) = (Self(Arc::default()), Events::default());
        let (text, seen) = (Arc::clone(&log.0), events.clone());
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let event = events::of_line(&line);
                let mut text = text.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
                drop(text);
                event.into_iter().for_each(|event| seen.push(event));
            }
        });
        (log, events)
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    /// Line number `n`, from 0, of those that are JSON.
    pub(super) fn line(&self, n: usize) -> Option<Value> {
        let text = self.text();
        let mut lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        lines.nth(n)
    }

    /// The lines with this message.
    pub(super) fn events(&self, message: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines();
        let events = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["message"] == message).collect()
    }
}
