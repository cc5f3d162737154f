//! What exists in the code is in the manual, and the manual fits a terminal.

mod help;
mod log;
mod readme;
mod render;

use clap::Command;

use super::*;
use crate::{
    admin::endpoints::ENDPOINTS,
    cli::root,
    model::{Stage, fault::table::FAULT_KINDS, stall::rules::STALL_RULES},
    track::metrics::METRICS,
};

const NARROW: Screen = Screen {
    width: 80,
    styled: false,
};

/// Running text in one line.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn page(page: ManPage) -> String {
    let blocks = document::parse(&markdown(page, &root()));
    flat(&terminal::render(&blocks, NARROW))
}

#[test]
fn every_code_verdict_stage_metric_and_address_is_in_the_manual() {
    let page = page(ManPage::Command);
    let faults = FAULT_KINDS.iter().map(|row| row.code);
    let verdicts = STALL_RULES.iter().map(|rule| rule.verdict.as_str());
    let metrics = METRICS.iter().map(|metric| metric.name);
    let addresses = ENDPOINTS.iter().map(|endpoint| endpoint.path);
    let stages = Stage::ALL.map(Stage::as_str);
    let names: Vec<_> = faults
        .chain(verdicts)
        .chain(metrics)
        .chain(addresses)
        .chain(stages)
        .collect();
    assert!(names.len() > 80, "{}", names.len());
    for name in names {
        assert!(page.contains(name), "{name} is missing");
        let found = entry(name, NARROW).is_some() || stages.contains(&name);
        assert!(found, "`gitferry help {name}` finds nothing");
    }
}

#[test]
fn help_explains_what_a_user_copies_from_a_message() {
    for (copied, expected) in [
        ("hop/greeting/hop-refused-403", "The hop refused"),
        ("hop-refused-403", "The hop refused"),
        (
            "client/handshaking/alert-unknown-ca",
            "The peer sent a TLS alert",
        ),
        ("http2-refused-stream", "as in `http2-refused-stream`"),
        ("answered-503", "as in `answered-503`"),
        ("stalled-path-drops", "Nothing moved"),
        ("dial.patience", "the only upstream of a host that fails"),
        ("[dial]", "connect_timeout"),
        ("other_hosts", "Hosts without a route"),
        ("gitferry_stalls_total", "Stalls."),
    ] {
        let text = entry(copied, NARROW).unwrap_or_else(|| panic!("{copied}"));
        let flat = flat(&text);
        assert!(flat.contains(expected), "{copied}: {flat}");
    }
    assert_eq!(entry("nothing", NARROW), None);
}

