//! Mistakes in a config file, each with its location and a hint.

use std::{fmt, path::PathBuf};

use serde::{Serialize, Serializer};

use super::files::Files;

/// One mistake or warning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file; `None` for the embedded default and the environment.
    pub file: Option<PathBuf>,
    /// The line, from 1; 0 where there is no file.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The dotted key.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line itself; omitted where it may contain a secret.
    pub source: Option<String>,
}

/// All mistakes of a file, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>, pub(super) Files);

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems, Files::new())
    }
}

impl Serialize for Problems {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(to)
    }
}

impl Problem {
    /// The location, the message and the line itself, without the hint.
    pub(crate) fn cause(&self) -> String {
        let without = Self {
            hint: None,
            ..self.clone()
        };
        without.to_string()
    }

    /// The location and the message on one line.
    pub(crate) fn one_line(&self) -> String {
        struct Headline<'a>(&'a Problem);
        impl fmt::Display for Headline<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.headline(f)
            }
        }
        Headline(self).to_string()
    }

    fn headline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
        }
        if self.file.is_some() && self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if self.file.is_some() {
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headline(f)?;
        if let Some(source) = &self.source {
            write!(
                f,
                "\n  | {source}\n  | {:1$}^",
                "",
                self.column.saturating_sub(1)
            )?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl Problems {
    /// The files that the config names. A change of one triggers a reload.
    pub(crate) fn files(&self) -> &Files {
        &self.1
    }

    /// The first problem on one line, and the number of further ones.
    pub(crate) fn one_line(&self) -> String {
        let first = self.0.first().map(Problem::one_line);
        let more = match self.0.len() {
            0 | 1 => String::new(),
            all => format!(" (and {} more)", all - 1),
        };
        first.unwrap_or_default() + &more
    }
}

/// The valid name closest to a mistyped one, if one is close.
pub(crate) fn nearest<'a>(typed: &str, valid: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    valid
        .map(|name| (distance(typed, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The Levenshtein distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(&right) {
            let value = (diagonal + usize::from(a != *b))
                .min(before + 1)
                .min(*cell + 1);
            diagonal = *cell;
            *cell = value;
            before = value;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_valid_name_is_found_for_a_mistyped_one() {
        let names = ["upstreams", "hosts", "name", "tls"];
        assert_eq!(nearest("upstream", names.into_iter()), Some("upstreams"));
        assert_eq!(nearest("host", names.into_iter()), Some("hosts"));
        assert_eq!(nearest("colour", names.into_iter()), None);
        assert_eq!(
            (
                distance("", "abc"),
                distance("abc", "abc"),
                distance("kitten", "sitting")
            ),
            (3, 0, 3)
        );
    }

    #[test]
    fn the_location_is_shown_only_where_there_is_one_and_one_line_counts_the_rest() {
        let problem = Problem {
            file: Some("a.toml".into()),
            line: 0,
            column: 0,
            key: String::new(),
            message: "cannot be read".into(),
            hint: None,
            source: None,
        };
        assert_eq!(problem.to_string(), "a.toml: cannot be read");
        let other = Problem {
            line: 3,
            column: 7,
            message: "unknown key `x`".into(),
            source: Some("    x = 1".into()),
            hint: Some("leave it out".into()),
            ..problem.clone()
        };
        assert_eq!(
            Problems::from(vec![other, problem]).one_line(),
            "a.toml:3:7: unknown key `x` (and 1 more)"
        );
    }
}
