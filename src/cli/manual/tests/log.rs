//! Every field that the source gives to a log line is in the manual.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::NARROW;
use crate::{
    cli::manual::{tables, topic},
    model::fields::Field,
    track::event::Subject,
};

/// Every macro that writes a line: tracing's, and ours above them.
const MACROS: [&str; 6] = ["info!(", "warn!(", "error!(", "debug!(", "line!(", "told!("];

#[test]
fn every_field_of_the_log_is_in_the_manual() {
    let fields = logged();
    assert!(fields.len() > 70, "{}", fields.len());
    let log = topic("log", NARROW).unwrap();
    let words: BTreeSet<&str> = log
        .split(|c: char| !c.is_ascii_lowercase() && c != '_')
        .collect();
    for field in fields {
        assert!(words.contains(&*field), "the field {field} is missing");
    }
}

/// The manual once listed `subject`, `kernel`, `phase` and others, which only the API shows.
#[test]
fn every_field_that_the_manual_gives_to_lines_about_a_transfer_is_logged() {
    let logged = logged();
    let subject: Vec<&str> = Subject::FIELDS.iter().map(Field::name).collect();
    for name in tables::line_fields().into_keys() {
        let known = logged.contains(name) || subject.contains(&name);
        assert!(known, "no line has the field {name}");
    }
}

/// The fields that the source gives to lines of the log.
fn logged() -> BTreeSet<String> {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let mut fields = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for name in MACROS {
            for (at, _) in text.match_indices(name) {
                let inner = &text[at + name.len()..];
                fields.extend(arguments(inner).iter().filter_map(|it| field(it)));
            }
        }
    }
    fields
}

/// Source files without their tests.
fn sources(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
}

/// The arguments of a call up to its closing bracket.
fn arguments(text: &str) -> Vec<String> {
    let (mut found, mut current) = (Vec::new(), String::new());
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(std::mem::take(&mut current));
                continue;
            }
            _ => {}
        }
        current.push(c);
    }
    found.push(current);
    found
}

/// The name of a field: `name = value`, `name`, `%name`.
fn field(argument: &str) -> Option<String> {
    let code = |line: &&str| !line.trim_start().starts_with("//");
    let argument: String = argument.lines().filter(code).collect();
    let argument = argument.trim().trim_start_matches(['%', '?']);
    let name = argument.split(" = ").next()?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    // Levels and the subject are what `line!` and `told!` take before the fields.
    let is_field = !["info", "warn", "debug", "subject", "fault"].contains(&name);
    (is_name && is_field).then(|| name.to_owned())
}
