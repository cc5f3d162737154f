//! What the output of a client means.

use super::{super::Outcome, ClientKind, InstalledClient, program::ProgramEnd};
use crate::{doctor::State, model::columns::cut};

/// `reported`: the daemon saw this client abort a handshake.
pub(super) fn judge(client: &InstalledClient, ended: &ProgramEnd, reported: bool) -> Outcome {
    if client.kind == ClientKind::Ssh {
        return ssh(ended);
    }
    let said = format!("{}\n{}", ended.stdout, ended.stderr);
    let complaint = match ended.complaint() {
        empty if empty.is_empty() => "without a message".to_owned(),
        complaint => complaint,
    };
    let setup = client.kind.setup();
    if said.contains(&client.context.nonce) && said.contains("intercept") {
        return Outcome::passed("uses gitferry, trusts its CA");
    }
    if ended.stdout.contains(&client.context.nonce) && said.contains("reverse") {
        return Outcome::passed("uses gitferry, without a CA");
    }
    let lower = said.to_ascii_lowercase();
    let unreadable = UNREADABLE.iter().any(|words| lower.contains(words));
    let needs_public_address = needs_public_address(ended);
    if unreadable || needs_public_address && reported {
        let outcome = match unreadable {
            true => Outcome::failed("cannot read its CA file"),
            false => Outcome::failed("does not trust gitferry's CA"),
        };
        return outcome
            .detail(format!("{} reports: {complaint}", client.name))
            .advise(format!(
                "run `{setup}`, which gives this client the daemon's CA bundle"
            ))
            .fact(|facts| facts.setup = Some(setup));
    }
    if ended.stderr.contains("response 407") || ended.stderr.contains("407 Proxy") {
        return Outcome::failed("gitferry requires its password")
            .detail(format!("{} reports: {complaint}", client.name))
            .advise("give the client the `username` and password of `[listen]`".to_owned());
    }
    if MISSING.iter().any(|words| said.contains(words)) {
        return Outcome::skipped("not installed");
    }
    let bypassing = Outcome::warned(match needs_public_address {
        true => "bypasses gitferry, does not trust the site",
        false => "bypasses gitferry",
    });
    let bypassing = match ended.is_success() {
        true => bypassing,
        false => bypassing.detail(format!("{} reports: {complaint}", client.name)),
    };
    // The other clients may bypass the daemon on purpose.
    match client.kind.is_essential() {
        true => bypassing
            .advise(format!("run `{setup}`"))
            .fact(|facts| facts.setup = Some(setup)),
        false => Outcome {
            state: State::Unmeasured,
            ..bypassing
        },
    }
}

/// True where the client reports an untrusted certificate.
pub(super) fn needs_public_address(ended: &ProgramEnd) -> bool {
    let said = format!("{}\n{}", ended.stdout, ended.stderr).to_ascii_lowercase();
    DISTRUST.iter().any(|words| said.contains(words))
}

/// Reads the output of `ssh -v`: whether it runs the `ProxyCommand`, and whether it reaches the server.
fn ssh(ended: &ProgramEnd) -> Outcome {
    let lines = || ended.stderr.lines();
    let through =
        lines().any(|line| line.contains("Executing proxy command") && line.contains("gitferry"));
    let reached = lines().any(|line| line.contains("Remote protocol version"));
    let mut plain =
        lines().filter(|line| !line.starts_with("debug") && !line.starts_with("OpenSSH"));
    let complaint = plain.next_back().unwrap_or("without a message");
    let complaint = cut(&crate::track::redact::text(complaint), 240);
    let setup = ClientKind::Ssh.setup();
    match (through, reached) {
        (true, true) => Outcome::passed("uses gitferry, reaches the server"),
        (false, true) => Outcome::unmeasured("bypasses gitferry, reaches the server"),
        (true, false) => Outcome::failed("does not reach the server through gitferry")
            .detail(format!("ssh reports: {complaint}")),
        (false, false) => Outcome::failed("does not reach the server")
            .detail(format!("ssh bypasses gitferry and reports: {complaint}"))
            .advise(format!("run `{setup}`"))
            .fact(|facts| facts.setup = Some(setup)),
    }
}

