//! The TOML text, and all mistakes in it with their locations.
//!
//! serde stops at the first mistake and loses positions in nested tables. Therefore the document is read one
//! [`Section`](super::section::Section) at a time: the keys that are read from a section are the valid ones, and any other key is unknown.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use super::{
    files::{Files, stamp},
    problem::{Problem, Problems},
};

/// A file while it is being read.
pub(super) struct SourceFile<'a> {
    text: &'a str,
    file: Option<&'a Path>,
    home: Option<PathBuf>,
    problems: RefCell<Vec<(usize, Problem)>>,
    warnings: RefCell<Vec<(usize, Problem)>>,
    contents: RefCell<Files>,
}

/// A range in the file.
pub(super) type Span = Range<usize>;

impl<'a> SourceFile<'a> {
    pub(super) fn new(text: &'a str, file: Option<&'a Path>) -> Self {
        Self {
            text,
            file,
            home: None,
            problems: RefCell::default(),
            warnings: RefCell::default(),
            contents: RefCell::default(),
        }
    }

    /// The document. Records the first syntax error of each line: further ones usually follow from it.
    pub(super) fn parse(&self) -> DeTable<'a> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let mut lines = BTreeSet::new();
        let mut errors: Vec<_> = errors
            .iter()
            .map(|error| (error.span().unwrap_or(0..0), error.message()))
            .collect();
        errors.sort_by_key(|(at, _)| at.start);
        for (at, message) in errors {
            let before = self.text.get(..at.start).unwrap_or(self.text);
            if lines.insert(before.matches('\n').count()) {
                self.problem(at, "", message, None);
            }
        }
        table.into_inner()
    }

    /// True where a mistake was recorded.
    pub(super) fn has_problems(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    /// True for the embedded default.
    pub(super) fn is_built_in(&self) -> bool {
        self.file.is_none()
    }

    /// Records a mistake, once even where several sections read the value.
    pub(super) fn problem(
        &self,
        at: Span,
        key: &str,
        message: impl Into<String>,
        hint: Option<&str>,
    ) {
        let problem = (at.start, self.make(at.start, key, message.into(), hint));
        add_problem(&self.problems, problem);
    }

    /// Records a probable mistake that does not prevent use.
    pub(super) fn warning(
        &self,
        at: Span,
        key: &str,
        message: impl Into<String>,
        hint: Option<&str>,
    ) {
        let warning = (at.start, self.make(at.start, key, message.into(), hint));
        add_problem(&self.warnings, warning);
    }

    /// Records a file whose content belongs to the config. Call it before reading the file.
    pub(super) fn depends_on(&self, file: &Path) {
        self.contents
            .borrow_mut()
            .entry(file.to_owned())
            .or_insert_with_key(|file| stamp(file));
    }

    /// The files whose content belongs to the config.
    pub(super) fn contents(&self) -> Files {
        self.contents.take()
    }

    /// The recorded mistakes, then the warnings, in the order of the file.
    pub(super) fn finish(&self) -> (Problems, Vec<Problem>) {
        let sorted = |list: &RefCell<Vec<(usize, Problem)>>| {
            let mut list = list.take();
            list.sort_by_key(|(at, _)| *at);
            list.into_iter()
                .map(|(_, problem)| problem)
                .collect::<Vec<_>>()
        };
        (sorted(&self.problems).into(), sorted(&self.warnings))
    }

    /// Sets the home directory for `~/`.
    pub(super) fn with_home(mut self, home: Option<String>) -> Self {
        self.home = home.map(PathBuf::from);
        self
    }

    /// Resolves a path relative to the file, or to the home directory where it begins with `~/`.
    pub(super) fn path(&self, written: &str) -> PathBuf {
        if let (Some(rest), Some(home)) = (written.strip_prefix("~/"), &self.home) {
            return home.join(rest);
        }
        let path = match self.file.and_then(Path::parent) {
            Some(parent) => parent.join(written),
            None => written.into(),
        };
        std::path::absolute(&path).unwrap_or(path)
    }

    fn make(&self, at: usize, key: &str, message: String, hint: Option<&str>) -> Problem {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self
            .text
            .get(line_start..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        Problem {
            file: self.file.map(Path::to_owned),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            key: key.to_owned(),
            message,
            hint: hint.map(ToOwned::to_owned),
            source: (!may_hold_secret(line)).then(|| {
                line.replace('\t', " ")
                    .chars()
                    .filter(|c| !c.is_control())
                    .collect()
            }),
        }
    }
}

fn add_problem(list: &RefCell<Vec<(usize, Problem)>>, problem: (usize, Problem)) {
    let mut list = list.borrow_mut();
    if !list.contains(&problem) {
        list.push(problem);
    }
}

/// True for a line that must not be shown, because users paste messages into issues.
fn may_hold_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    ["password", "passwd", "secret", "token", "@"]
        .iter()
        .any(|word| lower.contains(word))
}
