//! Resolves the config: the file's text takes precedence over the embedded default.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use super::{
    Arguments, Config, Dial, Downloads, Environment, Hop, Interim, Listen, Log, PoolConfig,
    Problems, Replay, Reverse, RewriteConfig, ShutdownConfig, Trust, UploadsConfig, Variables,
    daemon::state_directory,
    file::SourceFile,
    files::Files,
    hop::hops,
    route::{Route, routes},
    section::Section,
    stall::StallDefaults,
    upstream::UpstreamNames,
};

/// The config of a daemon without a file; also the reference of all keys.
pub const DEFAULT: &str = include_str!("../../config/gitferry.toml");

/// Reads the text and path of `file`. Omitted keys, and all keys where there is no file, have the values of the embedded default.
pub(super) fn read(
    file: Option<(&str, &Path)>,
    variables: Variables<'_>,
    arguments: &Arguments,
) -> Result<Config, Problems> {
    let built_in = SourceFile::new(DEFAULT, None);
    let default = built_in.parse();
    let Some((text, path)) = file else {
        let root = Section::root((&built_in, &default), None);
        let config = config(root, None, variables, arguments);
        return finish(config, &[&built_in]);
    };
    let source = SourceFile::new(text, Some(path)).with_home(variables("HOME"));
    let table = source.parse();
    if source.has_problems() {
        // After a syntax error, the remaining text may mean something else.
        return Err(source.finish().0);
    }
    let root = Section::root((&source, &table), Some((&built_in, &default)));
    let config = config(root, Some(path), variables, arguments);
    finish(config, &[&source, &built_in])
}

/// The config, unless there are problems.
fn finish(mut config: Config, sources: &[&SourceFile<'_>]) -> Result<Config, Problems> {
    let mut problems = Problems::default();
    for source in sources {
        let (wrong, warnings) = source.finish();
        problems.0.extend(wrong.0);
        config.warnings.extend(warnings);
        config.files.extend(source.contents());
    }
    if problems.0.is_empty() {
        Ok(config)
    } else {
        problems.1 = config.files;
        Err(problems)
    }
}

fn config(
    root: Section<'_, '_>,
    file: Option<&Path>,
    variables: Variables<'_>,
    arguments: &Arguments,
) -> Config {
    let listen = Listen::read(root.section("listen"), variables, &arguments.listen);
    let section = root.section("hops");
    let hops = hops(&section, variables);
    let (environment, warnings) = Environment::read(variables, &listen.addresses);
    let environment = Arc::new(environment);
    let mut names = UpstreamNames {
        hops: &hops,
        environment: &environment,
        used: BTreeSet::new(),
    };
    let config = Config {
        file: file.map(Path::to_owned),
        listen,
        state_directory: state_directory(root.section("state"), variables),
        trust: Trust::read(root.section("trust")),
        log: Log::read(root.section("log"), arguments),
        shutdown: ShutdownConfig::read(root.section("shutdown")),
        dial: Dial::read(root.section("dial")),
        stall: StallDefaults::read(root.section("stall")),
        uploads: UploadsConfig::read(root.section("uploads")),
        interim: Interim::read(root.section("interim")),
        pool: PoolConfig::read(root.section("pool")),
        replay: Replay::read(root.section("replay")),
        downloads: Downloads::read(root.section("downloads")),
        reverse: Reverse::read(root.section("reverse")),
        rewrite: RewriteConfig::read(root.section("rewrite")),
        hops: hops.values().cloned().collect(),
        other_hosts: Arc::new(Route::other_hosts(&root, &mut names)),
        routes: routes(&root, &mut names),
        environment: Arc::clone(&environment),
        files: Files::new(),
        warnings,
    };
    unused(&section, &config.hops, &names.used);
    root.finish();
    config
}

fn unused(section: &Section<'_, '_>, hops: &[Arc<Hop>], used: &BTreeSet<String>) {
    let place = section.place();
    for hop in hops.iter().filter(|hop| !used.contains(&*hop.name)) {
        place.warning(format!("no route uses the hop `{}`", hop.name), None);
    }
}
