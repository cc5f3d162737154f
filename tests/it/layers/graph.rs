//! Which file names which: the graph of the paths in `src`, and its circles.
//!
//! A node is a file. What lies in `foo/` beside `foo.rs` is the private inside of `foo.rs`, and counts as that file; what lies in a
//! directory with a `mod.rs` is a room of files that stand for themselves. A name that a module only passes on with `pub use` counts for
//! the file that it comes from. Tests are left out: they may use what they like.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Modules by path (`["forward", "exchange"]`), and what each file names.
#[derive(Default)]
pub(crate) struct Graph {
    modules: BTreeMap<Vec<String>, Module>,
}

struct Module {
    /// Of its own, or of the file whose inside it is.
    node: String,
    text: String,
}

impl Graph {
    /// Reads every source file below `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let mut files = Vec::new();
        super::sources(root, &mut files);
        let files = files.iter().map(|file| {
            let inside = file.strip_prefix(root).unwrap().to_str().unwrap();
            (inside.to_owned(), fs::read_to_string(file).unwrap())
        });
        Self::of(files.collect())
    }

    /// The graph of these files.
    pub(crate) fn of(files: BTreeMap<String, String>) -> Self {
        let mut modules = BTreeMap::new();
        for (file, text) in &files {
            let mut path: Vec<String> = file
                .trim_end_matches(".rs")
                .split('/')
                .map(str::to_owned)
                .collect();
            if path
                .iter()
                .any(|part| part == "tests" || part == "testing" || part == "simulation")
            {
                continue;
            }
            if path.last().is_some_and(|last| last == "mod") {
                path.pop();
            }
            if path == ["lib"] || path == ["main"] {
                continue;
            }
            // The highest `foo.rs` above it.
            let above = (1..path.len()).map(|length| format!("{}.rs", path[..length].join("/")));
            let node = above.into_iter().find(|above| files.contains_key(above));
            let node = node.unwrap_or_else(|| file.clone());
            modules.insert(
                path,
                Module {
                    node,
                    text: code(text),
                },
            );
        }
        Self { modules }
    }

    /// File → the files that it names.
    pub(crate) fn edges(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (path, module) in &self.modules {
            let from = edges.entry(module.node.clone()).or_default();
            for named in self.paths(path, &module.text) {
                if let Some(node) = self.resolve(&named, 8).filter(|node| *node != module.node) {
                    from.insert(node);
                }
            }
        }
        edges
    }

    /// Sets of files that name each other, directly or over others.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<String>> {
        let edges = self.edges();
        let reached: BTreeMap<_, _> = edges
            .keys()
            .map(|file| (file, reach(&edges, file)))
            .collect();
        let circles: BTreeSet<BTreeSet<String>> = reached
            .iter()
            .filter(|(file, reached)| reached.contains(**file))
            .map(|(file, reach)| {
                reach
                    .iter()
                    .filter(|other| reached[other].contains(*file))
                    .cloned()
                    .collect()
            })
            .collect();
        circles.into_iter().collect()
    }

    /// The node in which the last part of `path` is written.
    fn resolve(&self, path: &[String], depth: usize) -> Option<String> {
        let length = (1..=path.len())
            .rev()
            .find(|length| self.modules.contains_key(&path[..*length]))?;
        let module = &self.modules[&path[..length]];
        let Some(name) = path.get(length).filter(|_| depth > 0) else {
            return Some(module.node.clone());
        };
        let passed_on = self.passed_on(&path[..length], &module.text);
        let from = passed_on
            .into_iter()
            .find(|from| from.last() == Some(name) && from[..] != path[..=length]);
        match from {
            Some(from) => self.resolve(&from, depth - 1),
            None => Some(module.node.clone()),
        }
    }

    /// What `pub use` hands on.
    fn passed_on(&self, of: &[String], text: &str) -> Vec<Vec<String>> {
        let statements = text.split(';').filter_map(|statement| {
            let (before, after) = statement.rsplit_once("use ")?;
            let visible = before.rsplit(['\n', '}']).next()?.trim();
            visible.starts_with("pub").then_some(after)
        });
        statements
            .flat_map(|statement| self.paths(of, statement))
            .collect()
    }

    /// Every path in `text` into the crate, from its root.
    fn paths(&self, of: &[String], text: &str) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        let mut rest = text;
        let mut before = ' ';
        while let Some(first) = rest.chars().next() {
            let word = word(rest);
            if word.is_empty() {
                before = first;
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let after = &rest[word.len()..];
            let starts = !matches!(before, ':' | '.' | '\'');
            if let Some(base) = self
                .base(of, word)
                .filter(|_| starts && after.starts_with("::"))
            {
                let mut at = &after[2..];
                expand(base, &mut at, &mut found);
                rest = at;
            } else {
                rest = after;
            }
            before = 'a';
        }
        found
    }

    /// What a path that begins with `word` begins with, from the crate's root.
    fn base(&self, of: &[String], word: &str) -> Option<Vec<String>> {
        match word {
            "crate" => Some(Vec::new()),
            "self" => Some(of.to_vec()),
            "super" => Some(of[..of.len().saturating_sub(1)].to_vec()),
            child => {
                let path = [of, &[child.to_owned()]].concat();
                self.modules.contains_key(&path).then_some(path)
            }
        }
    }
}

/// Adds every path of the tree at `at`, whose first parts are `base`.
fn expand(base: Vec<String>, at: &mut &str, found: &mut Vec<Vec<String>>) {
    *at = at.trim_start();
    if let Some(inside) = at.strip_prefix('{') {
        *at = inside;
        while !at.is_empty() {
            expand(base.clone(), at, found);
            *at = at.trim_start();
            // `a as b`, and whatever else stands before the comma.
            let end = at.find([',', '}', ';']).unwrap_or(at.len());
            let closed = at[end..].starts_with('}');
            *at = at.get(end + 1..).unwrap_or_default();
            if closed {
                return;
            }
            if at.trim_start().starts_with('}') {
                *at = &at.trim_start()[1..];
                return;
            }
        }
        return;
    }
    let word = word(at);
    *at = &at[word.len()..];
    let mut path = base;
    match word {
        "super" => drop(path.pop()),
        "self" | "" => {}
        name => path.push(name.to_owned()),
    }
    match at.strip_prefix("::") {
        Some(next) if !next.starts_with('<') => {
            *at = next;
            expand(path, at, found);
        }
        _ => found.push(path),
    }
}

/// The identifier at the start of `text`.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Without comments, without the tests below the code, and without the paths of `pub(in …)`: who may see a thing is no import.
fn code(text: &str) -> String {
    let lines = text
        .lines()
        .take_while(|line| !line.starts_with("mod tests {") && *line != "pub(crate) mod tests {")
        .filter(|line| !line.trim_start().starts_with("//"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut parts = text.split("pub(in ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |code, part| {
        code + "pub" + part.split_once(')').map_or(part, |(_, rest)| rest)
    })
}

/// Every file that is reached from `start`; `start` itself only in a circle.
fn reach(edges: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        for next in edges.get(file).into_iter().flatten() {
            if reached.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    reached
}
