//! One line about where and with what the numbers were made.

use std::{fs, process::Command, thread};

use crate::wire::SUITE;

/// Date, CPU, cores, kernel, the peers' versions, the suite.
pub(crate) fn describe() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let [date, nginx] = [said("date", &["-u", "+%Y-%m-%d"]), said("nginx", &["-v"])];
    let version = |program, flag, word| {
        let said = said(program, &[flag]);
        said.split_whitespace().nth(word).unwrap_or("-").to_owned()
    };
    format!(
        "{date}; {model}, {cores} cores; Linux {}; gitferry {}, HAProxy {}, {}, squid {}, tinyproxy {}, Privoxy {}; TLS 1.3 with {SUITE} and P-256 certificates on every leg.",
        kernel.trim(),
        env!("CARGO_PKG_VERSION"),
        version("haproxy", "-v", 2),
        nginx
            .trim_start_matches("nginx version: ")
            .replace('/', " "),
        version("/usr/sbin/squid", "-v", 3),
        version("/usr/bin/tinyproxy", "-v", 1),
        version("/usr/sbin/privoxy", "--help", 2),
    )
}

/// The first line that a program says, on whichever output.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map_or_else(
        |_| Vec::new(),
        |output| [output.stdout, output.stderr].concat(),
    );
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}
