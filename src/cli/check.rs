//! `gitferry check`: all mistakes of the config at once, else the config in force.
//!
//! It prints the serialised [`Config`] and nothing else: as TOML that `gitferry run` accepts, or as JSON. Where a daemon uses
//! the checked file, it prints the daemon's: its environment and state directory may differ from those of this shell.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, ValueHint};
use serde_json::{Value as Json, json};
use toml::{Table, Value};

use super::{Failure, daemon, failure, printed};
use crate::{
    config::{Config, Problems, Route},
    model::congestion::Congestion,
    net::dial::congestion,
};

/// `gitferry check`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry check\n  gitferry check gitferry.toml\n  gitferry check --json | jq .route"
)]
pub(crate) struct CheckArgs {
    /// The config file to check; default: the one that `gitferry run` uses.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// Print JSON: the mistakes, or the config in force.
    #[arg(long)]
    pub json: bool,
}

/// Prints the mistakes or the config; 1 where there are mistakes.
pub(super) fn run(args: &CheckArgs, loaded: Result<Config, Problems>) -> Result<ExitCode, Failure> {
    match loaded {
        Err(problems) if args.json => {
            print(&json!({ "problems": problems }))?;
            Ok(ExitCode::FAILURE)
        }
        Err(problems) => Ok(Failure::config(&problems).report()),
        Ok(config) => {
            show(args, &config)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn show(args: &CheckArgs, config: &Config) -> Result<(), Failure> {
    for warning in &config.warnings {
        failure::warn(warning);
    }
    let own = Table::try_from(config)
        .map_err(|error| Failure::during("cannot show the config", error))?;
    let (table, origin) = match running(config) {
        Running::Daemon(address, table) => (table, format!("the daemon at {address}")),
        Running::OtherFile(address, file) => {
            let file = file.map(|file| file.display().to_string());
            let other = file.as_deref().unwrap_or("the embedded default");
            let origin = format!("this shell; the daemon at {address} runs on {other}");
            (own, origin)
        }
        Running::NoDaemon(address) => (own, format!("this shell; no daemon answers at {address}")),
    };
    let control = control(config.dial.congestion);
    let of_routes = controls_of_routes(config);
    if args.json {
        let mut json = serde_json::to_value(&table)
            .map_err(|error| Failure::during("cannot show the config", error))?;
        if let Some(object) = json.as_object_mut() {
            object.insert("seen_by".into(), origin.into());
            object.insert("congestion_control".into(), control.into());
            if !of_routes.is_empty() {
                object.insert("congestion_control_of_routes".into(), json!(of_routes));
            }
        }
        return print(&json);
    }
    let of_routes: String = of_routes
        .iter()
        .map(|(route, control)| format!("# the same of route `{route}`: {control}\n"))
        .collect();
    let text = format!(
        "# as seen by {origin}\n# congestion control of outgoing connections on this machine: {control}\n{of_routes}{}",
        as_toml(&table)
    );
    printed(io::stdout().write_all(text.as_bytes()))
}

/// The congestion control that a connection beyond this machine would use.
fn control(configured: Congestion) -> String {
    congestion::in_force(configured).unwrap_or_else(|error| {
        let name = configured.name().unwrap_or_default();
        let reason = congestion::refusal(&error);
        format!("the system default; `{name}` cannot be set: {reason}")
    })
}

/// The same for the routes that configure another one.
fn controls_of_routes(config: &Config) -> BTreeMap<&str, String> {
    let routes = config.routes.iter().chain([&config.other_hosts]);
    let differ = routes.filter(|route| route.dial.congestion != config.dial.congestion);
    let control = |route: &Arc<Route>| control(route.dial.congestion);
    differ.map(|route| (&*route.name, control(route))).collect()
}

/// The daemon that uses the checked config.
enum Running {
    /// A daemon with this file, and its config.
    Daemon(SocketAddr, Table),
    /// A daemon with another file.
    OtherFile(SocketAddr, Option<PathBuf>),
    /// No daemon answers.
    NoDaemon(SocketAddr),
}

fn running(config: &Config) -> Running {
    let address = daemon::address(config);
    let address = address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
    daemon::authenticate(config.listen.credentials.as_ref());
    let Ok(daemon) = daemon::about(address) else {
        return Running::NoDaemon(address);
    };
    let real = |file: Option<&Path>| file.map(|file| file.canonicalize().unwrap_or(file.into()));
    if real(daemon.config.as_deref()) != real(config.file.as_deref()) {
        return Running::OtherFile(address, daemon.config);
    }
    let answer = daemon::get(address, "/-/api/config").ok();
    let table = answer.and_then(|answer| from_json(serde_json::from_str(&answer).ok()?));
    table.map_or(Running::NoDaemon(address), |table| {
        Running::Daemon(address, table)
    })
}

/// The table of the daemon's response, without the warnings: their missing hints are null, which TOML does not have.
fn from_json(mut answer: Json) -> Option<Table> {
    answer.as_object_mut()?.retain(|key, _| key != "warnings");
    serde_json::from_value(answer).ok()
}

fn print(value: &Json) -> Result<(), Failure> {
    printed(writeln!(io::stdout(), "{value:#}"))
}

/// The config as it is printed.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn shown(config: &Config) -> String {
    Table::try_from(config)
        .map(|table| as_toml(&table))
        .unwrap_or_default()
}

/// A complete config file. A route leaves out what the general sections set equally.
fn as_toml(config: &Table) -> String {
    let file = config.get("file").and_then(Value::as_str);
    let mut text = format!("# config: {}\n", file.unwrap_or("embedded default"));
    for (name, value) in config {
        match value {
            Value::Table(section) if name == "environment" => {
                text.push_str("\n# from the *_PROXY variables\n");
                for (key, value) in section {
                    let _ = writeln!(text, "# {} = {value}", quoted(key));
                }
            }
            Value::Table(section) => {
                let _ = writeln!(text, "\n[{name}]");
                keys(&mut text, &own_keys(section, config));
            }
            Value::Array(routes) if name == "route" => {
                text.push_str("\n# all routes are listed above\n[built_in]\nroutes = false\n");
                for route in reached(routes.iter().filter_map(Value::as_table)) {
                    text.push_str("\n[[route]]\n");
                    keys(&mut text, &own_keys(&route, config));
                }
            }
            // The file is in the first line, and warnings are not part of a config.
            _ => {}
        }
    }
    text
}

/// The routes without the hosts of earlier routes. A route of a file may repeat the hosts of a built-in one, but within one file that is a
/// mistake.
fn reached<'t>(routes: impl Iterator<Item = &'t Table>) -> Vec<Table> {
    let mut taken: Vec<(Value, Option<Value>)> = Vec::new();
    let mut reached = Vec::new();
    for route in routes {
        let mut route = route.clone();
        let ports = route.get("ports").cloned();
        let covers = |known: &Option<Value>| {
            let list =
                |ports: &Option<Value>| ports.as_ref().and_then(|ports| ports.as_array().cloned());
            list(known).is_none_or(|known| {
                list(&ports).is_some_and(|ports| ports.iter().all(|port| known.contains(port)))
            })
        };
        if let Some(Value::Array(hosts)) = route.get_mut("hosts") {
            hosts.retain(|host| !taken.iter().any(|(known, on)| known == host && covers(on)));
            taken.extend(hosts.iter().map(|host| (host.clone(), ports.clone())));
            if hosts.is_empty() {
                continue;
            }
        }
        reached.push(route);
    }
    reached
}

/// A route's tables without the values that the section of the same name sets equally.
fn own_keys(route: &Table, config: &Table) -> Table {
    let mut own = Table::new();
    for (name, value) in route {
        let general = config.get(name).and_then(Value::as_table);
        match (value, general) {
            (Value::Table(table), Some(general)) => {
                let differs = |(key, value): &(&String, &Value)| general.get(*key) != Some(value);
                let table: Table = table
                    .iter()
                    .filter(differs)
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                if !table.is_empty() {
                    own.insert(name.clone(), Value::Table(table));
                }
            }
            _ => {
                own.insert(name.clone(), value.clone());
            }
        }
    }
    own
}

fn keys(text: &mut String, table: &Table) {
    for (key, value) in table {
        let _ = writeln!(text, "{} = {value}", quoted(key));
    }
}

fn quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        return key.to_owned();
    }
    Value::String(key.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;
    use crate::config;

    const VARIABLES: [(&str, &str); 3] = [
        ("HOME", "/home/user"),
        ("OFFICE_PASSWORD", "hunter2"),
        ("https_proxy", "http://token:hunter2@proxy.test:3128"),
    ];

    fn variable(name: &str) -> Option<String> {
        let found = VARIABLES.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    }

    fn hosts(config: &Config) -> Vec<String> {
        let hosts = config.routes.iter().flat_map(|route| &route.hosts);
        hosts.map(ToString::to_string).collect()
    }

    /// Every key that is valid somewhere.
    #[test]
    fn every_key_of_the_reference_is_shown() {
        let config = config::load(None, &variable).unwrap();
        let text = shown(&config);
        let key = |line: &str| {
            let (key, _) = line.split_once(" = ")?;
            let of_a_key = |c: char| c.is_ascii_lowercase() || c == '_';
            key.chars().all(of_a_key).then(|| key.to_owned())
        };
        let keys: BTreeSet<String> = text.lines().filter_map(key).collect();
        for known in config::DEFAULT.lines().filter_map(key) {
            assert!(keys.contains(&known), "`{known}` is not shown:\n{text}");
        }
    }

    #[test]
    fn the_printed_config_loads_again_as_the_same_config_and_has_no_secret() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gitferry.toml");
        let text = "[hops]\noffice = { url = \"https://proxy.test\", username = \"me\", password_env = \"OFFICE_PASSWORD\" }\n\
                    [dial]\nattempts = 2\n[uploads]\nat_once = 3\n\
                    [[route]]\nname = \"hub\"\nhosts = [\"huggingface.co\", \"gitlab.com\"]\ntls = \"tunnel\"\nupstreams = [{ via = \"direct\" }]\n\
                    [[route]]\nname = \"hf-lfs\"\nupstreams = [{ via = \"office\" }, { mirror = \"http://[::1]:8080/x\" }]\n\
                    resolve = { \"x.hf.co\" = [\"192.0.2.1:8443\", \"2001:db8::1\"], \"::1\" = \"127.0.0.1\" }\n\
                    dial = { max_segment = \"1200 B\" }\nports = [443]\n";
        fs::write(&file, text).unwrap();
        let config = config::load(Some(&file), &variable).unwrap();
        let first = shown(&config);
        fs::write(&file, &first).unwrap();
        let again = config::load(Some(&file), &variable)
            .unwrap_or_else(|problems| panic!("{problems}\n{first}"));
        assert_eq!(first, shown(&again));
        // A host that a route of the file repeats is removed from the built-in route.
        let (first_hosts, hosts) = (hosts(&config), hosts(&again));
        assert_eq!(
            hosts
                .iter()
                .filter(|host| *host == "huggingface.co")
                .count(),
            1
        );
        assert!(hosts.iter().all(|host| first_hosts.contains(host)));
        assert_eq!(config.hops, again.hops);
        let json = serde_json::to_string(&config).unwrap();
        for text in [&first, &json] {
            assert!(
                !text.contains("hunter2") && !text.contains("token"),
                "{text}"
            );
        }
        assert!(
            first.contains("password_env = \"OFFICE_PASSWORD\""),
            "{first}"
        );
    }
}
