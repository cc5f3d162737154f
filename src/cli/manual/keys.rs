//! The keys of the config as Markdown, from the comments of `config/gitferry.toml`.
//!
//! The text has sections (`[name]`, `[[name]]`), keys (`key = value  # what it does`) and prose. Sections and keys may be in a
//! comment, after one space: these keys have no default. The comment of a key continues on the lines below it. Prose
//! directly above a section introduces it. List entries outside comments, `[[route]]`, are data.

use std::fmt::Write as _;

/// A section of the reference.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeySection {
    /// As it is written, with its brackets.
    pub(super) title: String,
    /// What the section is for.
    pub(super) intro: String,
    /// An entry of a list.
    pub(super) is_data: bool,
    pub(super) keys: Vec<ConfigKey>,
}

/// A key of the reference.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ConfigKey {
    pub(super) name: String,
    /// The default, or an example where the key has none.
    pub(super) value: String,
    pub(super) has_default: bool,
    pub(super) meaning: String,
}

/// The sections with keys or prose.
pub(super) fn sections(toml: &str) -> Vec<KeySection> {
    let mut found = vec![KeySection::default()];
    // Paragraphs that may belong to the next section.
    let mut prose = String::new();
    for line in toml.lines() {
        let is_comment = line.starts_with('#');
        let text = line.strip_prefix('#').unwrap_or(line);
        let text = text.strip_prefix(' ').unwrap_or(text);
        let current = found.last_mut();
        if let Some(title) = header(text) {
            let intro = std::mem::take(&mut prose);
            found.push(KeySection {
                title,
                intro,
                is_data: !is_comment && line.starts_with("[["),
                keys: Vec::new(),
            });
        } else if let (Some(key), Some(section)) = (key(text, !is_comment), current) {
            section.keys.push(key);
        } else if let Some(more) = continued(line) {
            let key = found.last_mut().and_then(|section| section.keys.last_mut());
            if let Some(key) = key {
                let gap = if key.meaning.is_empty() { "" } else { " " };
                let _ = write!(key.meaning, "{gap}{}", more.trim());
            }
        } else if let Some(list) = open_list(found.last_mut()) {
            let gap = if list.ends_with('[') { "" } else { " " };
            let _ = write!(list, "{gap}{}", line.trim());
        } else if is_comment {
            let _ = writeln!(prose, "{text}");
        } else if line.is_empty() && !prose.is_empty() {
            // Prose that an empty line follows belongs to the section above.
            let prose = std::mem::take(&mut prose);
            if let Some(section) = found.last_mut() {
                let _ = write!(section.intro, "\n{prose}");
            }
        }
    }
    found.retain(|section| !section.keys.is_empty() || !section.intro.is_empty());
    found
}

/// The sections as Markdown.
pub(super) fn markdown(sections: &[KeySection]) -> String {
    let mut text = String::new();
    let (data, described): (Vec<_>, Vec<_>) = sections
        .iter()
        .filter(|section| !section.title.is_empty())
        .partition(|section| section.is_data);
    for section in described {
        let _ = write!(
            text,
            "\n## `{}`\n\n{}\n\n",
            section.title,
            section.intro.trim()
        );
        for key in &section.keys {
            let what = if key.has_default {
                "Default"
            } else {
                "No default, for example"
            };
            let _ = write!(
                text,
                "`{}`\n: {}\n\n    {what}: `{}`\n\n",
                key.name, key.meaning, key.value
            );
        }
    }
    text.push_str("\n## Built-in routes\n\n");
    for section in data {
        let value = |name| section.keys.iter().find(|key| key.name == name);
        let value =
            |name| value(name).map_or("", |key| key.value.trim_matches(['"', '[', ']', ' ']));
        let hosts = value("hosts").trim_end_matches([',', ' ']);
        let hosts = hosts.replace('"', "").replace(", ", "`, `");
        let _ = write!(
            text,
            "`{}`\n: {}: `{hosts}`\n\n",
            value("name"),
            value("role")
        );
    }
    text
}

/// The rest of a key's comment: a second `#`, far to the right.
fn continued(line: &str) -> Option<&str> {
    let inner = line.strip_prefix('#').unwrap_or(line);
    inner.strip_prefix("   ")?.trim_start().strip_prefix('#')
}

/// The value of the last key, where it is a list whose end is on a later line.
fn open_list(section: Option<&mut KeySection>) -> Option<&mut String> {
    let value = &mut section?.keys.last_mut()?.value;
    (value.starts_with('[') && !value.ends_with(']')).then_some(value)
}

fn header(text: &str) -> Option<String> {
    let title = text.split('#').next()?.trim();
    let inner = title.strip_prefix('[')?.strip_suffix(']')?;
    let inner = inner
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(inner);
    let is_name = !inner.is_empty()
        && inner
            .chars()
            .all(|c| c.is_ascii_alphabetic() || "._".contains(c));
    is_name.then(|| title.to_owned())
}

fn key(text: &str, has_default: bool) -> Option<ConfigKey> {
    let (name, rest) = text.split_once(" = ")?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let (value, meaning) = rest.split_once(" #").unwrap_or((rest, ""));
    is_name.then(|| ConfigKey {
        name: name.to_owned(),
        value: value.trim().to_owned(),
        has_default,
        meaning: meaning.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_fits_80_columns() {
        let wide = |line: &&str| line.chars().count() > 80;
        assert_eq!(crate::config::DEFAULT.lines().find(wide), None);
    }

    #[test]
    fn sections_keys_and_prose_are_read_from_the_comments() {
        let found = sections(
            "# About a file.\n\n# What it is.\n[a]\nx = 1      # ex\n           # goes on\nw = [\n    1,\n    2,\n]\n# y = \"2\"  # why\n\n# More.\n\n# Next.\n# [[b]]\n# z = {}   # set\n#          # on\n",
        );
        let key = |name: &str, value: &str, has_default, meaning: &str| ConfigKey {
            name: name.into(),
            value: value.into(),
            has_default,
            meaning: meaning.into(),
        };
        assert_eq!(
            found[1..],
            [
                KeySection {
                    title: "[a]".into(),
                    intro: "What it is.\n\nMore.\n".into(),
                    is_data: false,
                    keys: vec![
                        key("x", "1", true, "ex goes on"),
                        key("w", "[1, 2, ]", true, ""),
                        key("y", "\"2\"", false, "why")
                    ],
                },
                KeySection {
                    title: "[[b]]".into(),
                    intro: "Next.\n".into(),
                    is_data: false,
                    keys: vec![key("z", "{}", false, "set on")],
                },
            ]
        );
    }
}
