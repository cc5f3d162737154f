//! `gitferry man`: the man pages.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Command, ValueHint};

use super::{Failure, manual};

/// `gitferry man`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry man | man -l -\n  gitferry man --section 5 | man -l -\n  gitferry man --directory ~/.local/share/man"
)]
pub(crate) struct ManArgs {
    /// The page: 1 for gitferry(1), 5 for gitferry.toml(5).
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = section, conflicts_with = "directory")]
    section: u8,
    /// Write both pages below DIR, as man1/gitferry.1 and man5/gitferry.toml.5, in place of printing one.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

/// Writes a page to stdout, or both below a directory. Fails where they cannot be written.
pub(crate) fn run(args: &ManArgs, root: &Command) -> Result<(), Failure> {
    match &args.directory {
        None => {
            let page = if args.section == 5 {
                manual::ManPage::Config
            } else {
                manual::ManPage::Command
            };
            let page = manual::roff(page, root);
            super::printed(io::stdout().write_all(page.as_bytes()))
        }
        Some(directory) => write(directory, root).map_err(|error| {
            Failure::during(
                format!("cannot write the man pages to {}", directory.display()),
                error,
            )
        }),
    }
}

fn write(directory: &Path, root: &Command) -> io::Result<()> {
    for (page, section, file) in [
        (manual::ManPage::Command, "man1", "gitferry.1"),
        (manual::ManPage::Config, "man5", "gitferry.toml.5"),
    ] {
        let directory = directory.join(section);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(file), manual::roff(page, root))?;
    }
    Ok(())
}

fn section(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "5" => Ok(5),
        _ => Err("the pages are 1 and 5".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gets_both_pages_where_man_looks_for_them() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), &crate::cli::root()).unwrap();
        for (file, title) in [
            ("man1/gitferry.1", ".TH GITFERRY 1"),
            ("man5/gitferry.toml.5", ".TH GITFERRY.TOML 5"),
        ] {
            let page = fs::read_to_string(directory.path().join(file)).unwrap();
            assert!(page.starts_with(title), "{page}");
        }
    }
}
