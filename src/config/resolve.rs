//! From the file as typed to the config as meant: defaults filled in, names looked up, contradictions refused.

mod credentials;
mod daemon;
mod hops;
mod mirror;
mod overrides;
mod routes;
mod stall;
mod upstreams;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use daemon::{dial, listen, log, pool, replay, state_directory, trust};
pub(super) use hops::hop_kind;
use hops::hops;
use routes::{other_hosts, routes};
use stall::{Watched, interim};

use super::{Config, Dial, Environment, Hop, file::Source, problem::Problems, section::Section};

/// Names to the values of the process environment.
pub(crate) type Variables<'v> = &'v dyn Fn(&str) -> Option<String>;

/// What routes are resolved with.
struct Names<'n> {
    hops: &'n BTreeMap<String, Arc<Hop>>,
    environment: &'n Arc<Environment>,
    used: BTreeSet<String>,
}

/// What a route that says nothing else goes by.
struct Defaults {
    dial: Option<Dial>,
    watched: Watched,
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
    let watched = Watched::read(root, base.map(|base| (base.stall, base.uploads)));
    let interim = interim(root.section("interim"), base.map(|base| base.interim));
    let pool = pool(root.section("pool"), base.map(|base| base.pool));
    let replay = replay(root.section("replay"), base.map(|base| base.replay));
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
    let defaults = Defaults { dial, watched };
    let other = other_hosts(root.section("other_hosts"), base, &defaults, &mut names);
    let routes = routes(root, base, &defaults, &mut names);
    let reverse = mirror::reverse(root.section("reverse"));
    let rewrite = mirror::rewrite(root.section("rewrite"), base.map(|base| base.rewrite));
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
        replay: replay?,
        dial: dial?,
        stall: watched.stall?,
        uploads: watched.uploads?,
        interim: interim?,
        hops: hops.values().cloned().collect(),
        routes: routes?,
        other_hosts: Arc::new(other?),
        reverse: reverse?,
        rewrite: rewrite?,
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
