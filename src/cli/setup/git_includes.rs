//! What a git config includes: the settings of each client, and the text of gitferry's settings file.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};

use super::{
    plan::{GitClient, Setting},
    record::SavedFile,
};

/// The first line of gitferry's settings file.
pub(super) const MARK: &str = "# Written by `gitferry setup`";

/// What one user's (or one repository's) git config includes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GitIncludes {
    /// The user's file, for people who read the record.
    pub(super) file: String,
    /// True where the first set-up created the user's file.
    pub(super) created: bool,
    /// The user's file before and after our line, as long as nobody else changed it.
    pub(super) snapshot: Option<SavedFile>,
    /// What each client needs.
    pub(super) clients: BTreeMap<GitClient, ClientNeeds>,
    /// False after `setup off`.
    pub(super) on: bool,
}

/// What one client needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClientNeeds {
    pub(super) no_ca: bool,
    pub(super) settings: Vec<Setting>,
}

impl GitIncludes {
    /// All settings, each once, in the order of the clients.
    pub(super) fn settings(&self) -> Vec<&Setting> {
        let mut all: Vec<&Setting> = Vec::new();
        for setting in self.clients.values().flat_map(|needs| &needs.settings) {
            let same = |known: &&Setting| known.key == setting.key && known.value == setting.value;
            if !all.iter().any(same) {
                all.push(setting);
            }
        }
        all
    }

    /// The settings file.
    pub(super) fn text(&self) -> String {
        self.render(|setting| setting.value.clone())
    }

    /// The same for the terminal: a password is not shown.
    pub(super) fn shown(&self) -> String {
        self.render(|setting| {
            match (
                setting.value.rsplit_once('@'),
                setting.value.split_once("://"),
            ) {
                (Some((_, after)), Some((scheme, rest))) if setting.key.ends_with(".proxy") => {
                    let user = rest.split([':', '@']).next().unwrap_or_default();
                    format!("{scheme}://{user}:***@{after}")
                }
                _ => setting.value.clone(),
            }
        })
    }

    fn render(&self, value: impl Fn(&Setting) -> String) -> String {
        let mut text = format!(
            "{MARK}, which rewrites it each time; `gitferry setup git --undo` removes it.\n"
        );
        let mut section = String::new();
        for setting in self.settings() {
            let (header, name) = section_of(&setting.key);
            if header != section {
                let _ = writeln!(text, "[{header}]");
                section = header;
            }
            let _ = writeln!(text, "\t{name} = {}", quoted(&value(setting)));
        }
        text
    }
}

/// `http.https://hf.co.proxy` as the header `http "https://hf.co"` and the name `proxy` (git-config(1), SYNTAX).
fn section_of(key: &str) -> (String, &str) {
    let (rest, name) = key.rsplit_once('.').unwrap_or((key, ""));
    match rest.split_once('.') {
        Some((section, subsection)) => {
            let escaped = subsection.replace('\\', r"\\").replace('"', "\\\"");
            (format!("{section} \"{escaped}\""), name)
        }
        None => (rest.to_owned(), name),
    }
}

/// A value of a git config, quoted where it contains `#`, `;` or blanks.
pub(super) fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,*[]".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    let escaped = value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
        .replace('\t', "\\t");
    format!("\"{escaped}\"")
}
