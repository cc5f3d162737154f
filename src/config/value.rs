//! Parses durations, sizes and URLs of the config.

use std::time::Duration;

use hyper::http::uri::PathAndQuery;

use crate::model::{Scheme, Target};

/// Parses `"250ms"`, `"20s"`, `"5m"`, `"1h"`. Fails with the reason on any other text.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text:?} is not a duration"))?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "" => return Err(format!("{text:?} has no unit")),
        unit => return Err(format!("{unit:?} is not a unit of time")),
    };
    // Timers overflow far beyond a year, and no useful setting is longer.
    millis
        .filter(|millis| *millis <= 366 * 24 * 3_600_000)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is longer than a year"))
}

/// Parses `"64 KiB"`, `"1 MiB"`, `"5 GiB"`, `"512 B"`. Fails with the reason on any other text.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text:?} is not a size"))?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "" => return Err(format!("{text:?} has no unit")),
        unit => return Err(format!("{unit:?} is not a unit of size")),
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| format!("{text:?} is too large"))
}

fn split(text: &str) -> (&str, &str) {
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    (number, unit.trim_start())
}

/// The relevant parts of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UrlParts<'a> {
    /// Lower case.
    pub scheme: String,
    /// The text before `@`: a secret.
    pub user_info: Option<&'a str>,
    /// Host and port, as written.
    pub authority: &'a str,
    /// The path from the first slash on; may be empty.
    pub path: &'a str,
    /// True where a query or a fragment follows.
    pub more: bool,
}

/// Splits a URL; `None` where scheme or authority is missing.
pub(super) fn url(text: &str) -> Option<UrlParts<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    if scheme.is_empty()
        || !scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    {
        return None;
    }
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (location, query) = rest.split_at(end);
    let slash = location.find('/').unwrap_or(location.len());
    let (whole, path) = location.split_at(slash);
    let (user_info, authority) = match whole.rsplit_once('@') {
        Some((user, authority)) => (Some(user), authority),
        None => (None, whole),
    };
    (!authority.is_empty()).then(|| UrlParts {
        scheme: scheme.to_ascii_lowercase(),
        user_info,
        authority,
        path,
        more: !query.is_empty(),
    })
}

/// Parses a mirror's URL: scheme, target, and base path without its final slash. Fails with the reason.
pub(super) fn mirror(text: &str) -> Result<(Scheme, Target, Box<str>), String> {
    let url = url(text).ok_or("it is not a URL")?;
    let scheme = match url.scheme.as_str() {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        other => return Err(format!("a mirror is http or https, not {other}")),
    };
    if url.user_info.is_some() {
        return Err("a mirror's URL has no user info".into());
    }
    if url.more {
        return Err("a mirror's URL has no query and no fragment".into());
    }
    let target = Target::parse(url.authority, Some(scheme.default_port()))
        .map_err(|error| error.to_string())?;
    let path = url.path.trim_end_matches('/');
    // The path must be valid as the beginning of a request's path.
    if format!("{path}/").parse::<PathAndQuery>().is_err() {
        return Err(format!("{path:?} is not a path of a URL"));
    }
    Ok((scheme, target, path.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_a_number_and_a_unit() {
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("20s").unwrap(), Duration::from_secs(20));
        assert_eq!(duration("5 m").unwrap(), Duration::from_secs(300));
        assert_eq!(size("64 KiB").unwrap(), 65_536);
        assert_eq!(size("1MiB").unwrap(), 1_048_576);
        for bad in [
            "",
            "20",
            "s",
            "-1s",
            "1.5s",
            "20 sec",
            "99999999999999999999s",
            "9000000h",
        ] {
            duration(bad).unwrap_err();
        }
        for bad in ["", "64", "64 kb", "KiB", "99999999999999999 GiB"] {
            size(bad).unwrap_err();
        }
    }

    #[test]
    fn a_url_is_split_into_its_parts() {
        let parts = url("HTTP://me:pw@proxy.test:3128/x?y").unwrap();
        assert_eq!(
            (
                parts.scheme.as_str(),
                parts.user_info,
                parts.authority,
                parts.path,
                parts.more
            ),
            ("http", Some("me:pw"), "proxy.test:3128", "/x", true)
        );
        for bad in ["", "proxy:3128", "http://", "://x", "http:///x"] {
            assert_eq!(url(bad), None, "{bad}");
        }
        assert_eq!(&*mirror("https://hf-mirror.com/base/").unwrap().2, "/base");
        mirror("https://m.test/my hub").unwrap_err();
    }
}
