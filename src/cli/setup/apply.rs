//! Bringing a git config file to a plan, and back to what it was.
//!
//! Each key remembers what stood there before us. A file that nobody else touched comes back byte for byte; one that
//! somebody did comes back key by key, and a key that somebody changed since is left alone.

use std::collections::BTreeMap;

use super::{
    files,
    git::{GitFile, canonical},
    host_env::HostEnv,
    output::Output,
    plan::{Client, Setting},
    record::{self, Entry, Record, Snapshot},
};
use crate::cli::Failure;

type Values = BTreeMap<String, Vec<String>>;

/// The arguments of one `git config`.
type Change = Vec<String>;

/// Sets what is missing, and takes back what `clients` no longer need.
pub(super) fn apply(
    file: &GitFile<'_>,
    clients: &[Client],
    settings: &[Setting],
    surroundings: &HostEnv,
    voice: &mut Output<'_>,
) -> Result<(), Failure> {
    let record_path = record::path(surroundings, file.scope.as_str(), &file.path)?;
    let known: Option<Record> = record::load(&record_path)?;
    let bytes = file.bytes()?;
    let values = file.values()?;
    let mut record = known.clone().unwrap_or_else(|| Record {
        file: file.path.to_string_lossy().into_owned(),
        created: bytes.is_none(),
        snapshot: Some(Snapshot::new(bytes.as_deref())),
        entries: Vec::new(),
    });
    let is_planned = |entry: &Entry| settings.iter().any(|setting| is_for(entry, setting));
    let mut changes = take_back(&mut record, clients, &values, is_planned, voice);
    for setting in settings {
        changes.extend(set(&mut record, setting, &values));
    }
    if changes.is_empty() {
        voice.note(&format!(
            "{}: all {} settings are in place",
            file.path.display(),
            settings.len()
        ));
    }
    say(file, &changes, voice);
    if voice.dry() || (changes.is_empty() && known.unwrap_or_default().entries == record.entries) {
        return Ok(());
    }
    carry_out(file, &changes, &mut record, bytes.as_deref(), |record| {
        record::save(&record_path, record)
    })?;
    record::save(&record_path, &record)
}

/// Takes the settings of `clients` back.
pub(super) fn undo(
    file: &GitFile<'_>,
    clients: &[Client],
    surroundings: &HostEnv,
    voice: &mut Output<'_>,
) -> Result<(), Failure> {
    let record_path = record::path(surroundings, file.scope.as_str(), &file.path)?;
    let names: Vec<&str> = clients.iter().map(|client| client.as_str()).collect();
    let nothing = format!(
        "{}: nothing to take back for {}",
        file.path.display(),
        names.join(", ")
    );
    let Some(mut record) = record::load::<Record>(&record_path)? else {
        voice.note(&nothing);
        return Ok(());
    };
    let known = record.entries.clone();
    let bytes = file.bytes()?;
    let values = file.values()?;
    let changes = take_back(&mut record, clients, &values, |_| false, voice);
    if known == record.entries {
        voice.note(&nothing);
    }
    say(file, &changes, voice);
    if voice.dry() {
        return Ok(());
    }
    carry_out(file, &changes, &mut record, bytes.as_deref(), |_| Ok(()))?;
    if !record.entries.is_empty() {
        return record::save(&record_path, &record);
    }
    restore_file(file, &record)?;
    record::forget(&record_path)
}

fn say(file: &GitFile<'_>, changes: &[Change], voice: &mut Output<'_>) {
    for change in changes {
        voice.text(&file.shown(change));
    }
}

/// Runs the changes. The record is saved first, so that a set-up that is cut off can still be taken back.
fn carry_out(
    file: &GitFile<'_>,
    changes: &[Change],
    record: &mut Record,
    before: Option<&[u8]>,
    save: impl Fn(&Record) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let untouched = record
        .snapshot
        .take()
        .filter(|snapshot| snapshot.is_as_left(before));
    save(record)?;
    for change in changes {
        file.change(change)?;
    }
    if let Some(mut snapshot) = untouched {
        snapshot.changed(file.bytes()?.as_deref());
        record.snapshot = Some(snapshot);
    }
    Ok(())
}

