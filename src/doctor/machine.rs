//! The checks of this machine: the daemon, its CA, contradictory settings, clock, disk and kernel.

mod settings;

use std::{collections::BTreeMap, fs, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{process::Command, sync::watch};

use super::{
    Outcome, RemoteUrl,
    daemon::{DaemonAddress, DaemonInfo, RecentFault},
    program,
};
use crate::{config::Config, net::api::Denied, tls::CaCertificate};

pub(crate) use settings::same_place;
pub(super) use settings::{environment, git_settings, proxychains};

/// What the checks of this machine look at.
pub(crate) struct Machine {
    /// The config in force.
    pub config: Arc<Config>,
    /// The daemon, and the directories of this user.
    pub local: LocalFacts,
    /// The environment of this process.
    pub variables: BTreeMap<String, String>,
    /// The difference of the sites' clocks, once a site has answered.
    pub skew: watch::Receiver<Skew>,
}

/// What is known of this machine before the first check.
#[derive(Clone, Debug)]
pub(crate) struct LocalFacts {
    /// How the daemon is reached.
    pub daemon: DaemonAddress,
    /// What it reports about itself, or why it does not answer.
    pub about: Result<DaemonInfo, Arc<io::Error>>,
    /// The state directory of this command's own config: its CA may differ from the daemon's.
    pub state_directory: PathBuf,
    /// The repository, or the current directory.
    pub directory: PathBuf,
    /// The remote, where it uses ssh.
    pub ssh: Option<RemoteUrl>,
}

/// The difference of the sites' clocks from this machine's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Skew {
    /// No site has answered yet.
    #[default]
    Unknown,
    /// A site's clock minus this machine's, in seconds.
    Known(i64),
    /// No site answered at all.
    Never,
}

impl Skew {
    /// No site will answer any more; true where this changes the value.
    pub(super) fn give_up(&mut self) -> bool {
        let news = *self == Self::Unknown;
        if news {
            *self = Self::Never;
        }
        news
    }
}

/// git and systemctl answer at once.
const TIMEOUT: Duration = Duration::from_secs(4);

/// With a larger difference, in seconds, certificates begin to fail.
const SKEW: i64 = 300;

pub(super) async fn daemon(machine: &Machine) -> Outcome {
    let address = machine.local.daemon.address;
    let about = match &machine.local.about {
        Ok(about) => about,
        Err(why) => {
            let used = settings::uses(machine, &address.to_string()).await;
            let denied = Denied::of(why);
            let words = match denied {
                Some(_) => "denies access",
                None => "not running",
            };
            let detail = match denied {
                Some(denied) => format!("the daemon at {address} denies access: {}", denied.cause),
                None => format!("no daemon answers at {address}: {why}"),
            };
            let outcome = match used {
                // Every set-up client fails.
                true => Outcome::failed(words),
                false => Outcome::warned(words),
            };
            return outcome.detail(detail).advise(match denied {
                Some(_) => "ask the owner of the daemon for access: `gitferry help access`",
                None => "start the daemon: `gitferry run`, or `gitferry service start`",
            });
        }
    };
    let file = about.config.as_ref();
    let file = file.map_or_else(
        || "built-in config".into(),
        |file| file.display().to_string(),
    );
    let own = env!("CARGO_PKG_VERSION");
    if about.version != own {
        return Outcome::warned(format!("{} at {address}", about.version))
            .detail(format!(
                "the daemon is {}, this command is {own}",
                about.version
            ))
            .advise("restart the daemon: `gitferry service restart`")
            .fact(|facts| facts.other_version = true);
    }
    Outcome::passed(format!("{own} at {address}, {file}"))
}

pub(super) async fn ca(machine: &Machine) -> Outcome {
    let Ok(about) = &machine.local.about else {
        return Outcome::skipped("");
    };
    let own = &machine.local.state_directory;
    let same = fs::canonicalize(own).ok() == fs::canonicalize(&about.state_directory).ok();
    let print = |certificate: CaCertificate| certificate.fingerprint();
    let here = CaCertificate::read(own).ok().flatten().map(print);
    match (&about.ca_sha256, here) {
        (None, _) => Outcome::warned("no CA")
            .detail("the daemon cannot read its own CA: it cannot terminate TLS"),
        (Some(theirs), Some(here)) if !same && *theirs != here => Outcome::warned("two CAs")
            .detail(format!(
                "{} has another CA than the daemon, whose state directory is {}: clients that were set up with it trust the wrong CA",
                own.display(),
                about.state_directory.display()
            ))
            .advise("set the clients up again: `gitferry setup git`"),
        (Some(_), _) => Outcome::passed("the daemon's"),
    }
}

pub(super) async fn clock(machine: &Machine) -> Outcome {
    let mut skew = machine.skew.clone();
    let known = skew.wait_for(|skew| *skew != Skew::Unknown).await;
    let skew = match known.as_deref() {
        Ok(Skew::Known(skew)) => Some(*skew),
        Ok(Skew::Unknown | Skew::Never) | Err(_) => None,
    };
    match skew {
        None => Outcome::unmeasured("no site answered"),
        Some(skew) if skew.abs() > SKEW => Outcome::failed(format!("{} s off", skew.abs()))
            .detail(format!(
                "this machine's clock is {} s {} the clock of a site that answered",
                skew.abs(),
                if skew > 0 { "behind" } else { "ahead of" }
            ))
            .advise("let the network set it: `sudo timedatectl set-ntp true`")
            .fact(|facts| facts.clock_skew = Some(skew)),
        Some(skew) => Outcome::passed(format!("correct within {} s", skew.abs().max(1))),
    }
}

