//! Bytes, rates and durations for people, with three digits and a unit.

/// `512 B`, `1.5 KiB`, `64.0 MiB`, `720 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    scaled(bytes, "")
}

/// `720 KiB/s`.
pub(crate) fn rate(bytes: u64, ms: u64) -> String {
    let rate = u128::from(bytes) * 1000 / u128::from(ms.max(1));
    scaled(u64::try_from(rate).unwrap_or(u64::MAX), "/s")
}

fn scaled(bytes: u64, suffix: &str) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    // 1000 and more would need four digits.
    if bytes < 1000 {
        return format!("{bytes} B{suffix}");
    }
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 999.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if value < 99.95 {
        format!("{value:.1} {unit}{suffix}")
    } else {
        format!("{value:.0} {unit}{suffix}")
    }
}

/// `12 ms`, `1.2 s`, `45 s`, `1m 31s`, `2h 05m`, `3d 04h`.
pub(crate) fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..9950 => format!("{:.1} s", ms as f64 / 1000.0),
        9950..59_500 => format!("{:.0} s", ms as f64 / 1000.0),
        59_500..3_600_000 => pair(ms.div_ceil(1000), 60, ["m", "s"]),
        3_600_000..86_400_000 => pair(ms / 60_000, 60, ["h", "m"]),
        _ => pair(ms / 3_600_000, 24, ["d", "h"]),
    }
}

fn pair(value: u64, base: u64, units: [&str; 2]) -> String {
    let [large, small] = units;
    format!("{}{large}{:02}{small}", value / base, value % base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        for (given, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (67_108_864, "64.0 MiB"),
            (1_047_000_000, "998 MiB"),
            (1_048_575_000, "1.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(given), shown);
            assert!(shown.chars().count() <= 8);
        }
        assert_eq!(rate(1 << 20, 500), "2.0 MiB/s");
        assert_eq!(rate(u64::MAX, 0), "16.0 EiB/s");
        for (given, shown) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1.0 s"),
            (9949, "9.9 s"),
            (12_300, "12 s"),
            (59_499, "59 s"),
            (91_240, "1m32s"),
            (3_600_000, "1h00m"),
            (100_000_000, "1d03h"),
        ] {
            assert_eq!(duration(given), shown);
            assert!(shown.chars().count() <= 6);
        }
    }
}