/// Messages of OpenSSL, GnuTLS, Go, Python and curl for an untrusted certificate.
const DISTRUST: &[&str] = &[
    "certificate verif",
    "certificate_verify_failed",
    "server certificate verification failed",
    "ssl certificate problem",
    "unknown authority",
    "x509: certificate",
    "self-signed certificate",
    "self signed certificate",
    "unable to get local issuer",
    "certificate is not trusted",
    "sslcertverificationerror",
];

/// Messages of libcurl with GnuTLS and OpenSSL, and of requests, for a missing CA file.
const UNREADABLE: &[&str] = &[
    "problem with the ssl ca cert",
    "error reading ca cert file",
    "error setting certificate verify locations",
    "error setting certificate file",
    "error adding trust anchors from file",
    "could not find a suitable tls ca certificate bundle",
];

/// Messages for a client that is not installed.
const MISSING: &[&str] = &["ModuleNotFoundError", "ImportError", "is not a git command"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{LocalFacts, clients::ClientContext, daemon::DaemonAddress};

    fn client(kind: ClientKind) -> InstalledClient {
        let local = LocalFacts {
            daemon: DaemonAddress {
                address: "127.0.0.1:4483".parse().unwrap(),
                credentials: None,
            },
            about: Err(std::io::Error::other("not asked").into()),
            state_directory: "/".into(),
            directory: "/".into(),
            ssh: None,
        };
        let context = ClientContext {
            hosts: ("hf.co".into(), "cdn-lfs.hf.co".into()),
            nonce: "0123abcd".into(),
            local,
        };
        InstalledClient {
            name: "git 2.39.5".into(),
            kind,
            program: "git".into(),
            context: context.into(),
        }
    }

    fn judged(stdout: &str, stderr: &str, reported: bool) -> (State, String) {
        let ended = ProgramEnd {
            code: Some(i32::from(stdout.is_empty())),
            stdout: stdout.into(),
            stderr: stderr.into(),
        };
        let outcome = judge(&client(ClientKind::Git), &ended, reported);
        (outcome.state, outcome.shown)
    }

    #[test]
    fn the_output_of_each_client_says_whether_it_uses_and_trusts_the_daemon() {
        let distrust = [
            "fatal: unable to access 'x': server certificate verification failed. CAfile: none CRLfile: none",
            "fatal: unable to access 'x': SSL certificate problem: unable to get local issuer certificate",
            "Get \"x\": x509: certificate signed by unknown authority",
            "requests.exceptions.SSLError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
            "curl: (60) SSL certificate problem: self-signed certificate in certificate chain",
        ];
        for words in distrust {
            let (state, shown) = judged("", words, true);
            assert_eq!(state, State::Failed, "{words}");
            assert!(shown.contains("does not trust"), "{shown}");
            assert_eq!(judged("", words, false).0, State::Warned, "{words}");
        }
        let through = "1111 refs/gitferry/0123abcd/intercept\n";
        assert_eq!(judged(through, "", false).0, State::Passed);
        assert_eq!(judged("<html>404</html>", "", false).0, State::Warned);
        let missing = "ModuleNotFoundError: No module named 'requests'";
        assert_eq!(judged("", missing, false).0, State::Skipped);
        let password = "fatal: CONNECT tunnel failed, response 407";
        assert_eq!(judged("", password, false).0, State::Failed);
    }

    #[test]
    fn the_output_of_ssh_says_whether_it_uses_the_daemon() {
        let judged = |stderr: &str| {
            let ended = ProgramEnd {
                code: Some(255),
                stdout: String::new(),
                stderr: stderr.into(),
            };
            judge(&client(ClientKind::Ssh), &ended, false).state
        };
        let proxy = "debug1: Executing proxy command: exec gitferry connect hf.co:22\n";
        let banner = "debug1: Remote protocol version 2.0, remote software version x\n";
        let denied = "git@hf.co: Permission denied (publickey).\n";
        assert_eq!(judged(&format!("{proxy}{banner}{denied}")), State::Passed);
        assert_eq!(judged(&format!("{banner}{denied}")), State::Unmeasured);
        assert_eq!(judged(proxy), State::Failed);
        assert_eq!(
            judged("ssh: connect to host hf.co port 22: Connection timed out"),
            State::Failed
        );
    }
}
