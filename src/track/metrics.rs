//! Counters and histograms, in the text format 0.0.4 of Prometheus or as OpenMetrics 1.0.
//!
//! A metric needs its entry in [`METRICS`] and the line in the event that counts it. `prometheus-client` cannot replace this module: it
//! writes only OpenMetrics, where the family of a counter is named without `_total`, and format 0.0.4 does not support that.
//!
//! The number of label sets is bounded: routes and upstreams come from the config, codes and verdicts from tables. Beyond [`SERIES`] label
//! sets, a metric counts the rest as `(others)`.

mod exposition;

use std::{fmt::Write, sync::MutexGuard};

use crate::{model::named::named, sync::Mutex};
pub use exposition::Exposition;
use exposition::braces;

/// The largest number of label sets of one metric.
const SERIES: usize = 500;
const OTHERS: &str = "(others)";

named! {
/// The type of a metric.
pub(crate) enum MetricKind {
    /// It only increases.
    Counter = "counter",
    /// It increases and decreases.
    Gauge = "gauge",
    /// Observations by bucket.
    Histogram = "histogram",
}
}

/// One entry of [`METRICS`].
#[derive(Debug)]
pub(crate) struct Metric {
    /// The type.
    pub kind: MetricKind,
    /// The name; a counter's ends in `_total`.
    pub name: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it counts, in a sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($kind:ident $metric:ident = $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub(crate) static $metric: Metric = Metric {
                kind: MetricKind::$kind,
                name: $name,
                labels: &[$($label),*],
                help: $help,
            };
        )+

        /// Every metric, in the order of the page and the manual.
        pub(crate) static METRICS: &[&Metric] = &[$(&$metric),+];
    };
}

metrics! {
    Gauge TRANSFERS_RUNNING = "gitferry_transfers_running" [] "Running transfers.";
    Counter TRANSFERS = "gitferry_transfers_total" ["front", "route", "result"] "Ended transfers.";
    Counter BODY_BYTES = "gitferry_body_bytes_total" ["route", "direction"] "Body bytes.";
    Histogram STAGE_SECONDS = "gitferry_stage_seconds" ["route", "stage"] "Time that a transfer spent in a stage.";
    Histogram FIRST_BYTE_SECONDS = "gitferry_first_byte_seconds" ["route"] "Time from a request to the beginning of its response.";
    Counter REFUSALS = "gitferry_refusals_total" ["route", "status"] "Requests that the site itself refused with a 4xx or 5xx that no healthy client expects.";
    Counter FAULTS = "gitferry_faults_total" ["route", "code"] "Faults.";
    Counter RESCUES = "gitferry_rescues_total" ["route", "means"] "Faults after which a transfer went on: retry, next-upstream, replay or resume.";
    Counter STALLS = "gitferry_stalls_total" ["route", "verdict"] "Stalls.";
    Counter STALLED_MS = "gitferry_stalled_milliseconds_total" ["route"] "Duration of stalls that are over.";
    Counter SMALL_SEGMENTS = "gitferry_small_segments_total" ["route"] "Transfers that succeeded only with small TCP segments.";
    Gauge CIRCUITS_OPEN = "gitferry_circuits_open" ["route", "upstream"] "Hosts for which an upstream's circuit is not closed now.";
    Counter CIRCUITS_OPENED = "gitferry_circuits_opened_total" ["route", "upstream"] "Circuits that opened.";
    Counter REROUTED = "gitferry_transfers_rerouted_total" ["route"] "Transfers that used another upstream because of an open circuit.";
    Counter UNMAPPED = "gitferry_answers_unmapped_total" ["route", "rewrite"] "Responses whose URLs were not rewritten; `away`: links to hosts without a route.";
    Gauge IDLE_CONNECTIONS = "gitferry_origin_connections_idle" [] "Idle origin connections.";
    Gauge REPLAY_BYTES = "gitferry_replay_bytes" ["place"] "Space that kept uploads take in memory and in the spool; in the spool it includes what is reserved ahead, up to 4 MiB per upload.";
    Counter REPLAY_GIVEN_UP = "gitferry_replay_given_up_total" ["route"] "Uploads that could no longer be kept for replay.";
    Counter LOG_LINES = "gitferry_log_lines_total" [] "Lines that were logged.";
    Counter LOG_LINES_DROPPED = "gitferry_log_lines_dropped_total" [] "Log lines dropped because the log was not read.";
}

