//! The manual: `gitferry(1)`, `gitferry.toml(5)` and `gitferry help TOPIC`, from one source.
//!
//! A topic is a Markdown file of this directory. `{{faults}}` stands for a table that is made from the code, so
//! that the manual is complete. A man page is all its topics in order.

mod commands;
mod document;
mod keys;
mod roff;
mod tables;
mod terminal;

use clap::Command;

pub(super) use terminal::Screen;

use crate::{config, model::fault};
use document::Block;

/// The newest entry of `changelog.md`; a test compares them.
const DATE: &str = "2026-11-26";

/// A part of the manual.
#[derive(Debug)]
struct Topic {
    /// The argument of `gitferry help`.
    name: &'static str,
    /// A summary for the list of topics.
    summary: &'static str,
    page: ManPage,
    text: &'static str,
}

/// A man page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ManPage {
    /// `gitferry(1)`.
    Command,
    /// `gitferry.toml(5)`.
    Config,
}

macro_rules! topics {
    ($($page:ident $name:literal $summary:literal;)+) => {
        /// Every topic, in the order of the pages.
        const TOPICS: &[Topic] = &[$(Topic {
            name: $name,
            summary: $summary,
            page: ManPage::$page,
            text: include_str!(concat!($name, ".md")),
        }),+];
    };
}

topics! {
    Command "gitferry" "what gitferry is and what it does with a transfer";
    Command "clients" "how clients are set up, and which ones were tried";
    Command "mirrors" "mirrors, and what gitferry sends to them";
    Command "reverse" "the reverse front: without a CA and without a proxy setting";
    Command "access" "who may use the daemon: local users, passwords";
    Command "faults" "every fault code, what it means and what to do";
    Command "stalls" "every verdict on a transfer in which nothing moves";
    Command "hops" "your proxy, and what to write in `[hops]`";
    Command "network" "long and lossy paths, small segments";
    Command "log" "the log: formats, messages, fields";
    Command "api" "the JSON API and the pages below /-/";
    Command "metrics" "every metric";
    Command "examples" "example commands";
    Command "files" "the files that gitferry reads and writes";
    Command "environment" "the environment variables that gitferry reads";
    Command "exit-status" "the exit codes";
    Command "security" "what gitferry protects, and how to report a vulnerability";
    Command "changelog" "the changes of each version";
    Config "keys" "every key of gitferry.toml, with its default and unit";
}

/// The list of topics and commands.
pub(super) fn index(root: &Command, screen: Screen) -> String {
    let mut text = String::from("# Topics\n\n`gitferry help TOPIC` explains one of these:\n\n");
    for topic in TOPICS {
        text.push_str(&format!("`{}`\n: {}\n\n", topic.name, topic.summary));
    }
    text.push_str("\n# Commands\n\n");
    text.push_str(&commands::list(root));
    text.push_str("`gitferry help` also explains one fault code, verdict, key or metric, such as `gitferry help hop-refused`.\n");
    terminal::render(&document::parse(&text), screen)
}

/// A topic as text; `None` for an unknown name.
pub(super) fn topic(name: &str, screen: Screen) -> Option<String> {
    let topic = TOPICS.iter().find(|topic| topic.name == name)?;
    Some(terminal::render(
        &document::parse(&topic.markdown()),
        screen,
    ))
}

/// The manual's definition of a code, key, metric or address; `None` for an unknown name.
///
/// The user may have copied more than the name: `hop/greeting/hop-refused-403`, `dial.patience`, `[dial]`.
pub(super) fn entry(given: &str, screen: Screen) -> Option<String> {
    let given = given.trim_matches(['[', ']', '`']);
    let kind = given.rsplit('/').next().unwrap_or(given);
    let code = fault::table::code_of(kind).unwrap_or(kind);
    let key = given.rsplit('.').next().unwrap_or(given);
    let found = [
        section(given, screen),
        definitions(&[given, kind, code], screen),
    ];
    let found: Vec<_> = found.into_iter().flatten().collect();
    match &*found {
        [] => definitions(&[key], screen),
        found => Some(found.join("\n")),
    }
}

