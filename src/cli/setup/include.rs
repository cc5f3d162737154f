//! Git's settings in gitferry's own file, and the `include.path` line in the user's config.
//!
//! Each set-up rewrites the file, with mode 0600, because it may contain the daemon's password. The user's config
//! gets a section at its end, so that our values take precedence (git-config(1): "the last value wins"). git-lfs reads includes
//! too (measured with 3.3.0). The undo restores the user's file byte for byte, if nobody else changed it.

use std::{collections::BTreeMap, path::PathBuf};

use super::{
    git::{GitFile, Scope},
    git_includes::{ClientNeeds, GitIncludes, MARK, quoted},
    host_env::HostEnv,
    output::Output,
    plan::{ClientSelection, GitClient, Setting},
    record::{SavedFile, SetupRecord},
};
use crate::cli::{Failure, files};

/// The user's git config and gitferry's settings file.
pub(super) struct Include<'a> {
    file: GitFile<'a>,
    settings: PathBuf,
    record: SetupRecord<GitIncludes>,
}

impl<'a> Include<'a> {
    /// Fails where git cannot be run, and for `Local` outside a repository.
    pub(super) fn new(scope: Scope, host: &'a HostEnv) -> Result<Self, Failure> {
        let file = GitFile::new(scope, host)?;
        let settings = match scope {
            Scope::Global => host.user_config()?.join("git.config"),
            Scope::Local => file.path.with_file_name("gitferry.config"),
        };
        let settings = std::path::absolute(settings).map_err(Failure::new)?;
        let record = SetupRecord::of(&format!("git-{}", scope.as_str()), &file.path, host)?;
        Ok(Self {
            file,
            settings,
            record,
        })
    }

    /// Writes the settings of `clients`, keeps those of other clients, and includes the file.
    pub(super) fn apply(
        &self,
        clients: ClientSelection<'_>,
        settings: &[Setting],
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let mut included = match self.record.load()? {
            Some(known) => known,
            None => self.first_record()?,
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

    /// Removes the settings of `clients`; with the last ones also the file and the line.
    pub(super) fn undo(
        &self,
        clients: &[GitClient],
        output: &mut Output<'_>,
    ) -> Result<(), Failure> {
        let ours = |known: &GitIncludes| clients.iter().any(|c| known.clients.contains_key(c));
        let Some(mut included) = self.record.load()?.filter(ours) else {
            let names: Vec<&str> = clients.iter().map(|client| client.as_str()).collect();
            output.note(&format!(
                "{}: nothing to undo for {}",
                self.file.path.display(),
                names.join(", ")
            ));
            return Ok(());
        };
        let before = included.text();
        included
            .clients
            .retain(|client, _| !clients.contains(client));
        if !included.clients.is_empty() {
            self.write_settings(&included, output)?;
            return output.make(|| self.record.save(&included));
        }
        self.exclude(&mut included, output)?;
        self.remove_settings(&before, output)?;
        output.make(|| self.record.forget())
    }

    /// `setup off`: removes the line, and keeps the file and the record. False where nothing was on.
    pub(super) fn switch_off(&self, output: &mut Output<'_>) -> Result<bool, Failure> {
        let known = self.record.load()?;
        let Some(mut included) = known.filter(|included| included.on) else {
            return Ok(false);
        };
        self.exclude(&mut included, output)?;
        included.on = false;
        output.make(|| self.record.save(&included))?;
        Ok(true)
    }

    /// The clients that are switched off, each with its `no_ca`.
    pub(super) fn switched_off(&self) -> Result<Vec<(GitClient, bool)>, Failure> {
        let off = self.record.load()?.filter(|included| !included.on);
        let clients = off.into_iter().flat_map(|included| included.clients);
        Ok(clients
            .map(|(client, needs)| (client, needs.no_ca))
            .collect())
    }

    fn first_record(&self) -> Result<GitIncludes, Failure> {
        let bytes = files::read(&self.file.path)?;
        if let Some(bytes) = files::read(&self.settings)?
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
        if files::read(&self.settings)?.as_deref() == Some(text.as_bytes()) {
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
        files::write(&self.settings, text.as_bytes(), 0o600)
    }

    fn remove_settings(&self, before: &str, output: &mut Output<'_>) -> Result<(), Failure> {
        let shown = self.settings.display();
        let Some(bytes) = files::read(&self.settings)? else {
            return Ok(());
        };
        if bytes != before.as_bytes() {
            output.note(&format!(
                "{shown} was changed by another program: it is kept"
            ));
            return Ok(());
        }
        output.note(&format!("{shown}: removed"));
        output.make(|| {
            files::remove(&self.settings)?;
            files::remove_empty_directory_of(&self.settings);
            Ok(())
        })
    }

    /// Adds the line where it is missing. The record is saved first, so that an interrupted set-up can still be undone.
    fn include(&self, included: &mut GitIncludes, output: &mut Output<'_>) -> Result<(), Failure> {
        let path = self.file.path.display();
        if self.is_included()? {
            output.note(&format!("{path}: the include.path line exists"));
            return output.make(|| self.record.save(included));
        }
        let section = format!("[include]\n\tpath = {}\n", quoted(&self.settings_text()?));
        output.note(&format!("{path}: these lines are added at the end:"));
        output.text(section.trim_end());
        output.make(|| self.append(&section, included))
    }

    fn append(&self, section: &str, included: &mut GitIncludes) -> Result<(), Failure> {
        let bytes = files::read(&self.file.path)?;
        let snapshot = included.snapshot.take();
        let unchanged = snapshot.filter(|snapshot| snapshot.is_unchanged(bytes.as_deref()));
        self.record.save(included)?;
        let mut new = bytes.unwrap_or_default();
        if !new.is_empty() && !new.ends_with(b"\n") {
            new.push(b'\n');
        }
        new.extend(section.bytes());
        files::replace(&self.file.path, &new, 0o644)?;
        if let Some(mut snapshot) = unchanged {
            snapshot.set_after(&new);
            included.snapshot = Some(snapshot);
        }
        self.record.save(included)
    }

    /// Removes the line: restores the earlier bytes where nobody else changed the file, else by `git config`.
    fn exclude(&self, included: &mut GitIncludes, output: &mut Output<'_>) -> Result<(), Failure> {
        let path = self.file.path.display();
        if !self.is_included()? {
            output.note(&format!("{path}: the include.path line is already removed"));
            return Ok(());
        }
        output.note(&format!("{path}: the include.path line is removed"));
        output.make(|| self.restore(included))
    }

    fn restore(&self, included: &mut GitIncludes) -> Result<(), Failure> {
        let now = files::read(&self.file.path)?;
        let snapshot = included.snapshot.take();
        let unchanged = snapshot.filter(|snapshot| snapshot.is_unchanged(now.as_deref()));
        let before = unchanged.and_then(|snapshot| snapshot.before());
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
        self.file.change(&["--unset-all", "include.path", &exactly])
    }

    fn is_included(&self) -> Result<bool, Failure> {
        let path = self.settings_text()?;
        Ok(self.file.values("include.path")?.contains(&path))
    }

    fn settings_text(&self) -> Result<String, Failure> {
        self.settings
            .to_str()
            .map(ToOwned::to_owned)
            .ok_or_else(|| {
                Failure::new(format!("{} is not UTF-8", self.settings.display()))
                    .hint("set XDG_CONFIG_HOME to a path in UTF-8")
            })
    }
}

/// A pattern of `git config` for exactly this value; older gits than 2.30 have no `--fixed-value`.
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