/// Upper bounds of the histograms' buckets, in seconds: from a local response to git-lfs' timeout.
const BUCKETS: [f64; 12] = [
    0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0,
];

/// The counts since the start.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Families>);

/// By the index in [`METRICS`]; empty before the first count.
type Families = Vec<Series>;

/// The label sets of one metric, sorted, so that a look-up allocates no label set.
#[derive(Debug, Default)]
struct Series(Vec<(Box<[Box<str>]>, SeriesValue)>);

impl Series {
    /// The index of these labels, or the index at which to insert them.
    fn find(&self, labels: &[&str]) -> Result<usize, usize> {
        let sought = labels.iter().copied();
        let compare = |(key, _): &(Box<[Box<str>]>, SeriesValue)| {
            key.iter().map(|label| &**label).cmp(sought.clone())
        };
        self.0.binary_search_by(compare)
    }

    /// The value of these labels, created where there is none.
    fn value(&mut self, labels: &[&str], kind: MetricKind) -> Option<&mut SeriesValue> {
        let is_full = self.0.len() >= SERIES && labels.iter().any(|label| *label != OTHERS);
        if is_full && self.find(labels).is_err() {
            return self.value(&vec![OTHERS; labels.len()], kind);
        }
        let at = self.find(labels).unwrap_or_else(|at| {
            let key = labels.iter().map(|label| (*label).into()).collect();
            self.0.insert(at, (key, SeriesValue::new(kind)));
            at
        });
        self.0.get_mut(at).map(|(_, value)| value)
    }
}

#[derive(Debug)]
enum SeriesValue {
    Count(u64),
    Histogram(Histogram),
}

impl SeriesValue {
    fn new(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Counter | MetricKind::Gauge => Self::Count(0),
            MetricKind::Histogram => Self::Histogram(Histogram::default()),
        }
    }
}

#[derive(Debug, Default)]
struct Histogram {
    /// Observations by bucket, the last one without an upper bound.
    buckets: [u64; BUCKETS.len() + 1],
    sum: f64,
}

/// A value read when the metrics are requested, not counted by events.
pub(crate) struct Gauge {
    metric: &'static Metric,
    labels: Vec<Box<str>>,
    value: u64,
}

impl Gauge {
    /// One series.
    pub(crate) fn new(metric: &'static Metric, labels: &[&str], value: u64) -> Self {
        Self {
            metric,
            labels: labels.iter().map(|label| (*label).into()).collect(),
            value,
        }
    }
}

impl Metrics {
    /// Counts one.
    pub(crate) fn count(&self, metric: &'static Metric, labels: &[&str]) {
        self.lock().count(metric, labels);
    }

    /// Counts `more`.
    pub(crate) fn add(&self, metric: &'static Metric, labels: &[&str], more: u64) {
        self.lock().add(metric, labels, more);
    }

    /// For several counts under one lock.
    pub(crate) fn lock(&self) -> LockedMetrics<'_> {
        LockedMetrics(self.0.lock())
    }

    /// The counts as text.
    #[cfg(any(test, feature = "testing"))]
    pub fn text(&self) -> String {
        self.render(Exposition::Text, &[])
    }

    /// All metrics, with `readings`.
    pub(crate) fn render(&self, exposition: Exposition, readings: &[Gauge]) -> String {
        let families = self.lock().0;
        let mut text = String::new();
        for (at, metric) in METRICS.iter().enumerate() {
            metric.head(&mut text, exposition);
            for reading in readings
                .iter()
                .filter(|reading| reading.metric.name == metric.name)
            {
                let labels = metric.labels(&reading.labels);
                let _ = writeln!(text, "{}{} {}", metric.name, braces(&labels), reading.value);
            }
            let series = families.get(at).into_iter();
            for (labels, value) in series.flat_map(|series| &series.0) {
                metric.series(&mut text, &metric.labels(labels), value);
            }
        }
        if exposition == Exposition::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

/// The counts while no other thread changes them.
pub(crate) struct LockedMetrics<'a>(MutexGuard<'a, Families>);