/// The name that [`entry`], [`topic`] or a command explains and that is most like `given`.
pub(super) fn nearest(given: &str, root: &Command) -> Option<String> {
    let mut names: Vec<String> = TOPICS.iter().map(|topic| topic.name.to_owned()).collect();
    names.extend(root.get_subcommands().map(|it| it.get_name().to_owned()));
    for topic in TOPICS {
        for block in document::parse(&topic.markdown()) {
            if let Block::Definitions(list) = block {
                names.extend(list.iter().map(|it| document::plain(&it.term)));
            }
        }
    }
    config::problem::nearest(given, names.iter().map(String::as_str)).map(str::to_owned)
}

fn definitions(names: &[&str], screen: Screen) -> Option<String> {
    let names =
        |definition: &&document::Definition| names.contains(&&*document::plain(&definition.term));
    let mut found = Vec::new();
    for topic in TOPICS {
        for block in document::parse(&topic.markdown()) {
            if let Block::Definitions(list) = block {
                found.extend(list.iter().filter(names).cloned());
            }
        }
    }
    (!found.is_empty()).then(|| terminal::render(&[Block::Definitions(found)], screen))
}

/// A section of the config with its keys, by its name.
fn section(name: &str, screen: Screen) -> Option<String> {
    let keys = TOPICS.iter().find(|topic| topic.page == ManPage::Config)?;
    let blocks = document::parse(&keys.markdown());
    let is_head = |block: &Block| matches!(block, Block::Heading(..));
    let begin = blocks.iter().position(|block| match block {
        Block::Heading(_, title) => document::plain(title).trim_matches(['[', ']']) == name,
        _ => false,
    })?;
    let rest = blocks.get(begin + 1..)?;
    let length = rest.iter().position(is_head).unwrap_or(rest.len());
    let section = blocks.get(begin..=begin + length)?;
    Some(terminal::render(section, screen))
}

/// A man page as roff.
pub(super) fn roff(page: ManPage, root: &Command) -> String {
    let (title, section, manual) = match page {
        ManPage::Command => ("gitferry", 1, "User Commands"),
        ManPage::Config => ("gitferry.toml", 5, "File Formats"),
    };
    let head = roff::PageHead {
        title,
        section,
        date: DATE,
        manual,
    };
    roff::page(&head, &document::parse(&markdown(page, root)))
}

/// A man page as Markdown.
fn markdown(page: ManPage, root: &Command) -> String {
    let mut text = String::new();
    let topics = TOPICS.iter().filter(|topic| topic.page == page);
    match page {
        ManPage::Command => {
            let about = root.get_about().map(ToString::to_string);
            let about = about.unwrap_or_default();
            text.push_str(&format!("# Name\n\ngitferry - {about}\n\n"));
            text.push_str(&commands::all(root));
            topics.for_each(|topic| text.push_str(&format!("\n{}", topic.markdown())));
            text.push_str(
                "\n# See also\n\n`gitferry.toml`(5), `git`(1), `git-lfs`(1), `ssh_config`(5)\n",
            );
        }
        ManPage::Config => {
            text.push_str("# Name\n\ngitferry.toml - the config of the gitferry daemon\n\n");
            topics.for_each(|topic| text.push_str(&topic.markdown()));
            text.push_str("\n# See also\n\n`gitferry`(1)\n");
        }
    }
    text
}

impl Topic {
    /// Its text, with the tables in their places.
    fn markdown(&self) -> String {
        let mut text = String::new();
        let mut rest = self.text;
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").unwrap_or_default();
            text.push_str(before);
            text.push_str(&table_of(name));
            rest = after;
        }
        text + rest
    }
}

fn table_of(name: &str) -> String {
    match name {
        "stages" => tables::stages(),
        "hop-kinds" => tables::hop_kinds(),
        "faults" => tables::faults(),
        "stalls" => tables::stalls(),
        "metrics" => tables::metrics(),
        "endpoints" => tables::endpoints(),
        "objects" => tables::objects(),
        "fields" => tables::fields(),
        "keys" => keys::markdown(&keys::sections(config::DEFAULT)),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
