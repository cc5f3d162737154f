//! From the file as typed to the config as meant: defaults filled in, names looked up, contradictions refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Config, Dial, Environment, Hop, HopKind, HttpVersion, Listen, Log, LogFormat, LogLevel, Mirror,
    Override, Pool, Route, Trust, Upstream, Via,
    file::{Section, Source, Span},
    problem::Problems,
    value,
};
use crate::model::{Host, HostPattern, Role, Secret, Target, TlsMode, secret::Credentials};

/// Names to the values of the process environment.
pub type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// What routes are resolved with.
struct Names<'n> {
    hops: &'n BTreeMap<String, Arc<Hop>>,
    environment: &'n Arc<Environment>,
    used: BTreeSet<String>,
}

/// Reads `text`; keys that it omits are `base`'s. Without a base, as for the embedded default, every key must be there.
pub(super) fn read(
    text: &str,
    file: Option<&Path>,
    base: Option<&Config>,
    variables: Variables<'_>,
) -> Result<Config, Problems> {
    let source = Source::new(text, file);
    let table = source.parse();
    let root = Section::root(&source, &table);
    let config = config(&source, &root, base, variables);
    root.finish();
    let (mut problems, doubts) = source.finish();
    match config {
        Some(mut config) if problems.0.is_empty() => {
            config.warnings.extend(doubts);
            Ok(config)
        }
        _ => {
            problems.0.dedup();
            Err(problems)
        }
    }
}

fn config(
    source: &Source<'_>,
    root: &Section<'_, '_>,
    base: Option<&Config>,
    variables: Variables<'_>,
) -> Option<Config> {
    let listen = listen(
        root.section("listen"),
        base.map(|base| &base.listen),
        variables,
    );
    let state_directory = state_directory(root.section("state"), base.is_some(), variables);
    let trust = trust(root.section("trust"), base.map(|base| &base.trust));
    let log = log(root.section("log"), base.map(|base| base.log));
    let shutdown = root.section("shutdown");
    let shutdown_grace = or_base(
        &shutdown,
        "grace",
        shutdown.duration("grace"),
        base.map(|base| base.shutdown_grace),
    );
    shutdown.finish();
    let dial_section = root.section("dial");
    let dial = dial(&dial_section, base.map(|base| base.dial));
    dial_section.finish();
    let pool = pool(root.section("pool"), base.map(|base| base.pool));
    let hops = hops(&root.section("hops"), variables);
    let own = listen
        .as_ref()
        .map(|listen| listen.addresses.clone())
        .unwrap_or_default();
    let (environment, warnings) = Environment::read(variables, &own);
    let environment = Arc::new(environment);
    let mut names = Names {
        hops: &hops,
        environment: &environment,
        used: BTreeSet::new(),
    };
    let other = other_hosts(root.section("other_hosts"), base, dial, &mut names);
    let routes = routes(root, base, dial, &mut names);
    for unused in hops.keys().filter(|name| !names.used.contains(*name)) {
        source.doubt(
            root.place("hops"),
            &format!("hops.{unused}"),
            format!("no route uses the hop `{unused}`"),
            None,
        );
    }
    let config = Config {
        file: None,
        listen: listen?,
        state_directory: state_directory?,
        trust: trust?,
        log: log?,
        shutdown_grace: shutdown_grace?,
        pool: pool?,
        dial: dial?,
        hops: hops.values().cloned().collect(),
        routes: routes?,
        other_hosts: Arc::new(other?),
        environment,
        secret_files: source.contents.take(),
        warnings,
    };
    Some(config)
}

/// The value, else the base's; a key that neither has is a mistake of the embedded default.
fn or_base<T>(
    section: &Section<'_, '_>,
    key: &'static str,
    value: Option<T>,
    base: Option<T>,
) -> Option<T> {
    if value.is_none() && base.is_none() && !section.has(key) {
        section.source.problem(
            section.span(),
            &section.key(key),
            format!("`{}` is missing", section.key(key)),
            None,
        );
    }
    value.or(base)
}

