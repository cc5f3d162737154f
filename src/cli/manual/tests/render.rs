//! The man pages render without a warning in both programs that people read them with.

use std::{fs, process::Command};

use crate::cli::{
    manual::{ManPage, roff},
    root,
};

/// What `program` says on stderr and stdout; `None`, said aloud, where it is not installed.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            Some(String::from_utf8_lossy(&[output.stderr, output.stdout].concat()).into())
        }
        Err(error) => {
            let reason = format!("{program}: {error}");
            crate::rt::skip::skipped(crate::rt::skip::Need::Program, &reason);
            None
        }
    }
}

#[test]
fn man_and_mandoc_render_the_pages_without_a_warning() {
    let directory = tempfile::tempdir().unwrap();
    for (page, name) in [
        (ManPage::Command, "gitferry.1"),
        (ManPage::Config, "gitferry.toml.5"),
    ] {
        let file = directory.path().join(name);
        fs::write(&file, roff(page, &root())).unwrap();
        let file = file.to_str().unwrap();
        if let Some(lint) = said("mandoc", &["-Tlint", file]) {
            assert_eq!(lint, "", "{name}");
        }
        // -Z: what groff hands to the device; warnings come on stderr, before it.
        if let Some(text) = said("man", &["--warnings", "-Tutf8", "-Z", "-l", file]) {
            assert!(text.starts_with("x T utf8"), "{name}: {text:.400}");
        }
    }
}