impl LockedMetrics<'_> {
    /// Counts one.
    pub(crate) fn count(&mut self, metric: &'static Metric, labels: &[&str]) {
        self.add(metric, labels, 1);
    }

    /// Counts `more`.
    pub(crate) fn add(&mut self, metric: &'static Metric, labels: &[&str], more: u64) {
        self.update(metric, labels, |value| match value {
            SeriesValue::Count(count) => *count = count.saturating_add(more),
            SeriesValue::Histogram(_) => {}
        });
    }

    /// Adds an observation to a histogram.
    pub(crate) fn observe_ms(&mut self, metric: &'static Metric, labels: &[&str], ms: u64) {
        let seconds = ms as f64 / 1000.0;
        self.update(metric, labels, |value| match value {
            SeriesValue::Count(_) => {}
            SeriesValue::Histogram(histogram) => {
                let at = BUCKETS.iter().position(|bound| seconds <= *bound);
                if let Some(bucket) = histogram.buckets.get_mut(at.unwrap_or(BUCKETS.len())) {
                    *bucket += 1;
                }
                histogram.sum += seconds;
            }
        });
    }

    fn update(
        &mut self,
        metric: &'static Metric,
        labels: &[&str],
        change: impl FnOnce(&mut SeriesValue),
    ) {
        let Some(at) = METRICS
            .iter()
            .position(|known| std::ptr::eq(*known, metric))
        else {
            return;
        };
        let families = &mut self.0;
        if families.len() <= at {
            families.resize_with(METRICS.len(), Series::default);
        }
        let series = families.get_mut(at);
        if let Some(value) = series.and_then(|series| series.value(labels, metric.kind)) {
            change(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> Metrics {
        let metrics = Metrics::default();
        metrics.count(&FAULTS, &["main", "hop/greeting/\"odd\"\n"]);
        metrics.add(&BODY_BYTES, &["main", "up"], 12);
        for ms in [3, 40, 40, 700_000] {
            let mut locked = metrics.lock();
            locked.observe_ms(&STAGE_SECONDS, &["main", "connecting"], ms);
        }
        metrics
    }

    #[test]
    fn a_counters_family_is_its_name_in_text_and_without_total_in_open_metrics() {
        let text = filled().render(Exposition::Text, &[Gauge::new(&TRANSFERS_RUNNING, &[], 3)]);
        assert!(
            text.contains("# TYPE gitferry_faults_total counter\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "gitferry_faults_total{route=\"main\",code=\"hop/greeting/\\\"odd\\\"\\n\"} 1\n"
            ),
            "{text}"
        );
        assert!(text.contains("gitferry_transfers_running 3\n"), "{text}");
        assert!(!text.contains("# EOF"));
        let open = filled().render(Exposition::OpenMetrics, &[]);
        assert!(open.contains("# TYPE gitferry_faults counter\n"), "{open}");
        assert!(open.contains("gitferry_faults_total{"), "{open}");
        assert!(open.ends_with("# EOF\n"), "{open}");
    }

    #[test]
    fn the_buckets_of_a_histogram_are_cumulative() {
        let text = filled().render(Exposition::Text, &[]);
        for line in [
            "gitferry_stage_seconds_bucket{route=\"main\",stage=\"connecting\",le=\"0.005\"} 1\n",
            "gitferry_stage_seconds_bucket{route=\"main\",stage=\"connecting\",le=\"0.05\"} 3\n",
            "gitferry_stage_seconds_bucket{route=\"main\",stage=\"connecting\",le=\"600.0\"} 3\n",
            "gitferry_stage_seconds_bucket{route=\"main\",stage=\"connecting\",le=\"+Inf\"} 4\n",
            "gitferry_stage_seconds_sum{route=\"main\",stage=\"connecting\"} 700.083\n",
            "gitferry_stage_seconds_count{route=\"main\",stage=\"connecting\"} 4\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn the_number_of_label_sets_is_bounded() {
        let metrics = Metrics::default();
        for code in 0..10_000 {
            metrics.count(&FAULTS, &["main", &code.to_string()]);
        }
        let text = metrics.render(Exposition::Text, &[]);
        let series = text
            .lines()
            .filter(|line| line.starts_with("gitferry_faults_total{"));
        assert_eq!(series.count(), SERIES + 1);
        assert!(
            text.contains(&format!("code=\"(others)\"}} {}", 10_000 - SERIES)),
            "{text}"
        );
    }

    #[test]
    fn accept_selects_the_format() {
        for (accept, expected) in [
            ("", Exposition::Text),
            ("*/*", Exposition::Text),
            ("text/plain;version=0.0.4", Exposition::Text),
            ("application/openmetrics-text", Exposition::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
            (
                "application/openmetrics-text;q=0.2, text/plain;q=0.9",
                Exposition::Text,
            ),
            ("application/openmetrics-text;q=0", Exposition::Text),
        ] {
            assert_eq!(Exposition::negotiate(accept), expected, "{accept}");
        }
    }
}
