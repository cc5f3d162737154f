//! `gitferry check`: every mistake of the config at once, else the effective routes.

mod json;

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, ValueHint};
use serde_json::{Value, json};

use super::{Failure, printed};
use crate::{
    config::{Config, Hop, HttpVersion, Problems, Route, Upstream, Via},
    model::{Scheme, Target},
};

/// `gitferry check`.
#[derive(Args, Debug)]
pub(crate) struct CheckArgs {
    /// The config to read; without it the one that `gitferry run` would take.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// For programs: the problems, or the effective config.
    #[arg(long)]
    pub json: bool,
}

/// Prints what `loaded` came to; 1 where it has mistakes.
pub(super) fn run(args: &CheckArgs, loaded: Result<Config, Problems>) -> Result<ExitCode, Failure> {
    match loaded {
        Err(problems) if args.json => {
            print(&json!({ "problems": problems }))?;
            Ok(ExitCode::FAILURE)
        }
        Err(problems) => {
            let count = problems.0.len();
            let _ = writeln!(
                io::stderr(),
                "{problems}\n{count} {}",
                if count == 1 { "problem" } else { "problems" }
            );
            Ok(ExitCode::FAILURE)
        }
        Ok(config) if args.json => print(&json::config(&config)).map(|()| ExitCode::SUCCESS),
        Ok(config) => {
            for doubt in &config.warnings {
                let _ = writeln!(io::stderr(), "warning: {doubt}");
            }
            printed(io::stdout().write_all(as_text(&config).as_bytes()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print(value: &Value) -> Result<(), Failure> {
    printed(writeln!(io::stdout(), "{value:#}"))
}

fn as_text(config: &Config) -> String {
    let mut text = String::new();
    let file = config.file.as_ref().map_or_else(
        || "embedded default".into(),
        |file| file.display().to_string(),
    );
    let listen = config
        .listen
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    let _ = writeln!(
        text,
        "config  {file}\nlisten  {listen}\nstate   {}",
        config.state_directory.display()
    );
    for hop in &config.hops {
        let user = hop
            .credentials
            .as_ref()
            .map(|credentials| format!(" as {}", credentials.username))
            .unwrap_or_default();
        let _ = writeln!(
            text,
            "hop     {} = {}://{}{user}",
            hop.name,
            hop.scheme(),
            hop.target
        );
    }
    for route in &config.routes {
        of_route(&mut text, config, route);
    }
    let _ = writeln!(
        text,
        "\ninterim    {}",
        match config.interim.at_most {
            0 => "never".to_owned(),
            times => format!(
                "after every {:?}, at most {times} times",
                config.interim.every
            ),
        }
    );
    let other = &config.other_hosts;
    let _ = writeln!(
        text,
        "\nother hosts ({}{})",
        other.tls.as_str(),
        ports(other)
    );
    upstreams(&mut text, other);
    watched(&mut text, other);
    urls(&mut text, config);
    text
}

fn replay(text: &mut String, route: &Route) {
    if route.replay {
        text.push_str(
            "  replay     uploads are kept while they pass, and sent again after a fault\n",
        );
    }
}

/// What concerns URLs in answers.
fn urls(text: &mut String, config: &Config) {
    if !config.reverse.allow.is_empty() {
        let _ = writeln!(
            text,
            "\nreverse front, beside the routes: {}",
            allowed(config).join("  ")
        );
    }
    let _ = writeln!(
        text,
        "\nrewritten bodies up to {}",
        size(config.rewrite.max_body)
    );
}

/// As a config file writes it.
fn size(bytes: usize) -> String {
    const UNITS: [(usize, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, name)| format!("{} {name}", bytes / unit),
    )
}

fn allowed(config: &Config) -> Vec<String> {
    config
        .reverse
        .allow
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn of_route(text: &mut String, config: &Config, route: &Route) {
    let _ = writeln!(
        text,
        "\nroute {} ({}, {}, HTTP/{})",
        route.name,
        route.role.as_str(),
        route.tls.as_str(),
        version(route.http)
    );
    let hosts = route
        .hosts
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("  ");
    let _ = writeln!(text, "  hosts      {hosts}{}", ports(route));
    upstreams(text, route);
    for (host, addresses) in &route.resolve {
        let list = addresses.iter().map(address).collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "  resolve    {host} = {list}");
    }
    replay(text, route);
    watched(text, route);
    if route.dial != config.dial {
        let dial = route.dial;
        let _ = writeln!(
            text,
            "  dial       connect {:?}, greet {:?}, handshake {:?}, {} attempts, backoff {:?} to {:?}, cooldown {:?}{}",
            dial.connect_timeout,
            dial.greet_timeout,
            dial.handshake_timeout,
            dial.attempts,
            dial.backoff,
            dial.backoff_limit,
            dial.cooldown,
            dial.max_segment
                .map(|size| format!(", segments up to {size} B"))
                .unwrap_or_default()
        );
    }
}

fn watched(text: &mut String, route: &Route) {
    let (limits, action) = (route.stall.limits, route.stall.action.as_str());
    let _ = writeln!(
        text,
        "  stall      {action} after {:?}; connect {:?}, answer {:?}, client {:?}; floor {} B/s over {:?}",
        limits.after,
        limits.connect_after,
        limits.answer_after,
        limits.client_after,
        limits.floor,
        limits.floor_over
    );
    if let Some(at_once) = route.uploads.at_once {
        let _ = writeln!(text, "  uploads    {at_once} at once");
    }
}

fn upstreams(text: &mut String, route: &Route) {
    for (at, upstream) in route.upstreams.iter().enumerate() {
        let _ = writeln!(text, "  upstream {} {}", at + 1, way(route, upstream));
    }
}

fn ports(route: &Route) -> String {
    match &route.ports {
        Some(ports) => format!(
            "  ports {}",
            ports
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        ),
        None => String::new(),
    }
}

/// The label, and what it comes to: never credentials.
fn way(route: &Route, upstream: &Upstream) -> String {
    let mut way = upstream.label.to_string();
    match (&upstream.via, now(route, upstream)) {
        (Via::Direct | Via::Hop(_), _) => {}
        (Via::Environment(_), None) => way.push_str(" (now direct)"),
        (Via::Environment(_), Some(hop)) => {
            let url = format!("{}://{}", hop.scheme(), hop.target);
            let _ = write!(way, " (now {url} by {})", hop.name);
        }
    }
    if let Some(mirror) = &upstream.mirror {
        let _ = write!(
            way,
            " = {}://{}{}, credentials {}",
            mirror.scheme,
            mirror.target,
            mirror.base_path,
            mirror.credentials.as_str()
        );
    }
    way
}

/// The hop that the environment gives a route's first host just now.
fn now(route: &Route, upstream: &Upstream) -> Option<Arc<Hop>> {
    let Via::Environment(environment) = &upstream.via else {
        return None;
    };
    let exact = route.hosts.iter().find(|host| host.is_exact());
    let host = exact.map_or_else(|| "any.invalid".into(), ToString::to_string);
    let target = Target::parse(&host, Some(443)).ok()?;
    environment.hop_for(Scheme::Https, &target).cloned()
}

fn address(address: &crate::config::Override) -> String {
    match address.port {
        Some(port) => std::net::SocketAddr::new(address.ip, port).to_string(),
        None => address.ip.to_string(),
    }
}

fn version(http: HttpVersion) -> &'static str {
    match http {
        HttpVersion::Http1 => "1.1",
        HttpVersion::Http2 => "2",
    }
}
