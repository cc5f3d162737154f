//! The history's file in the state directory. gitferry writes it atomically, reads it at start, and renames a damaged one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{Finished, History, KEPT, totals::DayTotal};

/// Its name in the state directory.
pub(crate) const FILE: &str = "history.json";
/// The format version that this build reads and writes.
const FORMAT: u32 = 1;
/// The largest file, in bytes: more than a full history needs.
const LARGEST: u64 = 32 << 20;

#[derive(Serialize, Deserialize)]
struct HistoryFile {
    format: u32,
    totals: Vec<DayTotal>,
    /// The oldest first.
    transfers: Vec<Arc<Finished>>,
}

impl HistoryFile {
    fn last_number(&self) -> u64 {
        self.transfers.iter().map(|it| it.id).max().unwrap_or(0)
    }
}

/// The result of reading the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HistoryLoad {
    /// There is no file yet.
    Nothing,
    /// The file was read; the number is the largest transfer number in it.
    Read(u64),
    /// The file is damaged, and was renamed to this path. The text says what is wrong.
    Renamed(PathBuf, String),
    /// The file cannot be read, and was left in place. The text says why.
    Unreadable(String),
}

impl History {
    /// Reads the file of `directory` and adds it to what this run has recorded.
    pub(crate) fn load(&self, directory: &Path) -> HistoryLoad {
        let file = directory.join(FILE);
        let problem = match read(&file) {
            Ok(None) => return HistoryLoad::Nothing,
            Ok(Some(content)) => return HistoryLoad::Read(self.take(content)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
            Err(error) => return HistoryLoad::Unreadable(error.to_string()),
        };
        let aside = directory.join(format!("{FILE}.damaged"));
        match fs::rename(&file, &aside) {
            Ok(()) => HistoryLoad::Renamed(aside, problem),
            Err(error) => HistoryLoad::Unreadable(format!("{problem}; {error}")),
        }
    }

    /// The largest transfer number in the file of `directory`; 0 where there is none, or the file cannot be read.
    pub(crate) fn last_number(directory: &Path) -> u64 {
        let content = read(&directory.join(FILE)).ok().flatten();
        content.map_or(0, |content| content.last_number())
    }

    fn take(&self, content: HistoryFile) -> u64 {
        let mut kept = self.0.lock();
        let newer = std::mem::take(&mut kept.finished);
        let last = content.last_number();
        let mut all: Vec<_> = content.transfers.into_iter().chain(newer).collect();
        all.sort_by_key(|it| it.ended);
        for finished in all {
            kept.push(finished);
        }
        kept.totals.load(content.totals);
        last
    }

    /// Writes the file of `directory` if anything has changed. Fails where the directory cannot be written.
    pub(crate) fn save(&self, directory: &Path) -> io::Result<()> {
        let (content, revision) = {
            let kept = self.0.lock();
            if kept.revision == kept.saved {
                return Ok(());
            }
            let content = HistoryFile {
                format: FORMAT,
                totals: kept.totals.list(),
                transfers: kept.finished.iter().cloned().collect(),
            };
            (content, kept.revision)
        };
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        {
            let mut writer = io::BufWriter::new(&mut file);
            serde_json::to_writer(&mut writer, &content)?;
            io::Write::flush(&mut writer)?;
        }
        file.as_file().sync_data()?;
        file.persist(directory.join(FILE))?;
        self.0.lock().saved = revision;
        Ok(())
    }
}

fn read(file: &Path) -> io::Result<Option<HistoryFile>> {
    let damaged = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let opened = match fs::File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if opened.metadata()?.len() > LARGEST {
        return Err(damaged("it is too large".into()));
    }
    let content: HistoryFile = serde_json::from_reader(io::BufReader::new(opened))
        .map_err(|error| damaged(error.to_string()))?;
    if content.format != FORMAT {
        return Err(damaged(format!("its format is {}", content.format)));
    }
    if content.transfers.len() > KEPT {
        return Err(damaged("it has too many transfers".into()));
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::history::tests::finished;

    #[test]
    fn a_restart_loads_the_saved_history_and_its_last_number() {
        let directory = tempfile::tempdir().unwrap();
        let before = History::default();
        assert_eq!(before.load(directory.path()), HistoryLoad::Nothing);
        for id in 1..=3 {
            before.add(finished(id));
        }
        before.save(directory.path()).unwrap();
        let after = History::default();
        after.add(finished(4));
        assert_eq!(after.load(directory.path()), HistoryLoad::Read(3));
        let ids: Vec<_> = after.newest().iter().map(|it| it.id).collect();
        assert_eq!(ids, [4, 3, 2, 1]);
        assert_eq!(
            serde_json::to_string(&*after.find(2).unwrap()).unwrap(),
            serde_json::to_string(&finished(2)).unwrap()
        );
    }

    #[test]
    fn a_damaged_history_is_renamed_and_a_new_one_is_saved() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        for damaged in [
            "",
            "{",
            "{\"format\":9,\"totals\":[],\"transfers\":[]}",
            "\u{0}\u{1}",
        ] {
            fs::write(&file, damaged).unwrap();
            let history = History::default();
            let loaded = history.load(directory.path());
            assert!(
                matches!(loaded, HistoryLoad::Renamed(..)),
                "{damaged}: {loaded:?}"
            );
            assert!(!file.exists());
            history.add(finished(1));
            history.save(directory.path()).unwrap();
            assert_eq!(
                History::default().load(directory.path()),
                HistoryLoad::Read(1)
            );
        }
    }

    #[test]
    fn an_unchanged_history_is_not_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::default();
        history.add(finished(1));
        history.save(directory.path()).unwrap();
        fs::remove_file(directory.path().join(FILE)).unwrap();
        history.save(directory.path()).unwrap();
        assert!(!directory.path().join(FILE).exists());
    }
}
