//! What concerns the daemon as a whole: where it listens and for whom, its files, its log, its patience.

use std::{fs, net::SocketAddr, path::PathBuf};

use super::{Variables, credentials::credentials, or_base};
use crate::config::{
    Dial, Listen, Log, LogFormat, LogLevel, Pool, Replay, Trust, file::Span, section::Section,
    value,
};

pub(super) fn listen(
    section: Section<'_, '_>,
    base: Option<&Listen>,
    variables: Variables<'_>,
) -> Option<Listen> {
    let mut addresses = Vec::new();
    let written = section.strings("address", true);
    for (text, span) in written.iter().flatten() {
        match text.parse::<SocketAddr>() {
            Ok(address) => addresses.push(address),
            Err(_) => section.source.problem(
                span.clone(),
                "listen.address",
                format!("{text:?} is no address and port"),
                Some("written as \"127.0.0.1:4483\" or \"[::1]:4483\""),
            ),
        }
    }
    if written.as_ref().is_some_and(Vec::is_empty) {
        section.source.problem(
            section.place("address"),
            "listen.address",
            "`listen.address` is empty",
            Some("one address is needed"),
        );
    }
    let addresses = match written {
        Some(_) => Some(addresses),
        None => or_base(
            &section,
            "address",
            None,
            base.map(|base| base.addresses.clone()),
        ),
    };
    let credentials = credentials(&section, variables);
    let open = addresses
        .iter()
        .flatten()
        .any(|address| !address.ip().is_loopback());
    if open && credentials.is_none() {
        section.source.problem(
            section.place("address"),
            "listen.address",
            "an address that is not loopback needs credentials, or anybody could use this daemon",
            Some("set `username` and `password_file` (or `password_env`) of `[listen]`"),
        );
    }
    let max_connections = section
        .integer("max_connections", 1..=1_000_000)
        .map(|n| n as usize);
    let max_connections = or_base(
        &section,
        "max_connections",
        max_connections,
        base.map(|base| base.max_connections),
    );
    let max_head = or_base(
        &section,
        "max_head",
        section.size("max_head"),
        base.map(|base| base.max_head),
    );
    if max_head.is_some_and(|size| !(8 * 1024..=16 * 1024 * 1024).contains(&size)) {
        section.source.problem(
            section.place("max_head"),
            "listen.max_head",
            "`listen.max_head` must lie between 8 KiB and 16 MiB",
            None,
        );
    }
    let head_timeout = or_base(
        &section,
        "head_timeout",
        section.duration("head_timeout"),
        base.map(|base| base.head_timeout),
    );
    section.finish();
    Some(Listen {
        addresses: addresses?,
        credentials,
        max_connections: max_connections?,
        max_head: max_head?,
        head_timeout: head_timeout?,
    })
}

