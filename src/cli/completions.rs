//! `gitferry completions`: a shell's completion script, from the same definition that parses the arguments.

use std::io::{self, Write};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, Failure};

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

/// Writes the script to stdout.
pub(crate) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    super::printed(io::stdout().write_all(&script(args.shell)))
}

/// `clap_complete` panics where its writer fails, as a closed pipe does: hence a buffer.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gitferry", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_completes_every_command() {
        let shells = Shell::value_variants();
        assert!(shells.len() >= 5);
        for shell in shells {
            let script = String::from_utf8(script(*shell)).unwrap();
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
