//! One event of a log, in either format. Values are as in the line.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use crate::track::moment;

/// An event of the log.
#[derive(Debug)]
pub(super) struct LogRecord<'a> {
    /// When it was written.
    pub(super) time: Option<Time>,
    /// The process, where the log names it; 0 elsewhere.
    pub(super) pid: u32,
    /// The constant message.
    pub(super) message: Cow<'a, str>,
    /// Everything else; the text format makes each value a string.
    pub(super) fields: Vec<(Cow<'a, str>, Value)>,
}

impl LogRecord<'_> {
    /// A field's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str()
    }

    /// A field's number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Value::String(text) => text.parse().ok(),
            value => value.as_u64(),
        }
    }

    /// A field's truth value.
    pub(super) fn is(&self, name: &str) -> Option<bool> {
        match self.value(name)? {
            Value::String(text) => text.parse().ok(),
            value => value.as_bool(),
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        let mut fields = self.fields.iter();
        fields.find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// Milliseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(pub(super) u64);

/// As long as `2026-11-23T16:00:00.000Z`.
pub(super) const TIME_LENGTH: usize = 24;

impl Time {
    /// Parses a time in the format of the log only.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The log writes every part with its full length.
        let at = moment::parse(text).filter(|_| text.len() == TIME_LENGTH)?;
        let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        u64::try_from(since.as_millis()).ok().map(Self)
    }

    /// `2026-11-23 16:00:00`, UTC.
    pub(super) fn shown(self) -> String {
        moment::display(self.at())
    }

    /// As the log has it.
    pub(super) fn rfc3339(self) -> String {
        moment::logged(self.at())
    }

    fn at(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_was_written() {
        let mut random = fastrand::Rng::with_seed(8);
        for _ in 0..20_000 {
            let time = Time(random.u64(0..253_402_300_800_000));
            assert_eq!(
                Time::parse(&time.rfc3339()),
                Some(time),
                "{}",
                time.rfc3339()
            );
        }
        assert_eq!(Time(1_795_440_896_120).shown(), "2026-11-23 13:34:56");
    }

    #[test]
    fn a_time_in_another_format_is_refused() {
        for text in [
            "",
            "2026-11-23T16:00:00.000000Z",
            "2026-11-23 16:00:00.000Z",
            "2026-13-23T16:00:00.000Z",
            "2026-00-00T16:00:00.000Z",
            "2026-11-2éT16:00:00.00Z",
            "1969-12-31T23:59:59.999Z",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}
