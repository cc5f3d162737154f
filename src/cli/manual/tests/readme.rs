//! The README: short, its commands, config examples and links are valid.

use std::{fs, path::Path};

use clap::error::ErrorKind;

use super::help::{examples, parse};
use crate::config;

const README: &str = include_str!("../../../../README.md");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The code blocks of this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let parts = README.split(&*fence).skip(1);
    parts.filter_map(|part| part.split("```").next()).collect()
}

#[test]
fn it_has_at_most_220_lines() {
    assert!(README.lines().count() <= 220, "{}", README.lines().count());
}

#[test]
fn the_parser_accepts_its_commands() {
    let mut seen = 0;
    for words in blocks("sh").into_iter().flat_map(examples) {
        parse(&words).unwrap();
        seen += 1;
    }
    // What stands between backticks in a sentence may be the name of a command without its arguments.
    for words in README.split('`').skip(1).step_by(2).flat_map(examples) {
        let result = parse(&words);
        let is_name = |error: &clap::Error| {
            let missing = [
                ErrorKind::MissingRequiredArgument,
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
            ];
            missing.contains(&error.kind())
        };
        assert!(
            result.as_ref().is_err_and(is_name) || result.is_ok(),
            "{result:?}"
        );
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn its_config_examples_are_valid_and_cause_no_warning() {
    let directory = tempfile::tempdir().unwrap();
    let toml = blocks("toml");
    assert!(toml.len() >= 2, "{}", toml.len());
    for text in toml {
        let file = directory.path().join("gitferry.toml");
        fs::write(&file, text).unwrap();
        let home = |name: &str| (name == "HOME").then(|| "/home/me".to_owned());
        let config = config::load(Some(&file), &home);
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
}

#[test]
fn the_targets_of_its_links_exist() {
    let mut seen = 0;
    for part in README.split("](").skip(1) {
        let link = part.split(')').next().unwrap();
        seen += 1;
        if let Some(anchor) = link.strip_prefix('#') {
            let title = anchor.replace('-', " ");
            let heading = format!("## {title}\n");
            assert!(README.to_lowercase().contains(&heading), "{link}");
        } else {
            assert!(Path::new(ROOT).join(link).exists(), "{link}");
        }
    }
    assert!(seen >= 6, "{seen}");
    let picture = fs::metadata(Path::new(ROOT).join("tests/fixtures/page/healthy.png"));
    assert!(picture.unwrap().len() < 200 * 1024);
}