#[test]
fn every_name_of_the_json_is_in_the_manual() {
    let api = flat(&super::topic("api", NARROW).unwrap());
    let overview = crate::admin::view::Overview::FIELDS;
    let fault = crate::track::event::FaultOccurred::FIELDS;
    let shown = overview
        .iter()
        .chain(fault)
        .filter(|field| !field.is_hidden());
    let mut seen = 0;
    for field in shown {
        let said = field.meaning();
        assert!(api.contains(said), "{}: {said}", field.name());
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
    let written = serde_json::to_value(crate::track::history::tests::finished(1)).unwrap();
    let written: Vec<&str> = written
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let mut documented: Vec<_> = crate::track::history::Finished::FIELDS
        .iter()
        .map(|field| field.name())
        .collect();
    documented.sort_unstable();
    assert_eq!(written, documented);
    // A name that serde changes is documented as it is written, and what it skips is not.
    let names: Vec<_> = fault.iter().map(|field| field.name()).collect();
    assert!(
        names.contains(&"s_ago") && !names.contains(&"at"),
        "{names:?}"
    );
}

#[test]
fn every_command_and_option_is_in_the_manual_with_its_help() {
    fn walk(command: &Command, page: &str, seen: &mut usize) {
        for command in commands::visible(command) {
            let name = command.get_bin_name().unwrap();
            assert!(page.contains(name), "{name} is missing");
            for arg in command.get_arguments() {
                let id = arg.get_id().as_str();
                if arg.is_hide_set() || matches!(id, "help" | "version") {
                    continue;
                }
                let help = arg.get_long_help().or(arg.get_help()).unwrap();
                let help = flat(&help.to_string());
                assert!(page.contains(&help), "{name} {id}: {help}");
                *seen += 1;
            }
            walk(command, page, seen);
        }
    }
    let mut seen = 0;
    walk(&root(), &page(ManPage::Command), &mut seen);
    assert!(seen > 40, "{seen}");
}

#[test]
fn every_topic_fits_80_columns_and_no_topic_hides_behind_a_command() {
    let root = root();
    for topic in TOPICS {
        assert!(root.find_subcommand(topic.name).is_none(), "{}", topic.name);
        let text = super::topic(topic.name, NARROW).unwrap();
        assert!(!text.contains("{{"), "{}", topic.name);
        for line in text.lines() {
            let length = line.chars().count();
            assert!(length <= 80, "{}: {length} columns: {line}", topic.name);
        }
    }
}

#[test]
fn the_date_of_the_pages_is_that_of_the_newest_version() {
    let changelog = include_str!("changelog.md");
    let newest = changelog.lines().find(|line| line.starts_with("## "));
    let expected = format!("## {} ({DATE})", env!("CARGO_PKG_VERSION"));
    assert_eq!(newest, Some(&*expected));
}

/// What the config reader accepts in a section, from its answer to an unknown key.
fn accepted(toml: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gitferry.toml");
    std::fs::write(&file, toml).unwrap();
    let problems = config::load(Some(&file), &|_| None).unwrap_err();
    let unknown = problems
        .0
        .iter()
        .find(|problem| problem.message.starts_with("unknown key"));
    let hint = unknown.and_then(|problem| problem.hint.clone()).unwrap();
    let (_, list) = hint.split_once("alid keys: ").unwrap();
    let names = list
        .split(", ")
        .map(|name| name.trim_matches('`').to_owned());
    names.collect()
}

#[test]
fn every_key_of_the_config_is_in_the_manual_with_its_meaning() {
    let sections = keys::sections(config::DEFAULT);
    let route = "[[route]]\nname = \"x\"\nhosts = [\"x.test\"]\ntls = \"terminate\"\n";
    let direct = "upstreams = [{ via = \"direct\" }]\n";
    let mut count = 0;
    let top = accepted("zz = 1\n");
    for name in top
        .iter()
        .filter(|name| !matches!(&***name, "route" | "hops"))
    {
        let title = format!("[{name}]");
        let section = sections.iter().find(|section| section.title == title);
        let section = section.unwrap_or_else(|| panic!("{title} is missing"));
        for key in accepted(&format!("{title}\nzz = 1\n")) {
            // These tables of other_hosts are those of a route.
            if title == "[other_hosts]" && matches!(&*key, "dial" | "stall" | "uploads" | "resolve")
            {
                assert!(section.intro.contains(&key), "{title} {key}");
                continue;
            }
            assert!(
                section.keys.iter().any(|it| it.name == key),
                "{title} {key}"
            );
            count += 1;
        }
    }
    for (title, toml) in [
        (
            "[hops.NAME]",
            "[hops]\na = { url = \"https://a:1\", zz = 1 }\n".to_owned(),
        ),
        ("[[route]]", format!("{route}{direct}zz = 1\n")),
        (
            "[[route.upstreams]]",
            format!("{route}upstreams = [{{ via = \"direct\", zz = 1 }}]\n"),
        ),
    ] {
        let found = |section: &&keys::KeySection| section.title == title && !section.is_data;
        let section = sections.iter().find(found).unwrap();
        for key in accepted(&toml) {
            assert!(
                section.keys.iter().any(|it| it.name == key),
                "{title} {key}"
            );
            count += 1;
        }
    }
    assert!(count > 60, "{count}");
    for section in sections.iter().filter(|section| !section.is_data) {
        for key in &section.keys {
            let said = key.meaning.len() > 10 || section.title == "[log]";
            assert!(said, "{} {} says nothing", section.title, key.name);
        }
    }
}
