//! No test is skipped silently: what a machine cannot test goes through `support::skip`, which CI makes a failure.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every Rust file below `directory`.
fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn whoever_skips_a_test_says_what_it_needs_and_why() {
    let mut found = Vec::new();
    for directory in ["tests", "src"] {
        files(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(directory),
            &mut found,
        );
    }
    assert!(found.len() > 300, "{} files", found.len());
    let mut silent = Vec::new();
    for file in found {
        // This file names what it looks for.
        if file.ends_with("it/skips.rs") || file.ends_with("support/skip.rs") {
            continue;
        }
        for line in fs::read_to_string(&file).unwrap().lines() {
            let line = line.trim_start();
            let own_words = line.contains("\"skipped:") || line.contains("SKIPPED:");
            let no_reason = line.starts_with("#[ignore") && !line.starts_with("#[ignore = \"");
            if own_words || no_reason {
                silent.push(format!("{}: {line}", file.display()));
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}
