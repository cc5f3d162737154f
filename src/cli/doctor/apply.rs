//! `--apply`: makes the change of the verdict in the config file. It shows and checks the change first, and keeps a backup.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value};

use crate::{
    cli::{
        Failure,
        files::{self, StagedFile},
        printed,
    },
    config,
    doctor::verdict::{ConfigEdit, EditPlace},
};

/// Changes `file`, or creates it.
///
/// Fails where the file cannot be read or written, or the config would become invalid; then nothing has changed.
pub(super) fn run(edit: &ConfigEdit, file: &Path) -> Result<(), Failure> {
    let before = files::read(file)?.map(String::from_utf8).transpose();
    let before = before.map_err(Failure::cannot("read", file))?;
    let text = before.as_deref().unwrap_or_default();
    let after = edited(text, edit).map_err(|why| {
        Failure::new(format!("cannot change {}: {why}", file.display()))
            .hint("make the change by hand: the verdict shows the lines")
    })?;
    if after == text {
        return printed(writeln!(
            io::stdout(),
            "{} has this setting already",
            file.display()
        ));
    }
    printed(writeln!(
        io::stdout(),
        "\n{}:\n{}",
        file.display(),
        difference(text, &after)
    ))?;
    let backup = replace(file, before.as_deref(), &after)?;
    let kept = match backup {
        Some(backup) => format!("; the previous file is {}", backup.display()),
        None => String::new(),
    };
    printed(writeln!(
        io::stdout(),
        "changed{kept}\na running daemon reads it within seconds; run `gitferry doctor` again"
    ))
}

/// The text with the edit; everything else stays as written.
fn edited(text: &str, edit: &ConfigEdit) -> Result<String, String> {
    let ConfigEdit { place, key, value } = edit;
    let mut document: DocumentMut = text
        .parse()
        .map_err(|_| "it is not valid TOML".to_owned())?;
    let value: Value = value
        .parse()
        .map_err(|_| format!("{value} is not a TOML value"))?;
    let table = table_of(&mut document, place)?;
    match key.split_once('.') {
        None => {
            table.insert(key, Item::Value(value));
        }
        Some((outer, inner)) => {
            let inline = || Item::Value(Value::InlineTable(InlineTable::new()));
            let nested = table.entry(outer).or_insert_with(inline);
            let nested = nested
                .as_table_like_mut()
                .ok_or_else(|| format!("`{outer}` there is not a table"))?;
            nested.insert(inner, Item::Value(value));
        }
    }
    Ok(document.to_string())
}

/// The section or the route's table. A new table for a route changes the built-in route of that name.
fn table_of<'d>(document: &'d mut DocumentMut, place: &EditPlace) -> Result<&'d mut Table, String> {
    let route = match place {
        EditPlace::Route(route) => route,
        EditPlace::Section(section) => {
            let table = document
                .entry(section)
                .or_insert_with(|| Item::Table(Table::new()));
            return table
                .as_table_mut()
                .ok_or_else(|| format!("`{section}` is not written as [{section}]"));
        }
    };
    let routes = document
        .entry("route")
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let routes = routes
        .as_array_of_tables_mut()
        .ok_or("its routes are not written as [[route]]")?;
    let known = |table: &Table| table.get("name").and_then(Item::as_str) == Some(route.as_str());
    let at = routes.iter().position(known);
    let at = match at {
        Some(at) => at,
        None => {
            let mut table = Table::new();
            table.insert("name", toml_edit::value(route));
            routes.push(table);
            routes.len() - 1
        }
    };
    routes
        .get_mut(at)
        .ok_or_else(|| "the route no longer exists".to_owned())
}

/// The lines that differ: all but the common lines at the start and the end.
fn difference(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = old.iter().zip(&new).take_while(same).count();
    let rest = old.len().min(new.len()) - head;
    let backwards = old.iter().rev().zip(new.iter().rev());
    let tail = backwards.take_while(same).count().min(rest);
    let changed = |lines: &[&str], mark: char| -> String {
        let end = lines.len() - tail;
        let lines = lines.get(head..end).unwrap_or_default();
        lines
            .iter()
            .map(|line| format!("{mark} {line}\n"))
            .collect()
    };
    format!("{}{}", changed(&old, '-'), changed(&new, '+'))
}

