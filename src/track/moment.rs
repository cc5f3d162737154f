//! Points in time as text, in UTC: in the format of the log, and for people.

use std::time::SystemTime;

use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem,
    macros::format_description,
};

use super::digits;

/// RFC 3339 with milliseconds: 24 characters until the year 9999.
const LOGGED: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const SHOWN: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

/// `2026-11-23T16:00:00.000Z`.
pub(crate) fn logged(at: SystemTime) -> String {
    let mut text = String::with_capacity(24);
    log(&mut text, at);
    text
}

/// Appends the same to `line`. It does not use [`LOGGED`]: every line has a time, and a format description is ten times as slow.
pub(crate) fn log(line: &mut String, at: SystemTime) {
    let at = OffsetDateTime::from(at);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, milli) = at.to_hms_milli();
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (end, width, number) in [
        (4, 4, year.unsigned_abs()),
        (7, 2, u8::from(month).into()),
        (10, 2, day.into()),
        (13, 2, hour.into()),
        (16, 2, minute.into()),
        (19, 2, second.into()),
        (23, 3, milli.into()),
    ] {
        let places = text.get_mut(end - width..end).unwrap_or_default();
        let mut rest = u64::from(number);
        for place in places.iter_mut().rev() {
            *place = digits::digit(rest);
            rest /= 10;
        }
    }
    line.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// `2026-11-23 16:00:00`.
pub(crate) fn display(at: SystemTime) -> String {
    // Every time of a current clock can be formatted.
    OffsetDateTime::from(at).format(&SHOWN).unwrap_or_default()
}

/// Parses the format of [`logged`] and nothing else.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let at = PrimitiveDateTime::parse(text, LOGGED).ok()?;
    Some(at.assume_utc().into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_logged_time_can_be_parsed_again() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_007, "2000-02-29T00:00:00.007Z"),
            (1_795_440_896_120, "2026-11-23T13:34:56.120Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(logged(at), text);
            assert_eq!(parse(text), Some(at));
        }
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(951_827_696_900);
        assert_eq!(display(at), "2000-02-29 12:34:56");
    }
}
