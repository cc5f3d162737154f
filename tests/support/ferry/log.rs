//! The log of a daemon in a separate process, as it is written.

use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use gitferry::testing::Events;
use serde_json::Value;

use super::super::events;

/// What the daemon has written so far.
pub(super) struct Log {
    text: Arc<Mutex<String>>,
    // Ends with the daemon's stderr.
    reader: JoinHandle<()>,
}

impl Log {
    /// Reads `pipe` to its end, and converts events to values.
    pub(super) fn of(pipe: impl Read + Send + 'static) -> (Self, Events) {
        let (text, events) = (Arc::<Mutex<String>>::default(), Events::default());
        let (own, seen) = (Arc::clone(&text), events.clone());
        let reader = thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let event = events::of_line(&line);
                event.into_iter().for_each(|event| seen.push(event));
                let mut text = own.lock().unwrap();
                text.push_str(&line);
                text.push('\n');
            }
        });
        (Self { text, reader }, events)
    }

    /// All of it.
    pub(super) fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// True where the daemon has ended and its whole log was read.
    pub(super) fn is_complete(&self) -> bool {
        self.reader.is_finished()
    }

    /// How many lines of it are JSON.
    pub(super) fn count(&self) -> u64 {
        let text = self.text.lock().unwrap();
        text.lines().filter(|line| line.starts_with('{')).count() as u64
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
        self.lines(|event| event["message"] == message)
    }

    /// The lines of JSON that are `wanted`.
    pub(super) fn lines(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines();
        let events = lines.filter_map(|line| serde_json::from_str(line).ok());
        events.filter(wanted).collect()
    }
}
