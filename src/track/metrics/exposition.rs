//! The text of the metrics, in Prometheus' own format or as OpenMetrics.

use std::fmt::Write as _;

use super::{BUCKETS, Metric, SeriesValue};

/// The format of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Exposition {
    /// The format for a value of `Accept`: OpenMetrics where it is named and its weight is not below that of plain text.
    pub(crate) fn negotiate(accept: &str) -> Self {
        let weight = |name: &str| {
            let mut ranges = accept.split(',').map(str::trim);
            let range = ranges.find(|range| {
                let kind = range.split(';').next().unwrap_or_default();
                kind.trim().eq_ignore_ascii_case(name)
            })?;
            let mut parameters = range.split(';').map(str::trim);
            let quality = parameters.find_map(|parameter| parameter.strip_prefix("q="));
            Some(quality.map_or(1.0, |q| q.parse::<f64>().unwrap_or(0.0)))
        };
        let wanted = weight("application/openmetrics-text").unwrap_or(0.0);
        if wanted > 0.0 && wanted >= weight("text/plain").unwrap_or(0.0) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The value of `Content-Type`.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Metric {
    pub(super) fn head(&self, text: &mut String, exposition: Exposition) {
        let family = match exposition {
            Exposition::Text => self.name,
            Exposition::OpenMetrics => self.name.strip_suffix("_total").unwrap_or(self.name),
        };
        let kind = self.kind.as_str();
        let _ = writeln!(
            text,
            "# HELP {family} {}\n# TYPE {family} {kind}",
            self.help
        );
    }

    /// `route="main",code="x"`.
    pub(super) fn labels(&self, values: &[Box<str>]) -> String {
        let pairs = self.labels.iter().zip(values);
        let pairs = pairs.map(|(name, value)| format!("{name}=\"{}\"", escape(value)));
        pairs.collect::<Vec<_>>().join(",")
    }

    pub(super) fn series(&self, text: &mut String, labels: &str, value: &SeriesValue) {
        let name = self.name;
        match value {
            SeriesValue::Count(count) => {
                let _ = writeln!(text, "{name}{} {count}", braces(labels));
            }
            SeriesValue::Histogram(histogram) => {
                let comma = if labels.is_empty() { "" } else { "," };
                let mut count = 0;
                let bounds = BUCKETS.iter().map(|bound| format!("{bound:?}"));
                let bounds = bounds.chain(["+Inf".to_owned()]);
                for (bound, bucket) in bounds.zip(histogram.buckets) {
                    count += bucket;
                    let _ = writeln!(
                        text,
                        "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"
                    );
                }
                let braces = braces(labels);
                let _ = writeln!(text, "{name}_sum{braces} {:?}", histogram.sum);
                let _ = writeln!(text, "{name}_count{braces} {count}");
            }
        }
    }
}

pub(super) fn braces(labels: &str) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!("{{{labels}}}")
    }
}

/// A label's value, escaped (Prometheus, "Exposition formats").
fn escape(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
