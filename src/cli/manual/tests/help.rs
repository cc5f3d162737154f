//! The help of every command: it has examples that work, fits 80 columns and is plain English.

use clap::{Command, Parser as _};

use crate::cli::{Cli, root};

/// Words that this project used to use, and that a user would not understand.
const DIALECT: [&str; 12] = [
    "is told",
    "are told",
    "leads away",
    "as it came",
    "sum a log",
    "sums a log",
    "is doubtful",
    "nothing but",
    "takes up",
    "likewise",
    "of its own accord",
    "betimes",
];

fn walk(command: &mut Command, see: &mut impl FnMut(&str, &str)) {
    let name = command
        .get_bin_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let help = command.render_long_help().to_string();
    see(&name, &help);
    let inner = command
        .get_subcommands_mut()
        .filter(|inner| !inner.is_hide_set());
    inner.for_each(|inner| walk(inner, see));
}

/// The examples in a help text or a Markdown block: the words of each command line of gitferry.
pub(super) fn examples(text: &str) -> Vec<Vec<String>> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or(line));
    let commands = lines.flat_map(|line| {
        line.split([';', '|', '(', ')'])
            .flat_map(|part| part.split("&&"))
    });
    let gitferry = commands.filter_map(|command| {
        let command = command
            .trim()
            .trim_start_matches("ProxyCommand=")
            .trim_matches(['\'', '"']);
        let command = command.split(['<', '>']).next().unwrap_or(command);
        let command = command.strip_suffix(" 2").unwrap_or(command);
        let mut words = command
            .split_whitespace()
            .map(|word| word.trim_matches(['\'', '"']).to_owned());
        let program = words.next()?;
        matches!(&*program, "gitferry" | "/usr/local/bin/gitferry").then(|| words.collect())
    });
    gitferry.collect()
}

/// Fails where clap does not take the words.
pub(super) fn parse(words: &[String]) -> Result<(), clap::Error> {
    let all = std::iter::once("gitferry").chain(words.iter().map(String::as_str));
    Cli::try_parse_from(all).map(|_| ())
}

#[test]
fn every_command_has_examples_that_the_parser_accepts() {
    let mut seen = 0;
    walk(&mut root(), &mut |name, help| {
        let (_, after) = help
            .split_once("Examples:\n")
            .unwrap_or_else(|| panic!("{name} has no example"));
        let found = examples(after);
        assert!(
            !found.is_empty() || after.contains("ProxyCommand"),
            "{name}: {after}"
        );
        for words in found {
            parse(&words).unwrap();
            seen += 1;
        }
    });
    assert!(seen > 40, "{seen}");
}

#[test]
fn the_help_of_every_command_fits_80_columns_and_is_plain() {
    walk(&mut root(), &mut |name, help| {
        for line in help.lines() {
            let length = line.chars().count();
            assert!(length <= 80, "{name}: {length} columns: {line}");
        }
        let lower = help.to_lowercase();
        for words in DIALECT {
            assert!(!lower.contains(words), "{name} says {words:?}");
        }
    });
}
