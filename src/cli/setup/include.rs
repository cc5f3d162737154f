//! git's settings in a file of gitferry's own, and the one `include.path` line that brings it into the user's config.
//!
//! The file is written anew by each set-up, with mode 0600: it holds the daemon's password where there is one. The user's own config
//! gets one section at its end, so that our values come last and win (git-config(1): "the last value wins"); git-lfs reads includes
//! too (measured with 3.3.0). A user's file that nobody else touched comes back byte for byte at the undo.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    files,
    git::{GitFile, Scope},
    git_includes::{ClientNeeds, GitIncludes, MARK, quoted},
    host_env::HostEnv,
    output::Output,
    plan::{ClientSelection, GitClient, Setting},
    record::{self, SavedFile},
};
use crate::cli::Failure;

/// The user's git config and our file beside it.
pub(super) struct Include<'a> {
    file: GitFile<'a>,
    settings: PathBuf,
    record: PathBuf,
}

impl<'a> Include<'a> {
    /// Fails where git cannot be run, or `scope` is a repository and this is none.
    pub(super) fn new(scope: Scope, host: &'a HostEnv) -> Result<Self, Failure> {
        let file = GitFile::new(scope, host)?;
        let settings = match scope {
            Scope::Global => host.user_config()?.join("git.config"),
            Scope::Local => file.path.with_file_name("gitferry.config"),
        };
        let settings = std::path::absolute(settings).map_err(Failure::new)?;
        let record = record::path(host, &format!("git-{}", scope.as_str()), &file.path)?;
        Ok(Self {
            file,
            settings,
            record,
        })
    }

    /// Writes the settings of `clients` beside those of the others, and includes the file.
    pub(super) fn apply(
        &self,
        clients: ClientSelection<'_>,
        settings: &[Setting],
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let known = record::load::<GitIncludes>(&self.record)?;
        let mut included = match known {
            Some(known) => known,
            None => self.nothing_yet()?,
        };
        for client in clients.names {
            let own = settings.iter().filter(|s| s.clients.contains(client));
            let needs = ClientNeeds {
                no_ca: clients.no_ca,
                settings: own.cloned().collect(),
            };
            included.clients.insert(*client, needs);
        }
        included.on = true;
        self.write_settings(&included, output)?;
        self.include(&mut included, output)
    }

    /// Takes the settings of `clients` back; with the last ones the file and the line go too.
    pub(super) fn undo(
        &self,
        clients: &[GitClient],
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let known = record::load::<GitIncludes>(&self.record)?;
        let ours = |known: &GitIncludes| clients.iter().any(|c| known.clients.contains_key(c));
        let Some(mut included) = known.filter(ours) else {
            let names: Vec<&str> = clients.iter().map(|client| client.as_str()).collect();
            output.note(&format!(
                "{}: nothing to undo for {}",
                self.file.path.display(),
                names.join(", ")
            ));
            return Ok(());
        };
        let before = included.clone();
        included
            .clients
            .retain(|client, _| !clients.contains(client));
        if !included.clients.is_empty() {
            return self.write_settings(&included, output).and_then(|()| {
                if output.dry() {
                    return Ok(());
                }
                record::save(&self.record, &included)
            });
        }
        self.exclude(&mut included, output)?;
        self.remove_settings(&before, output)?;
        if output.dry() {
            return Ok(());
        }
        record::forget(&self.record)
    }

    /// `setup off`: the line goes, the file and the record stay. False where nothing was on.
    pub(super) fn switch_off(&self, output: &mut Output<'_>) -> Result<bool, Failure> {
        let known = record::load::<GitIncludes>(&self.record)?;
        let Some(mut included) = known.filter(|included| included.on) else {
            return Ok(false);
        };
        self.exclude(&mut included, output)?;
        if !output.dry() {
            included.on = false;
            record::save(&self.record, &included)?;
        }
        Ok(true)
    }

    /// The clients that are set up and switched off, each with whether it was without the CA.
    pub(super) fn switched_off(&self) -> Result<Vec<(GitClient, bool)>, Failure> {
        let included = record::load::<GitIncludes>(&self.record)?;
        Ok(included
            .filter(|included| !included.on)
            .map(|included| included.clients)
            .into_iter()
            .flatten()
            .map(|(client, needs)| (client, needs.no_ca))
            .collect())
    }

    fn nothing_yet(&self) -> Result<GitIncludes, Failure> {
        let bytes = self.file.bytes()?;
        if let Some(bytes) = super::git::bytes(&self.settings)?
            && !bytes.starts_with(MARK.as_bytes())
        {
            let shown = self.settings.display();
            return Err(
                Failure::new(format!("{shown} exists and was not written by gitferry"))
                    .hint("move the file, then run this again"),
            );
        }
        Ok(GitIncludes {
            file: self.file.path.to_string_lossy().into_owned(),
            created: bytes.is_none(),
            snapshot: Some(SavedFile::new(bytes.as_deref())),
            clients: BTreeMap::new(),
            on: true,
        })
    }

