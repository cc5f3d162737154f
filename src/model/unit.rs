//! Durations and sizes in the form of a config file: `"20s"`, `"64 KiB"`. `config` reads them.

use std::time::Duration;

use serde::Serializer;

const TIMES: [(u128, &str); 3] = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
const SIZES: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// A duration, rounded down to milliseconds, in the largest unit that has no fraction.
pub(crate) fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    let whole = |(unit, _): &&(u128, &str)| millis >= *unit && millis.is_multiple_of(*unit);
    match TIMES.iter().find(whole) {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

/// A size in the largest unit that has no fraction.
pub(crate) fn size(bytes: u64) -> String {
    let whole = |(unit, _): &&(u64, &str)| bytes >= *unit && bytes.is_multiple_of(*unit);
    match SIZES.iter().find(whole) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}

/// The duration in milliseconds, rounded down.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// [`duration`], for `serialize_with`.
pub(crate) fn as_duration<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&duration(*time))
}

/// [`size`], for `serialize_with`.
pub(crate) fn as_size<S: Serializer>(bytes: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&size(*bytes))
}

/// [`size`] for a length in memory.
pub(crate) fn as_usize<S: Serializer>(bytes: &usize, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&size(*bytes as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_in_the_largest_unit_without_a_fraction() {
        for (millis, text) in [
            (0, "0s"),
            (250, "250ms"),
            (1000, "1s"),
            (1500, "1500ms"),
            (90_000, "90s"),
            (300_000, "5m"),
            (3_600_000, "1h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
        for (bytes, text) in [
            (0, "0 B"),
            (1000, "1000 B"),
            (65_536, "64 KiB"),
            (1 << 20, "1 MiB"),
            (5 << 30, "5 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