pub(super) async fn disk(machine: &Machine) -> Outcome {
    let spool = machine.config.replay.spool;
    let directory = match &machine.local.about {
        Ok(about) => about.state_directory.clone(),
        Err(_) => machine.config.state_directory.clone(),
    };
    // The daemon creates it at its first start.
    let there = directory.ancestors().find(|directory| directory.exists());
    let Some(Ok(disk)) = there.map(nix::sys::statvfs::statvfs) else {
        return Outcome::skipped("");
    };
    #[allow(clippy::useless_conversion, reason = "macOS counts blocks in 32 bits")]
    let blocks = u64::from(disk.blocks_available());
    let free = blocks.saturating_mul(disk.fragment_size());
    let mib = |bytes: u64| bytes >> 20;
    let words = format!("{} MiB free", mib(free));
    if free >= spool || spool == 0 {
        return Outcome::passed(words);
    }
    Outcome::warned(words).detail(format!(
        "the spool of uploads may take {} MiB in {}: lower `spool` of `[replay]`, or make room",
        mib(spool),
        directory.display()
    ))
}

pub(super) async fn congestion(_: &Machine) -> Outcome {
    let read = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()?;
        Some(text.trim().to_owned())
    };
    let (Some(used), Some(known)) = (
        read("tcp_congestion_control"),
        read("tcp_available_congestion_control"),
    ) else {
        return Outcome::skipped("");
    };
    congestion_control(&used, &known)
}

fn congestion_control(used: &str, known: &str) -> Outcome {
    match known.split_whitespace().any(|name| name == "bbr") {
        true => Outcome::passed(format!("{used}, bbr available")),
        false => Outcome::passed(format!("{used}, no bbr"))
            .detail("bbr is much faster on a path with packet loss: `sudo modprobe tcp_bbr`"),
    }
}

pub(super) async fn service(machine: &Machine) -> Outcome {
    let state = async |scope: &[&str]| {
        let mut command = Command::new("systemctl");
        command.args(scope).args(["is-active", "gitferry.service"]);
        let ended = program::run(command, "", TIMEOUT).await.ok()?;
        let word = ended.stdout.lines().next()?.to_owned();
        (!word.is_empty()).then_some(word)
    };
    for (scope, name) in [(&["--user"][..], "user"), (&[], "system")] {
        if let Some(word) = state(scope).await
            && word != "inactive"
        {
            let words = format!("{name} service {word}");
            return match word.as_str() {
                "failed" => match machine.local.about.is_ok() {
                    // Another daemon serves the clients.
                    true => Outcome::warned(words),
                    false => Outcome::failed(words),
                }
                .detail("systemd could not start the daemon or it exited with an error")
                .advise("see why: `gitferry service logs`"),
                _ => Outcome::passed(words),
            };
        }
    }
    match &machine.local.about {
        Ok(_) => Outcome::passed("not a service")
            .detail("`gitferry service install` makes the daemon start at login"),
        Err(_) => Outcome::skipped(""),
    }
}

/// The recent faults of the daemon.
pub(super) async fn history(machine: &Machine) -> Outcome {
    if machine.local.about.is_err() {
        return Outcome::skipped("");
    }
    let faults = machine.local.daemon.faults().await;
    let Some(last) = faults.first() else {
        return Outcome::passed("no recent fault");
    };
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for fault in &faults {
        *counts.entry((&fault.host, &fault.code)).or_default() += 1;
    }
    let most = counts.iter().max_by_key(|(_, count)| **count);
    let words = format!("{} faults", faults.len());
    let via = last.upstream.as_deref().unwrap_or("-");
    let detail = format!("the last: {} for {} via {via}", last.code, last.host);
    let detail = match most {
        Some(((host, code), count)) if *count > 1 => {
            format!("{detail}; the most: {code} for {host}, {count} times")
        }
        _ => detail,
    };
    Outcome::passed(words)
        .detail(detail)
        .fact(|facts| facts.recent = recent(&faults))
}

/// The age in seconds up to which a fault counts as recent.
const RECENT: u64 = 15 * 60;

/// The recent faults apart from those of clients, equal ones once with their number.
fn recent(faults: &[RecentFault]) -> Vec<(RecentFault, usize)> {
    let mut recent: Vec<(RecentFault, usize)> = Vec::new();
    let of_the_path =
        |fault: &&RecentFault| fault.s_ago <= RECENT && !fault.code.starts_with("client/");
    for fault in faults.iter().filter(of_the_path) {
        match recent.iter_mut().find(|(known, _)| known.is_like(fault)) {
            Some((_, count)) => *count += 1,
            None => recent.push((fault.clone(), 1)),
        }
    }
    recent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_bbr_is_reported_with_the_command_and_is_not_broken() {
        let without = congestion_control("cubic", "reno cubic");
        assert_eq!(without.shown, "cubic, no bbr");
        assert!(without.detail.unwrap().contains("modprobe tcp_bbr"));
        assert_eq!(without.state, crate::doctor::State::Passed);
        let with = congestion_control("cubic", "reno cubic bbr");
        assert_eq!((&*with.shown, with.detail), ("cubic, bbr available", None));
    }
}