    fn write_settings(
        &self,
        included: &GitIncludes,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let text = included.text();
        let shown = self.settings.display();
        if super::git::bytes(&self.settings)?.as_deref() == Some(text.as_bytes()) {
            output.note(&format!("{shown}: no change"));
            return Ok(());
        }
        let count = included.settings().len();
        if output.dry() {
            output.note(&format!("{shown}: would be written:"));
            output.text(included.shown().trim_end());
            return Ok(());
        }
        output.note(&format!("{shown}: {count} settings written"));
        if let Some(directory) = self.settings.parent() {
            std::fs::create_dir_all(directory).map_err(|error| {
                Failure::during(format!("cannot create {}", directory.display()), error)
            })?;
        }
        // A file that an earlier version left with another mode must not keep it.
        files::remove(&self.settings)?;
        files::replace(&self.settings, text.as_bytes(), 0o600)
    }

    fn remove_settings(
        &self,
        before: &GitIncludes,
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let shown = self.settings.display();
        match super::git::bytes(&self.settings)? {
            None => Ok(()),
            Some(bytes) if bytes != before.text().as_bytes() => {
                output.note(&format!(
                    "{shown} was changed by another program: it is kept"
                ));
                Ok(())
            }
            Some(_) => {
                output.note(&format!("{shown}: removed"));
                if output.dry() {
                    return Ok(());
                }
                files::remove(&self.settings)?;
                if let Some(directory) = self.settings.parent() {
                    // Fails where the user keeps something there.
                    let _ = std::fs::remove_dir(directory);
                }
                Ok(())
            }
        }
    }

    /// Puts the line in where it is missing. The record is saved first, so that a set-up that is cut off can still be undone.
    fn include(&self, included: &mut GitIncludes, output: &mut Output<'_>) -> Result<(), Failure> {
        let path = self.file.path.display();
        let bytes = self.file.bytes()?;
        if self.is_included()? {
            output.note(&format!("{path}: the include.path line exists"));
            if output.dry() {
                return Ok(());
            }
            return record::save(&self.record, included);
        }
        let section = format!("[include]\n\tpath = {}\n", quoted(&self.settings_text()?));
        output.note(&format!("{path}: these lines are added at the end:"));
        output.text(section.trim_end());
        if output.dry() {
            return Ok(());
        }
        let untouched = included
            .snapshot
            .take()
            .filter(|snapshot| snapshot.is_as_left(bytes.as_deref()));
        record::save(&self.record, included)?;
        let mut new = bytes.unwrap_or_default();
        if !new.is_empty() && !new.ends_with(b"\n") {
            new.push(b'\n');
        }
        new.extend(section.bytes());
        files::replace(&self.file.path, &new, 0o644)?;
        if let Some(mut snapshot) = untouched {
            snapshot.changed(Some(&new));
            included.snapshot = Some(snapshot);
        }
        record::save(&self.record, included)
    }

    /// Takes the line out: the bytes of before where nobody else changed the file, else by git itself.
    fn exclude(&self, included: &mut GitIncludes, output: &mut Output<'_>) -> Result<(), Failure> {
        let path = self.file.path.display();
        if !self.is_included()? {
            output.note(&format!("{path}: the include.path line is already removed"));
            return Ok(());
        }
        output.note(&format!("{path}: the include.path line is removed"));
        if output.dry() {
            return Ok(());
        }
        let now = self.file.bytes()?;
        let before = included
            .snapshot
            .as_ref()
            .filter(|snapshot| snapshot.is_as_left(now.as_deref()))
            .and_then(SavedFile::before);
        match &before {
            Some(Some(bytes)) => files::replace(&self.file.path, bytes, 0o644)?,
            Some(None) => files::remove(&self.file.path)?,
            None => self.unset()?,
        }
        included.snapshot = before.map(|bytes| SavedFile::new(bytes.as_deref()));
        Ok(())
    }

    fn unset(&self) -> Result<(), Failure> {
        let exactly = exactly(&self.settings_text()?);
        self.file
            .change(&["--unset-all".into(), "include.path".into(), exactly])
    }

    fn is_included(&self) -> Result<bool, Failure> {
        let path = self.settings_text()?;
        let values = self.file.values()?;
        Ok(values
            .get("include.path")
            .is_some_and(|values| values.contains(&path)))
    }

    fn settings_text(&self) -> Result<String, Failure> {
        self.settings
            .to_str()
            .map(ToOwned::to_owned)
            .ok_or_else(|| {
                Failure::new(format!("{} is not UTF-8", self.settings.display()))
                    .hint("set XDG_CONFIG_HOME to a path that is")
            })
    }
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
