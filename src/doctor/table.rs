//! The tables of checks, in the order in which they are shown: one row each.

use super::{
    Outcome, Probe,
    clients::{self, InstalledClient},
    engine::Check,
    machine::{self, Machine},
    path,
};

/// Each row: the name; what runs it; the checks that must have passed before (`needs`) and those that must have ended (`after`); and what
/// its failure means, a sentence without a full stop.
macro_rules! checks {
    ($(
        $(#[$doc:meta])*
        $table:ident: $subject:ty, $outcome:path {
            $($name:literal $run:path
                $(, needs [$($needs:literal),+])? $(, after [$($after:literal),+])?: $means:literal;)+
        }
    )+) => {$(
        $(#[$doc])*
        pub(crate) const $table: &[Check<$subject>] = &[$(Check {
            name: $name,
            needs: &[$($($needs),+)?],
            after: &[$($($after),+)?],
            run: |subject| Box::pin(async move { $outcome(subject, $run(subject).await) }),
            means: $means,
        }),+];
    )+};
}

/// For checks that return their outcome.
fn same<T>(_: &T, outcome: Outcome) -> Outcome {
    outcome
}

checks! {
    /// The checks of a host over one upstream.
    PATH_CHECKS: Probe, Probe::outcome {
        "name" path::name::run:
            "the name cannot be resolved, or resolves to an address that such a site cannot have";
        "tcp" path::reach::tcp, needs ["name"]:
            "no TCP connection: the port is filtered, or nothing listens";
        "hop" path::reach::hop, needs ["tcp"]:
            "the hop does not connect to this host";
        "tls" path::tls::usual, needs ["hop"]:
            "something on the path breaks or drops the TLS handshake";
        "tls-small" path::tls::small, needs ["hop"]:
            "the handshake fails even with the smallest ClientHello";
        "tls-large" path::tls::large, needs ["hop"]:
            "a ClientHello of two packets, as new OpenSSL and Go send it, does not get through";
        "tls-no-sni" path::tls::nameless, needs ["hop"]:
            "the handshake fails even without the host's name in it";
        "certificate" path::tls::certificate, needs ["tls"]:
            "the server's certificate does not prove that it is this host";
        "portal" path::portal::run, needs ["name"], after ["tcp", "hop", "tls", "certificate"]:
            "the network's log-in page answers instead of the site";
        "ssh" path::reach::ssh, needs ["hop"]:
            "no ssh server answers";
        "http" path::http::run, needs ["certificate"]:
            "the site does not answer a request";
        "post-1k" path::post::kibibyte, needs ["http"]:
            "a small request body does not arrive, or gets no answer";
        "post-mtu" path::post::beyond_mtu, needs ["post-1k"]:
            "the path loses large packets (path MTU)";
        "post-256k" path::post::quarter_mebibyte, needs ["post-mtu"]:
            "an upload stops midway";
        "refs" path::push::refs, needs ["http"]:
            "the site does not take a push to this repository from this user";
        "lfs-batch" path::push::batch, needs ["http"], after ["refs"]:
            "the LFS API does not take an upload from this user";
        "path" path::post::measured, needs ["http"], after ["post-1k", "post-mtu", "post-256k"]:
            "the kernel provides no measurements";
    }

    /// The checks of this machine.
    MACHINE_CHECKS: Machine, same {
        "daemon" machine::daemon:
            "no daemon answers, or one of another version";
        "ca" machine::ca:
            "clients may trust a CA that is not the daemon's";
        "git-settings" machine::git_settings:
            "settings of git contradict each other or weaken TLS";
        "environment" machine::environment:
            "a variable makes clients bypass the daemon, or differs from the daemon's own";
        "proxychains" machine::proxychains:
            "proxychains does not work for static programs such as git-lfs";
        "clock" machine::clock:
            "certificates fail because of a wrong clock";
        "disk" machine::disk:
            "the spool of uploads has too little room";
        "tcp-bbr" machine::congestion:
            "the kernel's congestion control is slow on lossy paths";
        "service" machine::service:
            "the daemon's service is not running";
        "history" machine::history:
            "the daemon had recent faults";
    }

    /// The checks of an installed client.
    CLIENT_CHECKS: InstalledClient, same {
        "client" clients::run:
            "the client bypasses the daemon, or does not trust its CA";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn assert_ordered<T>(checks: &[Check<T>]) {
        let mut before = BTreeSet::new();
        for check in checks {
            for needed in check.needs.iter().chain(check.after) {
                assert!(before.contains(needed), "{} needs {needed}", check.name);
            }
            assert!(before.insert(check.name), "{} is listed twice", check.name);
            assert!(!check.means.ends_with('.'), "{}", check.name);
        }
    }

    #[test]
    fn every_check_depends_only_on_earlier_checks() {
        assert_ordered(PATH_CHECKS);
        assert_ordered(MACHINE_CHECKS);
        assert_ordered(CLIENT_CHECKS);
    }
}
