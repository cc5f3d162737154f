//! A proposed change, and the edit that `--apply` makes for it.

/// A proposed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProposedChange {
    /// One sentence.
    pub sentence: String,
    /// A command to type.
    pub command: Option<String>,
    /// Lines of the config.
    pub toml: Option<String>,
    /// The edit that `--apply` makes; `None` for a change that only the user may make.
    pub edit: Option<ConfigEdit>,
}

/// An edit of the config, which never changes who is trusted or served: a key and its value in TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigEdit {
    /// The table of the key.
    pub place: EditPlace,
    /// `upstreams`, `max_segment`, or `dial.max_segment`.
    pub key: &'static str,
    /// The value.
    pub value: String,
}

/// The table of a key.
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

    /// The lines to add to a file without such a table.
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