/// The embedded default has none of its own: a file that sets it must not need the variables.
pub(super) fn state_directory(
    section: Section<'_, '_>,
    required: bool,
    variables: Variables<'_>,
) -> Option<PathBuf> {
    let written = section
        .string("directory")
        .map(|written| section.source.path(written));
    let place = section.place("directory");
    let absolute = |name| {
        variables(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    // systemd gives a list where a unit has several.
    let systemd =
        variables("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    let found = written
        .or_else(|| systemd.filter(|path| path.is_absolute()))
        .or_else(|| absolute("XDG_STATE_HOME").map(|home| home.join("gitferry")))
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state/gitferry")));
    if found.is_none() && required {
        let hint = "set `directory` of `[state]`, or $STATE_DIRECTORY, $XDG_STATE_HOME or $HOME";
        section.source.problem(
            place,
            "state.directory",
            "there is no place for the CA",
            Some(hint),
        );
    }
    section.finish();
    found.or((!required).then(PathBuf::new))
}

/// Whether a root can be made of it is for `tls` to say; this is for the wrong file.
fn holds_a_certificate(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().filter(|line| line.starts_with("-----BEGIN "));
    lines.any(|line| line.trim_end().ends_with("CERTIFICATE-----"))
}

pub(super) fn trust(section: Section<'_, '_>, base: Option<&Trust>) -> Option<Trust> {
    let platform_roots = or_base(
        &section,
        "platform_roots",
        section.bool("platform_roots"),
        base.map(|base| base.platform_roots),
    );
    let extra_roots = section.strings("extra_roots", false).map(|files| {
        let path = |(file, span): (&str, Span)| {
            let path = section.source.path(file);
            let problem = match fs::read(&path) {
                Err(error) => Some(format!("{} cannot be read: {error}", path.display())),
                Ok(bytes) => (!holds_a_certificate(&bytes))
                    .then(|| format!("{} has no certificate in PEM form", path.display())),
            };
            if let Some(message) = problem {
                section.source.problem(
                    span,
                    "trust.extra_roots",
                    message,
                    Some("a PEM file with one or more certificates"),
                );
            }
            path
        };
        files.into_iter().map(path).collect()
    });
    let extra_roots = or_base(
        &section,
        "extra_roots",
        extra_roots,
        base.map(|base| base.extra_roots.clone()),
    );
    section.finish();
    Some(Trust {
        extra_roots: extra_roots?,
        platform_roots: platform_roots?,
    })
}

pub(super) fn log(section: Section<'_, '_>, base: Option<Log>) -> Option<Log> {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let format = or_base(
        &section,
        "format",
        section.one_of("format", &formats),
        base.map(|base| base.format),
    );
    let level = or_base(
        &section,
        "level",
        section.one_of("level", &levels),
        base.map(|base| base.level),
    );
    section.finish();
    Some(Log {
        format: format?,
        level: level?,
    })
}

pub(super) fn dial(section: &Section<'_, '_>, base: Option<Dial>) -> Option<Dial> {
    let time =
        |key, base: Option<std::time::Duration>| or_base(section, key, section.duration(key), base);
    let dial = (
        time("connect_timeout", base.map(|base| base.connect_timeout)),
        time("greet_timeout", base.map(|base| base.greet_timeout)),
        time("handshake_timeout", base.map(|base| base.handshake_timeout)),
        or_base(
            section,
            "attempts",
            section.integer("attempts", 1..=100),
            base.map(|base| base.attempts),
        ),
        time("backoff", base.map(|base| base.backoff)),
        time("backoff_limit", base.map(|base| base.backoff_limit)),
        time("cooldown", base.map(|base| base.cooldown)),
        max_segment(section, base.map(|base| base.max_segment)),
    );
    for key in ["connect_timeout", "greet_timeout", "handshake_timeout"] {
        if section
            .string(key)
            .and_then(|text| value::duration(text).ok())
            .is_some_and(|time| time.is_zero())
        {
            let (place, key) = (section.place(key), section.key(key));
            section.source.problem(
                place,
                &key,
                format!("`{key}` must be longer than nothing"),
                None,
            );
        }
    }
    Some(Dial {
        connect_timeout: dial.0?,
        greet_timeout: dial.1?,
        handshake_timeout: dial.2?,
        attempts: dial.3?,
        backoff: dial.4?,
        backoff_limit: dial.5?,
        cooldown: dial.6?,
        max_segment: dial.7?,
    })
}

/// 0 is no limit; below 536 no path of the internet asks for it (RFC 9293, section 3.7.1).
fn max_segment(section: &Section<'_, '_>, base: Option<Option<u32>>) -> Option<Option<u32>> {
    let written = section.size("max_segment").map(|size| size as u64);
    let base = base.map(|base| u64::from(base.unwrap_or(0)));
    let size = or_base(section, "max_segment", written, base)?;
    if size == 0 {
        return Some(None);
    }
    let fits = u32::try_from(size)
        .ok()
        .filter(|size| (536..=65_000).contains(size));
    if fits.is_none() {
        section.source.problem(
            section.place("max_segment"),
            &section.key("max_segment"),
            "a segment has from 536 B to 65000 B",
            Some("\"1200 B\" gets through most tunnels; \"0 B\" is no limit"),
        );
    }
    fits.map(Some)
}

pub(super) fn pool(section: Section<'_, '_>, base: Option<Pool>) -> Option<Pool> {
    let idle_timeout = or_base(
        &section,
        "idle_timeout",
        section.duration("idle_timeout"),
        base.map(|base| base.idle_timeout),
    );
    let idle = section
        .integer("idle_per_origin", 0..=1000)
        .map(|n| n as usize);
    let idle_per_origin = or_base(
        &section,
        "idle_per_origin",
        idle,
        base.map(|base| base.idle_per_origin),
    );
    section.finish();
    Some(Pool {
        idle_timeout: idle_timeout?,
        idle_per_origin: idle_per_origin?,
    })
}

pub(super) fn replay(section: Section<'_, '_>, base: Option<Replay>) -> Option<Replay> {
    let size = |key| section.size(key).map(|size| size as u64);
    let (memory, spool) = (size("memory"), size("spool"));
    let memory = or_base(&section, "memory", memory, base.map(|base| base.memory));
    let spool = or_base(&section, "spool", spool, base.map(|base| base.spool));
    section.finish();
    Some(Replay {
        memory: memory?,
        spool: spool?,
    })
}