fn listen(
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

/// `username` with `password_file` or `password_env`; half of a pair is a mistake.
fn credentials(section: &Section<'_, '_>, variables: Variables<'_>) -> Option<Credentials> {
    let username = section.string("username");
    let file = section.string("password_file");
    let variable = section.string("password_env");
    let complain = |key: &'static str, message: String, hint: &str| {
        section
            .source
            .problem(section.place(key), &section.key(key), message, Some(hint));
    };
    if let Some(place) = section.forbidden("password") {
        section.source.problem(
            place,
            &section.key("password"),
            "a password is never written into the config",
            Some("use `password_file` or `password_env`"),
        );
    }
    let password = match (file, variable) {
        (Some(_), Some(_)) => {
            complain(
                "password_env",
                "`password_file` and `password_env` are both set".into(),
                "keep one of the two",
            );
            None
        }
        (Some(file), None) => password_from(section, &section.source.path(file)),
        (None, Some(variable)) => {
            let value = variables(variable);
            if value.is_none() {
                complain(
                    "password_env",
                    format!("the variable `{variable}` is not set"),
                    "set it where the daemon starts",
                );
            }
            value.map(Secret::new)
        }
        (None, None) => None,
    };
    match (username, file.or(variable)) {
        (Some(_), None) => complain(
            "username",
            "`username` without a password".into(),
            "add `password_file` or `password_env`",
        ),
        (None, Some(_)) => {
            let key = if file.is_some() {
                "password_file"
            } else {
                "password_env"
            };
            complain(
                key,
                "a password without `username`".into(),
                "add `username`",
            );
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    if username.is_some_and(|name| name.contains(':')) {
        complain(
            "username",
            "a user name has no colon".into(),
            "RFC 7617 splits name and password there",
        );
    }
    Some(Credentials {
        username: username?.to_owned(),
        password: password?,
    })
}

fn password_from(section: &Section<'_, '_>, path: &Path) -> Option<Secret> {
    let place = section.place("password_file");
    let key = section.key("password_file");
    section.source.contents.borrow_mut().push(path.to_owned());
    match fs::read_to_string(path) {
        Ok(text) => {
            if fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0) {
                section.source.doubt(
                    place,
                    &key,
                    format!("{} is readable by everybody", path.display()),
                    Some("chmod 600"),
                );
            }
            Some(Secret::new(text.trim_end_matches(['\r', '\n'])))
        }
        Err(error) => {
            section.source.problem(
                place,
                &key,
                format!("{} cannot be read: {error}", path.display()),
                None,
            );
            None
        }
    }
}

/// The embedded default has none of its own: a file that sets it must not need the variables.
fn state_directory(
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

fn trust(section: Section<'_, '_>, base: Option<&Trust>) -> Option<Trust> {
    let platform_roots = or_base(
        &section,
        "platform_roots",
        section.bool("platform_roots"),
        base.map(|base| base.platform_roots),
    );
    let extra_roots = section.strings("extra_roots", false).map(|files| {
        let path = |(file, span): (&str, Span)| {
            let path = section.source.path(file);
            if let Err(error) = fs::File::open(&path) {
                let message = format!("{} cannot be read: {error}", path.display());
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

fn log(section: Section<'_, '_>, base: Option<Log>) -> Option<Log> {
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

fn dial(section: &Section<'_, '_>, base: Option<Dial>) -> Option<Dial> {
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
    })
}

fn pool(section: Section<'_, '_>, base: Option<Pool>) -> Option<Pool> {
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

fn hops(section: &Section<'_, '_>, variables: Variables<'_>) -> BTreeMap<String, Arc<Hop>> {
    let mut hops = BTreeMap::new();
    for (name, span, hop) in section.named() {
        if ["direct", "environment"].contains(&name) {
            let message = format!("`{name}` is taken: it is a way out of its own");
            section.source.problem(
                span,
                &section.key(name),
                message,
                Some("call the hop something else"),
            );
        }
        let credentials = credentials(&hop, variables);
        let url = hop.string("url");
        if url.is_none() && !hop.has("url") {
            section.source.problem(
                hop.span(),
                &hop.key("url"),
                format!("`{}` is missing", hop.key("url")),
                Some("such as `url = \"http://proxy.example:3128\"`"),
            );
        }
        if let Some(parsed) = url.and_then(|url| hop_url(&hop, url)) {
            let (kind, target) = parsed;
            hops.insert(
                name.to_owned(),
                Arc::new(Hop {
                    name: name.into(),
                    kind,
                    target,
                    credentials,
                }),
            );
        }
        hop.finish();
    }
    hops
}

fn hop_url(hop: &Section<'_, '_>, text: &str) -> Option<(HopKind, Target)> {
    let complain = |message: String, hint: &str| {
        hop.source
            .problem(hop.place("url"), &hop.key("url"), message, Some(hint));
        None
    };
    let Some(url) = value::url(text) else {
        return complain(
            format!("`{}` is no URL", hop.key("url")),
            "such as \"http://proxy.example:3128\" or \"socks5h://127.0.0.1:1080\"",
        );
    };
    if url.user_info.is_some() {
        return complain(
            "the URL has credentials in it".into(),
            "set `username` and `password_file` (or `password_env`) beside it",
        );
    }
    let Some((kind, default_port)) = hop_kind(&url.scheme) else {
        return complain(
            format!("`{}` is no kind of hop", url.scheme),
            "one of http, https, socks5, socks5h",
        );
    };
    if !matches!(url.path, "" | "/") || url.more {
        return complain(
            "a hop's URL ends after its port".into(),
            "leave the path away",
        );
    }
    match Target::parse(url.authority, default_port) {
        Ok(target) => Some((kind, target)),
        Err(error) => complain(
            format!("`{}`: {error}", hop.key("url")),
            "a hop's URL is scheme://host:port",
        ),
    }
}

/// The kind by its scheme, and the port that the scheme implies; clients disagree on that of plain `http`.
pub(super) fn hop_kind(scheme: &str) -> Option<(HopKind, Option<u16>)> {
    Some(match scheme {
        "http" => (HopKind::Http, None),
        "https" => (HopKind::Https, Some(443)),
        "socks5" => (HopKind::Socks5, Some(1080)),
        "socks5h" => (HopKind::Socks5h, Some(1080)),
        _ => return None,
    })
}

const MODES: [(&str, TlsMode); 3] = [
    ("terminate", TlsMode::Terminate),
    ("tunnel", TlsMode::Tunnel),
    ("deny", TlsMode::Deny),
];
const ROLES: [(&str, Role); 3] = [
    ("main-site", Role::MainSite),
    ("lfs-storage", Role::LfsStorage),
    ("other", Role::Other),
];
const VERSIONS: [(&str, HttpVersion); 2] = [("1.1", HttpVersion::Http1), ("2", HttpVersion::Http2)];

fn other_hosts(
    section: Section<'_, '_>,
    base: Option<&Config>,
    dial: Option<Dial>,
    names: &mut Names<'_>,
) -> Option<Route> {
    let base = base.map(|base| &base.other_hosts);
    let tls = or_base(
        &section,
        "tls",
        section.one_of("tls", &MODES[1..]),
        base.map(|base| base.tls),
    );
    let ports = or_base(
        &section,
        "ports",
        section.ports("ports"),
        base.and_then(|base| base.ports.clone()),
    );
    let upstreams = if section.has("upstreams") || base.is_none() {
        upstreams(&section, tls, names)
    } else {
        base.map(|base| {
            base.upstreams
                .iter()
                .map(|upstream| renewed(upstream, names))
                .collect()
        })
    };
    section.finish();
    Some(Route {
        name: "other_hosts".into(),
        role: Role::Other,
        hosts: Vec::new(),
        ports: Some(ports?),
        tls: tls?,
        http: HttpVersion::Http1,
        upstreams: upstreams?,
        resolve: BTreeMap::new(),
        dial: dial?,
    })
}

/// An upstream of the base, with this file's environment.
fn renewed(upstream: &Arc<Upstream>, names: &Names<'_>) -> Arc<Upstream> {
    match upstream.via {
        Via::Environment(_) => Arc::new(Upstream {
            label: upstream.label.clone(),
            via: Via::Environment(Arc::clone(names.environment)),
            mirror: upstream.mirror.clone(),
        }),
        Via::Direct | Via::Hop(_) => Arc::clone(upstream),
    }
}

fn routes(
    root: &Section<'_, '_>,
    base: Option<&Config>,
    dial: Option<Dial>,
    names: &mut Names<'_>,
) -> Option<Vec<Arc<Route>>> {
    let Some(sections) = root.sections("route") else {
        let base = or_base(root, "route", None, base)?;
        let renew = |route: &Arc<Route>| {
            Some(Arc::new(Route {
                name: route.name.clone(),
                role: route.role,
                hosts: route.hosts.clone(),
                ports: route.ports.clone(),
                tls: route.tls,
                http: route.http,
                upstreams: route
                    .upstreams
                    .iter()
                    .map(|upstream| renewed(upstream, names))
                    .collect(),
                resolve: route.resolve.clone(),
                // The file's own [dial] is for the routes of the default list too.
                dial: dial?,
            }))
        };
        return base.routes.iter().map(renew).collect();
    };
    let mut seen_names: BTreeMap<String, ()> = BTreeMap::new();
    let mut seen_hosts: Vec<(HostPattern, Option<Vec<u16>>, String)> = Vec::new();
    let mut routes = Some(Vec::new());
    for section in sections {
        let route = route(&section, dial, names, &mut seen_names, &mut seen_hosts);
        section.finish();
        routes = match (routes, route) {
            (Some(mut routes), Some(route)) => {
                routes.push(Arc::new(route));
                Some(routes)
            }
            _ => None,
        };
    }
    routes
}

fn route(
    section: &Section<'_, '_>,
    dial_default: Option<Dial>,
    names: &mut Names<'_>,
    seen_names: &mut BTreeMap<String, ()>,
    seen_hosts: &mut Vec<(HostPattern, Option<Vec<u16>>, String)>,
) -> Option<Route> {
    let source = section.source;
    let required = |key: &'static str, hint: &str| {
        if !section.has(key) {
            source.problem(
                section.span(),
                &section.key(key),
                format!("a route needs `{key}`"),
                Some(hint),
            );
        }
    };
    required("name", "a word for the log, such as `name = \"hf-main\"`");
    required(
        "hosts",
        "such as `hosts = [\"huggingface.co\", \"*.hf.co\"]`",
    );
    required("tls", "\"terminate\", \"tunnel\" or \"deny\"");
    let name = section.string("name");
    if let Some(name) = name {
        if name.is_empty()
            || !name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            source.problem(
                section.place("name"),
                &section.key("name"),
                format!("{name:?} is no name"),
                Some("letters, digits, `-`, `_` and `.`"),
            );
        }
        if seen_names.insert(name.to_owned(), ()).is_some() {
            source.problem(
                section.place("name"),
                &section.key("name"),
                format!("a second route is called `{name}`"),
                Some("the log tells routes apart by their names"),
            );
        }
    }
    let role = section
        .one_of("role", &ROLES)
        .or((!section.has("role")).then_some(Role::Other));
    let ports = section.ports("ports");
    let tls = section.one_of("tls", &MODES);
    let http = section
        .one_of("http", &VERSIONS)
        .or((!section.has("http")).then_some(HttpVersion::Http1));
    let hosts = hosts(
        section,
        tls,
        ports.as_ref(),
        name.unwrap_or_default(),
        seen_hosts,
    );
    let upstreams = upstreams(section, tls, names);
    let resolve = overrides(
        &section.section("resolve"),
        hosts.as_deref().unwrap_or_default(),
    );
    let dial_section = section.section("dial");
    let dial = dial(&dial_section, dial_default);
    dial_section.finish();
    Some(Route {
        name: name?.into(),
        role: role?,
        hosts: hosts?,
        ports,
        tls: tls?,
        http: http?,
        upstreams: upstreams?,
        resolve,
        dial: dial?,
    })
}

fn hosts(
    section: &Section<'_, '_>,
    tls: Option<TlsMode>,
    ports: Option<&Vec<u16>>,
    route: &str,
    seen: &mut Vec<(HostPattern, Option<Vec<u16>>, String)>,
) -> Option<Vec<HostPattern>> {
    let source = section.source;
    let key = section.key("hosts");
    let written = section.strings("hosts", false)?;
    if written.is_empty() {
        source.problem(
            section.place("hosts"),
            &key,
            "a route without hosts does nothing",
            None,
        );
    }
    let mut hosts = Vec::new();
    for (text, span) in written {
        let pattern = match text.parse::<HostPattern>() {
            Ok(pattern) => pattern,
            Err(_) => {
                let hint = "a name, an address, or a name with `*`; no scheme, no port, no path";
                source.problem(span, &key, format!("{text:?} is no host"), Some(hint));
                continue;
            }
        };
        let narrow = match &pattern {
            HostPattern::Exact(_) => true,
            HostPattern::Wildcard(_) => pattern
                .subtree()
                .is_some_and(|subtree| subtree.contains('.')),
        };
        if tls == Some(TlsMode::Terminate) && !narrow {
            let hint = "at least two labels after the last `*`, or `tls = \"tunnel\"`";
            let message = format!(
                "{text:?} is too wide to terminate: the local CA is constrained to the configured names"
            );
            source.problem(span, &key, message, Some(hint));
            continue;
        }
        if let Some((_, _, other)) = seen.iter().find(|(earlier, earlier_ports, _)| {
            *earlier == pattern
                && earlier_ports.as_ref().is_none_or(|list| {
                    ports.is_some_and(|ports| ports.iter().all(|port| list.contains(port)))
                })
        }) {
            source.problem(
                span,
                &key,
                format!("route `{other}` has {text:?} already: this entry is never reached"),
                Some("the first match counts"),
            );
            continue;
        }
        seen.push((pattern.clone(), ports.cloned(), route.to_owned()));
        hosts.push(pattern);
    }
    Some(hosts)
}

fn upstreams(
    section: &Section<'_, '_>,
    tls: Option<TlsMode>,
    names: &mut Names<'_>,
) -> Option<Vec<Arc<Upstream>>> {
    let source = section.source;
    let key = section.key("upstreams");
    let Some(sections) = section.sections("upstreams") else {
        if !section.has("upstreams") && tls != Some(TlsMode::Deny) {
            source.problem(
                section.span(),
                &key,
                "a route needs `upstreams`",
                Some("such as `upstreams = [{ via = \"environment\" }]`"),
            );
        }
        return (tls == Some(TlsMode::Deny)).then(Vec::new);
    };
    if sections.is_empty() && tls != Some(TlsMode::Deny) {
        source.problem(
            section.place("upstreams"),
            &key,
            "`upstreams` is empty: there is no way to these hosts",
            Some("`{ via = \"direct\" }` at least"),
        );
    }
    let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
    for entry in sections {
        let via = match entry.string("via") {
            None => (!entry.has("via")).then(|| {
                (
                    "environment".to_owned(),
                    Via::Environment(Arc::clone(names.environment)),
                )
            }),
            Some(name) => via(&entry, name, names),
        };
        let written = entry.has("mirror");
        let mirror = entry.parsed(
            "mirror",
            value::mirror,
            "such as `mirror = \"https://hf-mirror.com\"`",
        );
        if mirror.is_some() {
            source.problem(
                entry.place("mirror"),
                &entry.key("mirror"),
                "this version does not carry requests to mirrors yet",
                Some("leave the entry out; another hop in `via` may reach the site itself"),
            );
        }
        if let Some((label, via)) = via
            && written == mirror.is_some()
        {
            let mirror = mirror.map(|(scheme, target, base_path)| Mirror {
                scheme,
                target,
                base_path,
            });
            let label = match &mirror {
                Some(mirror) => format!("{label} to {}", mirror.target.host),
                None => label,
            };
            if upstreams.iter().any(|upstream| *upstream.label == label) {
                source.problem(
                    entry.span(),
                    &key,
                    format!("`{label}` stands in the list twice"),
                    None,
                );
            }
            upstreams.push(Arc::new(Upstream {
                label: label.into(),
                via,
                mirror,
            }));
        }
        entry.finish();
    }
    Some(upstreams)
}

fn via(entry: &Section<'_, '_>, name: &str, names: &mut Names<'_>) -> Option<(String, Via)> {
    let via = match name {
        "direct" => Some(Via::Direct),
        "environment" => Some(Via::Environment(Arc::clone(names.environment))),
        name => names.hops.get(name).cloned().map(Via::Hop),
    };
    if via.is_none() {
        let valid = ["direct", "environment"]
            .into_iter()
            .chain(names.hops.keys().map(String::as_str));
        let list = valid
            .map(|name| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let message = format!("there is no hop `{name}`");
        entry.source.problem(
            entry.place("via"),
            &entry.key("via"),
            message,
            Some(&format!("one of {list}; hops are made in `[hops]`")),
        );
    }
    names.used.insert(name.to_owned());
    via.map(|via| (name.to_owned(), via))
}

fn overrides(section: &Section<'_, '_>, hosts: &[HostPattern]) -> BTreeMap<Host, Vec<Override>> {
    let source = section.source;
    let mut overrides = BTreeMap::new();
    for (name, span, addresses) in section.lists() {
        let key = section.key(name);
        let Ok(host) = name.parse::<Host>() else {
            source.problem(
                span,
                &key,
                format!("{name:?} is no host"),
                Some("a host of this route, without a port"),
            );
            continue;
        };
        if !hosts.iter().any(|pattern| pattern.matches(&host)) {
            source.problem(
                span,
                &key,
                format!("{name:?} is no host of this route"),
                Some("add it to `hosts`"),
            );
        }
        let mut list = Vec::new();
        for (text, span) in addresses {
            match address(text) {
                Some(address) => list.push(address),
                None => source.problem(
                    span,
                    &key,
                    format!("{text:?} is no address"),
                    Some("such as \"192.0.2.1\", \"192.0.2.1:8443\" or \"[2001:db8::1]:8443\""),
                ),
            }
        }
        overrides.insert(host, list);
    }
    overrides
}

fn address(text: &str) -> Option<Override> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(Override {
            ip: address.ip(),
            port: Some(address.port()),
        });
    }
    text.parse::<IpAddr>()
        .ok()
        .map(|ip| Override { ip, port: None })
}
