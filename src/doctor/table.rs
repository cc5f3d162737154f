//! The table of checks: one entry each.

use super::{Check, Run, clients, machine, path};

/// Every check, in the order in which it is shown.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "name",
        needs: &[],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::name::run(probe))),
        means: "the name cannot be resolved, or resolves to an address that such a site cannot have",
    },
    Check {
        name: "tcp",
        needs: &["name"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tcp::run(probe))),
        means: "no TCP connection: the port is filtered, or nothing listens",
    },
    Check {
        name: "hop",
        needs: &["tcp"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::hop::run(probe))),
        means: "the hop does not connect to this host",
    },
    Check {
        name: "tls",
        needs: &["hop"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tls::usual(probe))),
        means: "something on the path breaks or drops the TLS handshake",
    },
    Check {
        name: "tls-small",
        needs: &["hop"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tls::small(probe))),
        means: "the handshake fails even with the smallest ClientHello",
    },
    Check {
        name: "tls-large",
        needs: &["hop"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tls::large(probe))),
        means: "a ClientHello of two packets, as new OpenSSL and Go send it, does not get through",
    },
    Check {
        name: "tls-no-sni",
        needs: &["hop"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tls::nameless(probe))),
        means: "the handshake fails even without the host's name in it",
    },
    Check {
        name: "certificate",
        needs: &["tls"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::tls::certificate(probe))),
        means: "the server's certificate does not prove that it is this host",
    },
    Check {
        name: "portal",
        needs: &["name"],
        after: &["tcp", "hop", "tls", "certificate"],
        run: Run::Path(|probe| Box::pin(path::portal::run(probe))),
        means: "the network's log-in page answers instead of the site",
    },
    Check {
        name: "ssh",
        needs: &["hop"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::ssh::run(probe))),
        means: "no ssh server answers",
    },
    Check {
        name: "http",
        needs: &["certificate"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::http::run(probe))),
        means: "the site does not answer a request",
    },
    Check {
        name: "post-1k",
        needs: &["http"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::post::kibibyte(probe))),
        means: "a small request body does not arrive, or gets no answer",
    },
    Check {
        name: "post-mtu",
        needs: &["post-1k"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::post::beyond_mtu(probe))),
        means: "the path loses large packets (path MTU)",
    },
    Check {
        name: "post-256k",
        needs: &["post-mtu"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::post::quarter_mebibyte(probe))),
        means: "an upload stops midway",
    },
    Check {
        name: "refs",
        needs: &["http"],
        after: &[],
        run: Run::Path(|probe| Box::pin(path::push::refs(probe))),
        means: "the site does not take a push to this repository from this user",
    },
    Check {
        name: "lfs-batch",
        needs: &["http"],
        after: &["refs"],
        run: Run::Path(|probe| Box::pin(path::push::batch(probe))),
        means: "the LFS API does not take an upload from this user",
    },
    Check {
        name: "path",
        needs: &["http"],
        after: &["post-1k", "post-mtu", "post-256k"],
        run: Run::Path(|probe| Box::pin(path::post::measured(probe))),
        means: "the kernel provides no measurements",
    },
    Check {
        name: "daemon",
        needs: &[],
        after: &[],
        run: Run::Machine(|machine| Box::pin(machine::daemon(machine))),
        means: "no daemon answers, or one of another version",
    },
    Check {
        name: "ca",
        needs: &[],
        after: &[],
        run: Run::Machine(|machine| Box::pin(machine::authority(machine))),
        means: "clients may trust a CA that is not the daemon's",
    },
    Check {
        name: "git-settings",
        needs: &[],
        after: &[],
        run: Run::Machine(|machine| Box::pin(machine::git_settings(machine))),
        means: "settings of git contradict each other or weaken TLS",
    },
    Check {
        name: "environment",
        needs: &[],
        after: &[],
        run: Run::Machine(|machine| Box::pin(machine::environment(machine))),
        means: "a variable makes clients bypass the daemon, or differs from the daemon's own",
    },
    Check {
        name: "proxychains",
        needs: &[],
        after: &[],
        run: Run::Machine(|machine| Box::pin(machine::preload(machine))),
        means: "proxychains does not work for static programs such as git-lfs",
    },
    Check {
        name: "clock",
        needs: &[],
        after: &[],
        run: Run::Machine(|machine| Box::pin(machine::clock(machine))),
        means: "certificates fail because of a wrong clock",
    },
    Check {
        name: "disk",
        needs: &[],
        after: &[],
        run: Run::Machine(|machine| Box::pin(machine::disk(machine))),
        means: "the spool of uploads has too little room",
    },
    Check {
        name: "tcp-bbr",
        needs: &[],
        after: &[],
        run: Run::Machine(|machine| Box::pin(machine::congestion(machine))),
        means: "the kernel's congestion control is slow on lossy paths",
    },
    Check {
        name: "service",
        needs: &[],
        after: &[],
        run: Run::Machine(|machine| Box::pin(machine::service(machine))),
        means: "the daemon's service is not running",
    },
    Check {
        name: "history",
        needs: &[],
        after: &[],
        run: Run::Machine(|machine| Box::pin(machine::history(machine))),
        means: "the daemon had recent faults",
    },
    Check {
        name: "client",
        needs: &[],
        after: &[],
        run: Run::Client(|client| Box::pin(clients::run(client))),
        means: "the client bypasses the daemon, or does not trust its CA",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_check_needs_only_checks_that_stand_before_it() {
        let mut before = BTreeSet::new();
        for check in CHECKS {
            for needed in check.needs.iter().chain(check.after) {
                assert!(before.contains(needed), "{} needs {needed}", check.name);
            }
            assert!(before.insert(check.name), "{} stands twice", check.name);
            assert!(!check.means.ends_with('.'), "{}", check.name);
        }
    }
}
