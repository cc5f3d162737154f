//! The commands as Markdown, from the definition that parses the arguments.

use std::fmt::Write as _;

use clap::{Arg, Command};

/// The heading of the examples in a command's help.
pub(in crate::cli) const EXAMPLES: &str = "Examples:\n";

/// `gitferry(1)`'s SYNOPSIS, COMMANDS and OPTIONS.
pub(super) fn all(root: &Command) -> String {
    let mut text = String::from("# Synopsis\n\n`gitferry` [*OPTIONS*] *COMMAND*\n\n# Commands\n");
    for command in visible(root) {
        section(command, root, &mut text);
    }
    text.push_str("\n# Options\n\nEvery command takes these:\n\n");
    for arg in root.get_arguments().filter(|arg| is_shown(arg)) {
        option(arg, &mut text);
    }
    text
}

/// A line for every command.
pub(super) fn list(root: &Command) -> String {
    let mut text = String::new();
    for command in visible(root) {
        let _ = writeln!(
            text,
            "`{}`\n: {}\n",
            command.get_name(),
            plain(command.get_about())
        );
    }
    text
}

/// The commands below `command` that the help shows.
pub(super) fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
}

/// `above` is the parent command: it explains the arguments that both have.
fn section(command: &Command, above: &Command, text: &mut String) {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let title = command.get_bin_name().unwrap_or(command.get_name());
    let about = plain(command.get_long_about().or(command.get_about()));
    let _ = write!(text, "\n## {title}\n\n`{usage}`\n\n{about}\n\n");
    let inherited = |arg: &Arg| {
        above
            .get_arguments()
            .any(|other| other.get_id() == arg.get_id())
    };
    let own = |arg: &&Arg| is_shown(arg) && !(arg.is_global_set() && inherited(arg));
    for arg in command.get_arguments().filter(own) {
        option(arg, text);
    }
    let after = plain(command.get_after_help());
    if let Some((_, examples)) = after.split_once(EXAMPLES) {
        let indented: String = examples.lines().map(|line| format!("  {line}\n")).collect();
        let _ = write!(text, "\nExamples:\n\n{indented}");
    }
    for inner in visible(command) {
        section(inner, command, text);
    }
}

fn is_shown(arg: &Arg) -> bool {
    !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

/// A definition: the option with its value, and what it does.
fn option(arg: &Arg, text: &mut String) {
    let names: Vec<_> = [
        arg.get_short().map(|short| format!("`-{short}`")),
        arg.get_long().map(|long| format!("`--{long}`")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let takes_value = arg.get_action().takes_values();
    let values = arg.get_value_names().unwrap_or_default();
    let value: Vec<_> = values.iter().map(|name| format!("*{name}*")).collect();
    let mut term = names.join(", ");
    if takes_value && !value.is_empty() {
        let space = if term.is_empty() { "" } else { " " };
        let _ = write!(term, "{space}{}", value.join(" "));
    }
    let help = plain(arg.get_long_help().or(arg.get_help()));
    let _ = write!(text, "{term}\n: {}\n", indented(&help));
    for value in arg.get_possible_values() {
        if let (Some(help), true) = (value.get_help(), takes_value) {
            let _ = write!(text, "\n    - `{}`: {help}", value.get_name());
        }
    }
    text.push('\n');
    if let (Some(default), true) = (arg.get_default_values().first(), takes_value) {
        let _ = write!(text, "\n    Default: `{}`\n", default.to_string_lossy());
    }
    text.push('\n');
}

/// The text as part of a definition: paragraphs after the first one are indented.
fn indented(text: &str) -> String {
    text.replace("\n\n", "\n\n    ")
}

fn plain(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}
