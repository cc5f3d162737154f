//! The `gitferry` command: argv in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    gitferry::main()
}