/// Writes the new file beside the old one, checks it, makes a backup, and then replaces the old one.
fn replace(file: &Path, before: Option<&str>, after: &str) -> Result<Option<PathBuf>, Failure> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).map_err(Failure::cannot("create", directory))?;
    }
    let new = StagedFile::new(file, after.as_bytes(), 0o600)?;
    let variable = |name: &str| std::env::var(name).ok();
    config::load(Some(new.path()), &variable)
        .map_err(|problems| Failure::during("the change would break the config", problems))?;
    let backup = before.map(|_| free_name(&new.target));
    if let Some(backup) = &backup {
        fs::copy(&new.target, backup).map_err(Failure::cannot("write", backup))?;
    }
    new.persist()?;
    Ok(backup)
}

/// `gitferry.toml.bak`, or the first free name with a number.
fn free_name(file: &Path) -> PathBuf {
    let name = |number: u32| {
        let mut name = file.as_os_str().to_owned();
        name.push(match number {
            0 => ".bak".to_owned(),
            number => format!(".bak{number}"),
        });
        PathBuf::from(name)
    };
    (0..1000)
        .map(name)
        .find(|name| !name.exists())
        .unwrap_or_else(|| name(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstreams(route: &str) -> ConfigEdit {
        let value = "[{ via = \"direct\" }, { via = \"office\" }]";
        ConfigEdit::of_route(route, "upstreams", value.into())
    }

    const FILE: &str = "# mine\n[hops]\noffice = { url = \"http://x:1\" } # the office\n\n[[route]]\nname = \"lfs\"\n\
                        upstreams = [\n  { via = \"office\" }, # first\n]\nhosts = [\"s.test\"]\n";

    #[test]
    fn an_edit_of_a_route_keeps_every_other_line_of_the_file() {
        let after = edited(FILE, &upstreams("lfs")).unwrap();
        assert!(
            after.contains("upstreams = [{ via = \"direct\" }, { via = \"office\" }]"),
            "{after}"
        );
        assert!(
            after.starts_with("# mine\n[hops]\noffice = { url = \"http://x:1\" } # the office\n")
        );
        assert!(after.ends_with("hosts = [\"s.test\"]\n"), "{after}");
        let shown = difference(FILE, &after);
        assert!(
            shown.contains("-   { via = \"office\" }, # first"),
            "{shown}"
        );
        assert!(!shown.contains("hosts"), "{shown}");
    }

    #[test]
    fn an_edit_of_a_built_in_route_or_section_adds_its_table() {
        let after = edited("", &upstreams("hf-lfs")).unwrap();
        assert_eq!(after, upstreams("hf-lfs").toml() + "\n");
        let segment = ConfigEdit::of_route("hf-lfs", "dial.max_segment", "\"1220 B\"".into());
        assert_eq!(edited("", &segment).unwrap(), segment.toml() + "\n");
        let section = ConfigEdit {
            place: EditPlace::Section("dial"),
            key: "max_segment",
            value: "\"1220 B\"".into(),
        };
        let dial = "[dial]\nattempts = 2\n";
        let after = edited(dial, &section).unwrap();
        assert_eq!(after, format!("{dial}max_segment = \"1220 B\"\n"));
        let with_dial = "[[route]]\nname = \"hf-lfs\"\ndial = { attempts = 2 }\n";
        let after = edited(with_dial, &segment).unwrap();
        assert!(
            after.contains("attempts = 2") && after.contains("max_segment = \"1220 B\""),
            "{after}"
        );
    }

    #[test]
    fn a_change_that_would_break_the_config_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gitferry.toml");
        fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
        let nowhere = "[{ via = \"nowhere\" }]";
        let unknown = ConfigEdit::of_route("hf-lfs", "upstreams", nowhere.into());
        assert!(run(&unknown, &file).is_err());
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            "[log]\nlevel = \"info\"\n"
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
