//! `gitferry man`: the manual, from the same definition that parses the arguments.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory as _, ValueHint};
use clap_mangen::Man;

use super::{Cli, Failure};

/// `gitferry man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Write one page per command (gitferry.1, gitferry-setup.1, …) into DIR instead.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

/// Writes one page with every command to stdout, or one page per command into a directory that exists.
pub(crate) fn run(args: &ManArgs) -> Result<(), Failure> {
    match &args.directory {
        None => {
            let page =
                page().map_err(|error| Failure::during("cannot render the manual", error))?;
            super::printed(io::stdout().write_all(&page))
        }
        Some(directory) => pages(directory).map_err(|error| {
            Failure::during(
                format!("cannot write the manual to {}", directory.display()),
                error,
            )
        }),
    }
}

/// The root's page, with a part for every command before its end.
fn page() -> io::Result<Vec<u8>> {
    let root = built();
    let mut page = Vec::new();
    Man::new(root.clone()).render(&mut page)?;
    for command in documented(&root) {
        let name = format!("gitferry {}", command.get_name());
        writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
        let man = Man::new(command.clone());
        let mut part = Vec::new();
        man.render_synopsis_section(&mut part)?;
        man.render_description_section(&mut part)?;
        man.render_options_section(&mut part)?;
        // A part of a page: its sections are the page's subsections.
        page.extend(
            String::from_utf8_lossy(&part)
                .replace(".SH ", ".SS ")
                .into_bytes(),
        );
    }
    Ok(page)
}

fn pages(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let root = built();
    let write = |name: &str, command: Command| {
        let mut page = Vec::new();
        Man::new(command).title(name).render(&mut page)?;
        fs::write(directory.join(format!("{name}.1")), page)
    };
    for command in documented(&root) {
        let name = format!("gitferry-{}", command.get_name());
        write(&name, command.clone())?;
    }
    write("gitferry", root)
}

fn built() -> Command {
    let mut root = Cli::command().disable_help_subcommand(true);
    // Hands the global options down to the commands.
    root.build();
    root
}

fn documented(root: &Command) -> impl Iterator<Item = &Command> {
    root.get_subcommands()
        .filter(|command| !command.is_hide_set())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_command_and_its_options() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        assert!(page.contains(".TH gitferry 1"), "{page}");
        for command in Cli::command().get_subcommands() {
            let title = format!(".SH \"GITFERRY {}\"", command.get_name().to_uppercase());
            assert!(page.contains(&title), "{title} in {page}");
        }
        assert!(page.contains("dry\\-run"), "{page}");
    }

    #[test]
    fn a_directory_gets_one_page_per_command() {
        let directory = tempfile::tempdir().unwrap();
        pages(directory.path()).unwrap();
        let count = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(count, Cli::command().get_subcommands().count() + 1);
        let page = fs::read_to_string(directory.path().join("gitferry-setup.1")).unwrap();
        assert!(page.contains("gitferry\\-setup"), "{page}");
    }
}
