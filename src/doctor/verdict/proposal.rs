//! A change that doctor proposes, and what `--apply` writes for it.

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProposedChange {
    /// One sentence.
    pub sentence: String,
    /// A command to type.
    pub command: Option<String>,
    /// Lines of the config.
    pub toml: Option<String>,
    /// What `--apply` does; none where only the user may do it.
    pub edit: Option<ConfigEdit>,
}

/// A change of the config that touches neither trust nor exposure: a key, and its value as TOML writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigEdit {
    /// Whose key.
    pub place: EditPlace,
    /// `upstreams`, `max_segment`, or `dial.max_segment`.
    pub key: &'static str,
    /// The value.
    pub value: String,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EditPlace {
    /// In the route of this name.
    Route(String),
    /// In this section.
    Section(&'static str),
}

impl ConfigEdit {
    /// A key of this route.
    pub(crate) fn of_route(route: &str, key: &'static str, value: String) -> Self {
        let place = match route {
            "other_hosts" => EditPlace::Section("other_hosts"),
            route => EditPlace::Route(route.to_owned()),
        };
        Self { place, key, value }
    }

    /// The lines that do it, in a file that has no such table yet.
    pub(crate) fn toml(&self) -> String {
        let Self { place, key, value } = self;
        let head = match place {
            EditPlace::Route(route) => format!("[[route]]\nname = \"{route}\""),
            EditPlace::Section(section) => format!("[{section}]"),
        };
        match key.split_once('.') {
            Some((table, key)) => format!("{head}\n{table} = {{ {key} = {value} }}"),
            None => format!("{head}\n{key} = {value}"),
        }
    }
}

impl ProposedChange {
    pub(super) fn advice(sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            command: None,
            toml: None,
            edit: None,
        }
    }

    pub(super) fn command(sentence: impl Into<String>, command: impl Into<String>) -> Self {
        Self {
            command: Some(command.into()),
            ..Self::advice(sentence)
        }
    }

    pub(super) fn edit(sentence: impl Into<String>, edit: ConfigEdit) -> Self {
        Self {
            toml: Some(edit.toml()),
            edit: Some(edit),
            ..Self::advice(sentence)
        }
    }
}