/// What git leaves behind (an empty section, another order) gives way to the bytes that were there.
fn restore_file(file: &GitFile<'_>, record: &Record) -> Result<(), Failure> {
    let now = file.bytes()?;
    let before = match record.snapshot.as_ref().and_then(Snapshot::before) {
        Some(before) => before,
        // Somebody else changed the file: only one of ours that is empty now goes.
        None if record.created && now.as_ref().is_some_and(Vec::is_empty) => None,
        None => return Ok(()),
    };
    match before {
        Some(before) if now.as_ref() != Some(&before) => files::replace(&file.path, &before, 0o644),
        Some(_) => Ok(()),
        None => files::remove(&file.path),
    }
}

/// Lets `clients` go from every entry that is not `kept`; an entry that nobody needs leaves the record, and its changes are given.
fn take_back(
    record: &mut Record,
    clients: &[Client],
    values: &Values,
    kept: impl Fn(&Entry) -> bool,
    voice: &mut Output<'_>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    record.entries.retain_mut(|entry| {
        if kept(entry) {
            return true;
        }
        for client in clients {
            entry.clients.remove(client);
        }
        if !entry.clients.is_empty() {
            return true;
        }
        match restoration(entry, values) {
            Some(restoration) => changes.extend(restoration),
            None => voice.note(&format!(
                "{} was changed since: it is left as it is",
                entry.key
            )),
        }
        false
    });
    changes
}

/// What brings a key back; `None` where somebody changed it since.
fn restoration(entry: &Entry, values: &Values) -> Option<Vec<Change>> {
    let key = || entry.key.clone();
    let current = current(values, &entry.key);
    if entry.adds {
        let ours = current.contains(&entry.value);
        return Some(if ours {
            vec![vec!["--unset-all".into(), key(), exactly(&entry.value)]]
        } else {
            Vec::new()
        });
    }
    if *current == *entry.previous {
        return Some(Vec::new());
    }
    if *current != [entry.value.as_str()] {
        return None;
    }
    Some(match entry.previous.as_slice() {
        [] => vec![vec!["--unset-all".into(), key()]],
        [one] => vec![vec![key(), one.clone()]],
        several => {
            let mut changes = vec![vec!["--unset-all".into(), key()]];
            changes.extend(
                several
                    .iter()
                    .map(|value| vec!["--add".into(), key(), value.clone()]),
            );
            changes
        }
    })
}

/// What sets a setting, if anything; the record then knows it.
fn set(record: &mut Record, setting: &Setting, values: &Values) -> Option<Change> {
    let current = current(values, &setting.key);
    let in_place = if setting.adds {
        current.contains(&setting.value)
    } else {
        *current == [setting.value.as_str()]
    };
    match record
        .entries
        .iter_mut()
        .find(|entry| is_for(entry, setting))
    {
        Some(entry) => {
            // What somebody set after us is what an undo is to leave.
            if !in_place && !entry.adds && *current != [entry.value.as_str()] {
                entry.previous = current.to_vec();
            }
            entry.clients.extend(&setting.clients);
            entry.value.clone_from(&setting.value);
        }
        // The user's own doing, which an undo has no business with.
        None if in_place => {}
        None => record.entries.push(Entry {
            clients: setting.clients.clone(),
            key: setting.key.clone(),
            value: setting.value.clone(),
            adds: setting.adds,
            previous: current.to_vec(),
        }),
    }
    if in_place {
        return None;
    }
    let option = match (setting.adds, current.len()) {
        (true, _) => Some("--add"),
        (false, 2..) => Some("--replace-all"),
        (false, _) => None,
    };
    let words = option.into_iter().map(str::to_owned);
    Some(
        words
            .chain([setting.key.clone(), setting.value.clone()])
            .collect(),
    )
}

fn is_for(entry: &Entry, setting: &Setting) -> bool {
    entry.key == setting.key
        && entry.adds == setting.adds
        && (!entry.adds || entry.value == setting.value)
}

fn current<'a>(values: &'a Values, key: &str) -> &'a [String] {
    values
        .get(&canonical(key))
        .map_or(&[], |values| values.as_slice())
}

/// A pattern of `git config` for one value; `--fixed-value` is younger (2.30) than gits in use.
fn exactly(value: &str) -> String {
    let mut pattern = String::from("^");
    for c in value.chars() {
        if r"\.[]*+?{}()|^$".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('$');
    pattern
}
