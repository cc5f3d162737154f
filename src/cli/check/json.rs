//! The effective config for programs: every key as it is in force, times in milliseconds, sizes in bytes, nothing secret.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{address, now, version};
use crate::config::{Config, Dial, Hop, Log, LogFormat, LogLevel, Route, Stall, Upstream, Via};

/// All of it.
pub(super) fn config(config: &Config) -> Value {
    let routes: Vec<Value> = config.routes.iter().map(|known| route(known)).collect();
    let hops: Vec<Value> = config.hops.iter().map(|known| hop(known)).collect();
    let allow: Vec<String> = config
        .reverse
        .allow
        .iter()
        .map(ToString::to_string)
        .collect();
    json!({
        "file": config.file,
        "listen": {
            "address": config.listen.addresses,
            "username": config.listen.credentials.as_ref().map(|account| &account.username),
            "max_connections": config.listen.max_connections,
            "max_head": config.listen.max_head,
            "head_timeout_ms": millis(config.listen.head_timeout),
        },
        "state": { "directory": config.state_directory },
        "trust": {
            "extra_roots": config.trust.extra_roots,
            "platform_roots": config.trust.platform_roots,
        },
        "log": log(config.log),
        "shutdown": { "grace_ms": millis(config.shutdown_grace) },
        "dial": dial(&config.dial),
        "stall": stall(&config.stall),
        "uploads": { "at_once": config.uploads.at_once },
        "interim": {
            "every_ms": millis(config.interim.every),
            "at_most": config.interim.at_most,
        },
        "pool": {
            "idle_timeout_ms": millis(config.pool.idle_timeout),
            "idle_per_origin": config.pool.idle_per_origin,
        },
        "replay": { "memory": config.replay.memory, "spool": config.replay.spool },
        "reverse": { "allow": allow },
        "rewrite": { "max_body": config.rewrite.max_body },
        "hops": hops,
        "routes": routes,
        "other_hosts": route(&config.other_hosts),
        "warnings": config.warnings,
    })
}

fn hop(hop: &Hop) -> Value {
    json!({
        "name": hop.name,
        "url": format!("{}://{}", hop.scheme(), hop.target),
        "username": hop.credentials.as_ref().map(|account| &account.username),
    })
}

fn route(route: &Route) -> Value {
    let hosts: Vec<String> = route.hosts.iter().map(ToString::to_string).collect();
    let upstreams: Vec<Value> = route
        .upstreams
        .iter()
        .map(|known| upstream(route, known))
        .collect();
    let resolve: BTreeMap<String, Vec<String>> = route
        .resolve
        .iter()
        .map(|(host, list)| (host.to_string(), list.iter().map(address).collect()))
        .collect();
    json!({
        "name": route.name,
        "role": route.role.as_str(),
        "hosts": hosts,
        "ports": route.ports,
        "tls": route.tls.as_str(),
        "http": version(route.http),
        "upstreams": upstreams,
        "resolve": resolve,
        "replay": route.replay,
        "dial": dial(&route.dial),
        "stall": stall(&route.stall),
        "uploads": { "at_once": route.uploads.at_once },
    })
}

fn upstream(route: &Route, upstream: &Upstream) -> Value {
    let via = match &upstream.via {
        Via::Direct => "direct",
        Via::Environment(_) => "environment",
        Via::Hop(hop) => &*hop.name,
    };
    let mirror = upstream.mirror.as_ref();
    json!({
        "label": upstream.label,
        "via": via,
        "now": now(route, upstream).map(|known| hop(&known)),
        "mirror": mirror.map(|mirror| {
            format!("{}://{}{}", mirror.scheme, mirror.target.authority(mirror.scheme), mirror.base_path)
        }),
        "credentials": mirror.map(|mirror| mirror.credentials.as_str()),
    })
}

fn dial(dial: &Dial) -> Value {
    json!({
        "connect_timeout_ms": millis(dial.connect_timeout),
        "greet_timeout_ms": millis(dial.greet_timeout),
        "handshake_timeout_ms": millis(dial.handshake_timeout),
        "attempts": dial.attempts,
        "backoff_ms": millis(dial.backoff),
        "backoff_limit_ms": millis(dial.backoff_limit),
        "cooldown_ms": millis(dial.cooldown),
        "max_segment": dial.max_segment,
    })
}

fn stall(stall: &Stall) -> Value {
    let limits = stall.limits;
    json!({
        "action": stall.action,
        "after_ms": millis(limits.after),
        "connect_after_ms": millis(limits.connect_after),
        "answer_after_ms": millis(limits.answer_after),
        "client_after_ms": millis(limits.client_after),
        "floor": limits.floor,
        "floor_over_ms": millis(limits.floor_over),
    })
}

fn log(log: Log) -> Value {
    let format = match log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let level = match log.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    json!({ "format": format, "level": level })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config;

    /// The keys of a document, `_ms` cut off.
    fn keys(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    found.insert(key.trim_end_matches("_ms").to_owned());
                    keys(value, found);
                }
            }
            Value::Array(array) => array.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_key_of_the_reference_is_shown() {
        let home = |name: &str| (name == "HOME").then(|| "/home/user".to_owned());
        let config = config::load(None, &home).unwrap();
        let mut shown = BTreeSet::new();
        keys(&super::config(&config), &mut shown);
        for line in config::DEFAULT.lines() {
            let line = line.trim_start_matches("# ");
            let Some((key, _)) = line.split_once(" = ") else {
                continue;
            };
            let of_a_key = |c: char| c.is_ascii_lowercase() || c == '_';
            if !key.chars().all(of_a_key) {
                continue;
            }
            // Where a password is, is a secret's; the built-in routes are among the routes; hops are named by the user.
            let left_out = [
                "password_file",
                "password_env",
                "routes",
                "office",
                "tunnel",
            ];
            assert!(
                shown.contains(key) || left_out.contains(&key),
                "`{key}` is not shown: {shown:?}"
            );
        }
    }
}
