//! `gitferry help`: a command, a topic or an entry of the manual on the terminal.

use std::io::{self, Write as _};

use clap::{Args, Command};

use super::{Failure, manual};
use crate::rt;

/// The largest width: longer lines are hard to read.
const WIDEST: usize = 100;
/// The width where the terminal does not report one.
const USUAL: usize = 80;

/// `gitferry help [TOPIC]`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  gitferry help\n  gitferry help keys\n  gitferry help setup\n  gitferry help hop-refused"
)]
pub(crate) struct HelpArgs {
    /// A topic, a command, or a fault code, verdict, key or metric; without it, the list of topics.
    #[arg(value_name = "TOPIC")]
    topic: Option<String>,
}

/// Prints the topic to stdout; `root` is the definition of all commands. Fails where there is none.
pub(crate) fn run(args: &HelpArgs, root: Command) -> Result<(), Failure> {
    let screen = screen();
    let text = match &args.topic {
        None => manual::index(&root, screen),
        Some(topic) => match find(topic, root.clone(), screen) {
            Some(text) => text,
            None => return Err(unknown(topic, &root)),
        },
    };
    super::printed(io::stdout().write_all(text.as_bytes()))
}

fn find(topic: &str, mut root: Command, screen: manual::Screen) -> Option<String> {
    if let Some(command) = root.find_subcommand_mut(topic) {
        return Some(command.render_long_help().to_string());
    }
    manual::topic(topic, screen).or_else(|| manual::entry(topic, screen))
}

fn unknown(topic: &str, root: &Command) -> Failure {
    let text = format!("no topic, command, code, key or metric is named {topic}");
    Failure::usage(text).hint(match manual::nearest(topic, root) {
        Some(near) => {
            format!("did you mean `gitferry help {near}`? `gitferry help` lists the topics")
        }
        None => "`gitferry help` lists the topics".into(),
    })
}

/// The terminal of stdout.
fn screen() -> manual::Screen {
    let size = rt::terminal_size(io::stdout());
    let width = size.map_or(USUAL, |(columns, _)| columns.min(WIDEST));
    manual::Screen {
        width,
        styled: rt::shows_colours(io::stdout()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_topic_code_key_or_metric_gets_the_name_that_was_meant() {
        let root = || Command::new("gitferry").subcommand(Command::new("doctor"));
        for (typed, meant) in [
            ("hop-refuse", "hop-refused"),
            ("stals", "stalls"),
            ("max_segmnet", "max_segment"),
            ("gitferry_stall_total", "gitferry_stalls_total"),
            ("docter", "doctor"),
        ] {
            let topic = Some(typed.to_owned());
            let failure = run(&HelpArgs { topic }, root()).unwrap_err().to_string();
            let hint = format!("did you mean `gitferry help {meant}`?");
            assert!(failure.contains(&hint), "{failure}");
        }
        let topic = Some("zzzzzz".to_owned());
        let failure = run(&HelpArgs { topic }, root()).unwrap_err().to_string();
        assert!(!failure.contains("did you mean"), "{failure}");
    }
}
