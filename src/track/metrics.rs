//! Counters, in the text format of Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
};

use super::transfer::Front;

/// What was counted since the start.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    transfers: BTreeMap<(Front, String, String), u64>,
    faults: BTreeMap<(String, String), u64>,
    stalls: BTreeMap<(String, &'static str), u64>,
    stalled_ms: BTreeMap<String, u64>,
    small_segments: BTreeMap<String, u64>,
    bytes: BTreeMap<(String, &'static str), u64>,
    unmapped: BTreeMap<(String, &'static str), u64>,
    circuits: BTreeMap<(String, String), u64>,
    rerouted: BTreeMap<String, u64>,
}

/// How many circuits are not closed now, by route and upstream.
pub(crate) type OpenCircuits = BTreeMap<(Box<str>, Box<str>), usize>;

impl Metrics {
    /// Counts a transfer that ended.
    pub(crate) fn transfer(&self, front: Front, route: &str, result: &str, up: u64, down: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts
            .transfers
            .entry((front, route.to_owned(), result.to_owned()))
            .or_default() += 1;
        *counts.bytes.entry((route.to_owned(), "up")).or_default() += up;
        *counts.bytes.entry((route.to_owned(), "down")).or_default() += down;
    }

    /// Counts a fault.
    pub(crate) fn fault(&self, route: &str, code: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts
            .faults
            .entry((route.to_owned(), code.to_owned()))
            .or_default() += 1;
    }

    /// Counts an answer whose URLs were not, or not all, mapped.
    pub(crate) fn unmapped(&self, route: &str, what: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.unmapped.entry((route.to_owned(), what)).or_default() += 1;
    }

    /// Counts a circuit that opened.
    pub(crate) fn circuit(&self, route: &str, upstream: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts
            .circuits
            .entry((route.to_owned(), upstream.to_owned()))
            .or_default() += 1;
    }

    /// Counts a transfer that went another way because of an open circuit.
    pub(crate) fn rerouted(&self, route: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.rerouted.entry(route.to_owned()).or_default() += 1;
    }

    /// Counts a stall that began.
    pub(crate) fn stall(&self, route: &str, verdict: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts
            .stalls
            .entry((route.to_owned(), verdict))
            .or_default() += 1;
    }

    /// Counts a transfer that only small segments brought through.
    pub(crate) fn small_segments(&self, route: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.small_segments.entry(route.to_owned()).or_default() += 1;
    }

    /// Counts the time that a stall took, at its end.
    pub(crate) fn stalled_for(&self, route: &str, ms: u64) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.stalled_ms.entry(route.to_owned()).or_default() += ms;
    }

    /// All of it, with the transfers that run and the circuits that are open now.
    pub fn render(&self, running: usize, open: &OpenCircuits) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        head(
            &mut text,
            "gitferry_transfers_running",
            "gauge",
            "Transfers that run now.",
        );
        let _ = writeln!(text, "gitferry_transfers_running {running}");
        head(
            &mut text,
            "gitferry_transfers_total",
            "counter",
            "Transfers that ended, by front, route and result.",
        );
        for ((front, route, result), count) in &counts.transfers {
            let front = front.as_str();
            let _ = writeln!(
                text,
                "gitferry_transfers_total{{front=\"{front}\",route=\"{}\",result=\"{}\"}} {count}",
                escape(route),
                escape(result)
            );
        }
        head(
            &mut text,
            "gitferry_faults_total",
            "counter",
            "Faults, by route and code.",
        );
        for ((route, code), count) in &counts.faults {
            let _ = writeln!(
                text,
                "gitferry_faults_total{{route=\"{}\",code=\"{}\"}} {count}",
                escape(route),
                escape(code)
            );
        }
        head(
            &mut text,
            "gitferry_log_lines_dropped_total",
            "counter",
            "Log lines that were dropped because nobody read the log.",
        );
        let dropped = super::log::dropped();
        let _ = writeln!(text, "gitferry_log_lines_dropped_total {dropped}");
        counts.render_stalls(&mut text);
        counts.render_circuits(&mut text, open);
        head(
            &mut text,
            "gitferry_body_bytes_total",
            "counter",
            "Body bytes, by route and direction.",
        );
        for ((route, direction), count) in &counts.bytes {
            let _ = writeln!(
                text,
                "gitferry_body_bytes_total{{route=\"{}\",direction=\"{direction}\"}} {count}",
                escape(route)
            );
        }
        head(
            &mut text,
            "gitferry_answers_unmapped_total",
            "counter",
            "Answers with URLs that were left as they came, by route and rewrite; `away`: hosts that are not served.",
        );
        for ((route, what), count) in &counts.unmapped {
            let _ = writeln!(
                text,
                "gitferry_answers_unmapped_total{{route=\"{}\",rewrite=\"{what}\"}} {count}",
                escape(route)
            );
        }
        text
    }
}

impl Counts {
    fn render_circuits(&self, text: &mut String, open: &OpenCircuits) {
        head(
            text,
            "gitferry_circuits_open",
            "gauge",
            "Hosts for which an upstream's circuit is not closed now, by route and upstream.",
        );
        for ((route, upstream), count) in open {
            let (route, upstream) = (escape(route), escape(upstream));
            let _ = writeln!(
                text,
                "gitferry_circuits_open{{route=\"{route}\",upstream=\"{upstream}\"}} {count}"
            );
        }
        head(
            text,
            "gitferry_transfers_rerouted_total",
            "counter",
            "Transfers that went another way because of an open circuit, by route.",
        );
        for (route, count) in &self.rerouted {
            let route = escape(route);
            let _ = writeln!(
                text,
                "gitferry_transfers_rerouted_total{{route=\"{route}\"}} {count}"
            );
        }
        head(
            text,
            "gitferry_circuits_opened_total",
            "counter",
            "Circuits that opened, by route and upstream.",
        );
        for ((route, upstream), count) in &self.circuits {
            let _ = writeln!(
                text,
                "gitferry_circuits_opened_total{{route=\"{}\",upstream=\"{}\"}} {count}",
                escape(route),
                escape(upstream)
            );
        }
    }

    fn render_stalls(&self, text: &mut String) {
        head(
            text,
            "gitferry_stalls_total",
            "counter",
            "Stalls that began, by route and verdict.",
        );
        for ((route, verdict), count) in &self.stalls {
            let _ = writeln!(
                text,
                "gitferry_stalls_total{{route=\"{}\",verdict=\"{verdict}\"}} {count}",
                escape(route)
            );
        }
        head(
            text,
            "gitferry_stalled_milliseconds_total",
            "counter",
            "Time in stalls that are over, by route.",
        );
        for (route, ms) in &self.stalled_ms {
            let _ = writeln!(
                text,
                "gitferry_stalled_milliseconds_total{{route=\"{}\"}} {ms}",
                escape(route)
            );
        }
        head(
            text,
            "gitferry_small_segments_total",
            "counter",
            "Transfers that only small TCP segments brought through, by route.",
        );
        for (route, count) in &self.small_segments {
            let _ = writeln!(
                text,
                "gitferry_small_segments_total{{route=\"{}\"}} {count}",
                escape(route)
            );
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// A label's value (Prometheus, exposition formats).
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
