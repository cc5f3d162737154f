//! One event of a log, whichever format it was written in. Values are as the line has them: nothing is judged here.

use std::borrow::Cow;

use serde_json::Number;

/// An event as read back.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// When it was written.
    pub(super) time: Option<Time>,
    /// Of which process, where the log says so; 0 elsewhere.
    pub(super) pid: u32,
    /// The constant message.
    pub(super) message: Cow<'a, str>,
    /// Everything else.
    pub(super) fields: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// A field's value; the text format makes everything a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A number.
    Number(Number),
    /// A truth value.
    Bool(bool),
    /// What journald could not show as a string.
    Bytes(Vec<u8>),
    /// Null, lists and objects, which gitferry writes none of.
    Other,
}

impl Record<'_> {
    /// A field's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            Value::Number(_) | Value::Bool(_) | Value::Bytes(_) | Value::Other => None,
        }
    }

    /// A field's number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Value::Text(text) => text.parse().ok(),
            Value::Number(number) => number.as_u64(),
            Value::Bool(_) | Value::Bytes(_) | Value::Other => None,
        }
    }

    fn value(&self, name: &str) -> Option<&Value<'_>> {
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
    /// Reads what the log layer writes, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes: &[u8; TIME_LENGTH] = text.as_bytes().try_into().ok()?;
        let punctuation = [
            (4, b'-'),
            (7, b'-'),
            (10, b'T'),
            (13, b':'),
            (16, b':'),
            (19, b'.'),
            (23, b'Z'),
        ];
        if punctuation
            .iter()
            .any(|(at, mark)| bytes.get(*at) != Some(mark))
        {
            return None;
        }
        let number = |from: usize, to: usize| {
            let digits = bytes.get(from..to)?;
            digits.iter().try_fold(0_u64, |sum, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| sum * 10 + u64::from(digit - b'0'))
            })
        };
        let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?)?;
        let seconds = number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
        Some(Self((days * 86_400 + seconds) * 1000 + number(20, 23)?))
    }

    /// `2026-11-23 16:00:00`, UTC.
    pub(super) fn shown(self) -> String {
        let text = crate::track::log::rfc3339(self.0 / 1000, 0);
        text.get(..19).unwrap_or_default().replace('T', " ")
    }

    /// As the log has it.
    pub(super) fn rfc3339(self) -> String {
        let millis = u32::try_from(self.0 % 1000).unwrap_or_default();
        crate::track::log::rfc3339(self.0 / 1000, millis)
    }
}

/// A date of the Gregorian calendar to days since 1970-01-01; years are counted from March, so that the leap day is their last.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days.checked_sub(719_468)
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
    fn what_is_no_time_of_ours_is_none() {
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
