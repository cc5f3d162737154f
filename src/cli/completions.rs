//! `gitferry completions`: a shell's completion script, from the same definition that parses the arguments.

use std::io::{self, Write};

use clap::{Args, Command};
use clap_complete::Shell;

use super::Failure;

/// `gitferry completions SHELL`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  source <(gitferry completions bash)\n  gitferry completions fish | source"
)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes the script for the commands of `root` to stdout.
pub(crate) fn run(args: &CompletionsArgs, root: &mut Command) -> Result<(), Failure> {
    super::printed(io::stdout().write_all(&script(args.shell, root)))
}

/// `clap_complete` panics where its writer fails, as a closed pipe does: hence a buffer.
fn script(shell: Shell, root: &mut Command) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, root, "gitferry", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, ValueEnum as _};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_shell_completes_every_command() {
        let shells = Shell::value_variants();
        assert!(shells.len() >= 5);
        for shell in shells {
            let script = String::from_utf8(script(*shell, &mut Cli::command())).unwrap();
            for command in Cli::command().get_subcommands() {
                assert!(
                    script.contains(command.get_name()),
                    "{shell}: {}",
                    command.get_name()
                );
            }
        }
    }
}
