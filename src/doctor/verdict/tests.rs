//! Tables of check results, and the verdict on each.

use std::time::Duration;

use super::*;
use crate::doctor::Outcome;

fn path(host: &str, upstream: &str, place: Option<usize>) -> PathName {
    let storage = host.starts_with("storage");
    PathName {
        host: host.into(),
        route: if storage { "lfs" } else { "main" }.into(),
        role: if storage { "lfs-storage" } else { "main-site" },
        upstream: upstream.into(),
        place,
        direct: upstream == "direct",
        written: format!("{{ via = \"{upstream}\" }}").into(),
    }
}

fn finding(path: &PathName, check: &'static str, outcome: Outcome) -> Finding {
    Finding {
        subject: CheckSubject::Path(path.clone()),
        check,
        outcome,
        took: Duration::ZERO,
    }
}

fn failed(code: &str) -> Outcome {
    let mut outcome = Outcome::failed(code);
    outcome.advice = Some("give route `main` another upstream".into());
    outcome.code = Some(code.into());
    outcome
}

/// A finding for every check: those of `not` have these outcomes, the others passed, or were skipped after a failure.
fn checks_of(path: &PathName, not: Vec<(&'static str, Outcome)>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut broken = false;
    for check in super::super::PATH_CHECKS {
        let given = not.iter().find(|(name, _)| *name == check.name);
        let outcome = match given {
            Some((_, outcome)) => outcome.clone(),
            None if broken => Outcome::skipped("not tried"),
            None => Outcome::passed("1 ms"),
        };
        broken |= outcome.state == State::Failed;
        findings.push(finding(path, check.name, outcome));
    }
    findings
}

#[test]
fn a_healthy_result_is_one_sentence_without_a_change() {
    let findings = checks_of(&path("hf.co", "direct", Some(0)), vec![]);
    let verdict = of(&findings);
    assert_eq!(verdict.works, "hf.co can be reached directly");
    assert!(verdict.is_healthy() && verdict.change.is_none());
}

#[test]
fn a_working_upstream_is_put_before_a_hop_that_refuses_the_storage() {
    let refused = || vec![("hop", failed("hop/greeting/hop-refused-403"))];
    let mut findings = checks_of(&path("hf.co", "office", Some(0)), vec![]);
    findings.extend(checks_of(
        &path("storage.test", "office", Some(0)),
        refused(),
    ));
    findings.extend(checks_of(&path("storage.test", "direct", Some(1)), vec![]));
    let verdict = of(&findings);
    let broken = verdict.broken.clone().unwrap();
    assert!(
        broken.starts_with(
            "storage.test (storage) fails through office: the proxy office does not allow this host"
        ),
        "{broken}"
    );
    assert!(broken.ends_with("but works directly"), "{broken}");
    let change = verdict.change.unwrap();
    assert_eq!(
        change.toml.unwrap(),
        "[[route]]\nname = \"lfs\"\nupstreams = [{ via = \"direct\" }, { via = \"office\" }]"
    );
}

#[test]
fn an_upstream_outside_the_route_is_proposed_where_no_other_works() {
    let cut = vec![("tls", failed("origin/handshaking/reset"))];
    let mut findings = checks_of(&path("hf.co", "direct", Some(0)), cut);
    findings.extend(checks_of(&path("hf.co", "tunnel", None), vec![]));
    let verdict = of(&findings);
    assert!(
        verdict.works.starts_with("nothing: no host"),
        "{}",
        verdict.works
    );
    let toml = verdict.change.unwrap().toml.unwrap();
    assert!(
        toml.contains("[{ via = \"tunnel\" }, { via = \"direct\" }]"),
        "{toml}"
    );
}

/// The verdict on a path through `office` on which this check fails.
fn broken_by(check: &'static str, outcome: Outcome) -> (String, ProposedChange) {
    let verdict = of(&checks_of(
        &path("hf.co", "office", Some(0)),
        vec![(check, outcome)],
    ));
    (verdict.broken.unwrap(), verdict.change.unwrap())
}

#[test]
fn the_sentence_on_a_proxy_says_whether_it_is_down_refuses_fails_or_requires_a_password() {
    for (check, code, detail, says) in [
        (
            "tcp",
            "hop/connecting/refused",
            "",
            "the proxy office does not run",
        ),
        (
            "tcp",
            "hop/connecting/timed-out",
            "",
            "the proxy office does not answer",
        ),
        (
            "name",
            "origin/resolving/timed-out",
            "",
            "the name server does not answer",
        ),
        (
            "name",
            "hop/resolving/name-unknown",
            "",
            "the name of the proxy office cannot be resolved",
        ),
        (
            "hop",
            "hop/greeting/hop-refused-403",
            "",
            "office does not allow this host",
        ),
        (
            "hop",
            "hop/greeting/hop-refused-503",
            "",
            "office cannot reach this host",
        ),
        (
            "hop",
            "hop/greeting/socks-refused-2",
            "",
            "office does not allow this host",
        ),
        (
            "hop",
            "hop/greeting/socks-refused-5",
            "",
            "office cannot reach this host",
        ),
        (
            "hop",
            "hop/greeting/target-refused",
            "",
            "does not allow this host or cannot reach it",
        ),
        (
            "hop",
            "hop/greeting/hop-authentication",
            "none are configured",
            "requires a user name and a password",
        ),
        (
            "hop",
            "hop/greeting/hop-authentication",
            "refused the configured",
            "rejects the user name or password",
        ),
        (
            "hop",
            "hop/greeting/hop-authentication",
            "it offers only NTLM",
            "that gitferry does not speak",
        ),
    ] {
        let (broken, _) = broken_by(check, failed(code).detail(detail));
        assert!(broken.contains(says), "{code} {detail}: {broken}");
    }
}

#[test]
fn an_implausible_address_is_reported_with_what_to_do() {
    for (word, does) in [
        ("private", "set `resolve` of route `main`"),
        ("fake", "check that the local VPN tool runs"),
        ("blocked", "remove hf.co from the hosts file"),
    ] {
        let odd = (word, "hf.co resolves to 10.0.0.1".into());
        let name = Outcome::warned("10.0.0.1").fact(|facts| facts.implausible = Some(odd));
        let cut = failed("origin/connecting/unreachable");
        let not = vec![("name", name), ("tcp", cut)];
        let verdict = of(&checks_of(&path("hf.co", "direct", Some(0)), not));
        let broken = verdict.broken.unwrap();
        assert!(broken.ends_with("; hf.co resolves to 10.0.0.1"), "{broken}");
        let change = verdict.change.unwrap();
        assert!(change.sentence.contains(does), "{change:?}");
    }
}

#[test]
fn the_ca_of_a_known_middlebox_is_proposed_and_never_applied() {
    let signed = failed("origin/handshaking/unknown-issuer")
        .fact(|facts| facts.issuer = Some("FortiGate CA".into()));
    let (broken, change) = broken_by("certificate", signed);
    assert!(
        broken.contains("a Fortinet firewall inspects TLS"),
        "{broken}"
    );
    assert!(
        change
            .sentence
            .contains("the CA certificate of a Fortinet firewall")
    );
    assert!(change.toml.unwrap().contains("extra_roots") && change.edit.is_none());
}

#[test]
fn a_handshake_that_fails_only_with_sni_is_an_sni_filter() {
    let cut = vec![
        ("tls", failed("origin/handshaking/reset")),
        ("tls-small", failed("origin/handshaking/reset")),
        ("tls-no-sni", Outcome::passed("3 ms")),
    ];
    let verdict = of(&checks_of(&path("hf.co", "direct", Some(0)), cut));
    assert!(verdict.broken.unwrap().contains("SNI filter"));
    assert_eq!(
        verdict.change.unwrap().sentence,
        "give route `main` another upstream"
    );
}

#[test]
fn a_path_that_loses_large_packets_gets_a_smaller_max_segment() {
    let lost = vec![("post-mtu", failed("origin/sending-body/timed-out"))];
    let verdict = of(&checks_of(&path("hf.co", "direct", Some(0)), lost));
    assert!(verdict.broken.unwrap().contains("loses large packets"));
    let toml = verdict.change.unwrap().toml.unwrap();
    assert!(
        toml.contains(r#"dial = { max_segment = "1220 B" }"#),
        "{toml}"
    );
}

#[test]
fn an_upload_that_is_closed_or_reset_gets_no_advice_on_packet_sizes() {
    for code in [
        "origin/sending-body/reset",
        "hop/awaiting-head/closed-early",
    ] {
        let cut = vec![("post-256k", failed(code))];
        let verdict = of(&checks_of(&path("hf.co", "direct", Some(0)), cut));
        assert!(verdict.broken.unwrap().contains("an upload stops midway"));
        let change = verdict.change;
        assert!(change.is_none_or(|change| change.toml.is_none()), "{code}");
    }
}

/// The daemon has `HTTPS_PROXY=http://user:password@...`, and the shell of doctor has not: nothing is missing where it counts.
#[test]
fn a_password_that_only_the_daemon_may_know_is_not_called_missing() {
    let asked = failed("hop/greeting/hop-authentication").detail("none are configured");
    let checks = checks_of(&path("hf.co", "environment", Some(0)), vec![("hop", asked)]);
    let broken = of(&checks).broken.unwrap();
    assert!(
        broken.contains("run doctor with the same HTTPS_PROXY"),
        "{broken}"
    );
}

#[test]
fn where_every_route_loses_large_packets_max_segment_is_set_for_all() {
    let lost = || vec![("post-mtu", failed("origin/sending-body/timed-out"))];
    let mut findings = checks_of(&path("hf.co", "direct", Some(0)), lost());
    findings.extend(checks_of(&path("storage.test", "direct", Some(0)), lost()));
    let toml = of(&findings).change.unwrap().toml.unwrap();
    assert_eq!(toml, "[dial]\nmax_segment = \"1220 B\"");
}

#[test]
fn a_portal_is_reported_in_place_of_the_handshake_that_it_breaks() {
    let page = "http://login.example/".to_owned();
    let portal = vec![
        ("tls", failed("origin/handshaking/bad-answer")),
        (
            "portal",
            Outcome::failed("plain HTTP").fact(|facts| facts.portal = Some(Some(page.clone()))),
        ),
    ];
    let verdict = of(&checks_of(&path("hf.co", "direct", Some(0)), portal));
    assert!(verdict.broken.unwrap().contains("log-in page"));
    assert!(verdict.change.unwrap().sentence.contains(&page));
}

#[test]
fn an_expired_certificate_is_blamed_on_the_clock_unless_another_site_confirms_the_clock() {
    let expired = || vec![("certificate", failed("origin/handshaking/expired"))];
    let findings = checks_of(&path("hf.co", "direct", Some(0)), expired());
    let change = of(&findings).change.unwrap();
    assert!(change.command.unwrap().contains("timedatectl"));
    let confirmed = Outcome::passed("200").fact(|facts| facts.clock_skew = Some(2));
    let mut both = findings;
    both.extend(checks_of(
        &path("github.com", "direct", Some(0)),
        vec![("http", confirmed)],
    ));
    let change = of(&both).change.unwrap();
    assert!(change.command.is_none());
    assert!(
        change.sentence.contains("owner of hf.co"),
        "{}",
        change.sentence
    );
}

#[test]
fn an_unfinished_check_is_not_healthy() {
    let findings = vec![finding(
        &path("hf.co", "direct", Some(0)),
        "tls",
        Outcome::pending(),
    )];
    let verdict = of(&findings);
    assert!(!verdict.is_healthy());
    assert!(verdict.broken.unwrap().contains("not finished (at `tls`)"));
}

fn client(name: &str, outcome: Outcome) -> Finding {
    Finding {
        subject: CheckSubject::Client(name.into()),
        check: "client",
        outcome,
        took: Duration::ZERO,
    }
}

fn machine(check: &'static str, outcome: Outcome) -> Finding {
    Finding {
        subject: CheckSubject::Machine,
        check,
        outcome,
        took: Duration::ZERO,
    }
}

#[test]
fn a_client_that_distrusts_the_ca_is_broken_and_one_that_bypasses_the_daemon_is_not() {
    let around =
        Outcome::warned("bypasses gitferry").fact(|facts| facts.setup = Some("gitferry setup git"));
    let findings = vec![client("git 2.39.5", around)];
    let verdict = of(&findings);
    assert!(verdict.is_healthy());
    assert_eq!(
        verdict.change.unwrap().command.unwrap(),
        "gitferry setup git"
    );
    let needs_public_address = Outcome::failed("does not trust gitferry's CA")
        .fact(|facts| facts.setup = Some("gitferry setup lfs"));
    let verdict = of(&[
        findings,
        vec![client("git-lfs/3.3.0", needs_public_address)],
    ]
    .concat());
    assert_eq!(
        verdict.broken.unwrap(),
        "git-lfs/3.3.0 does not trust gitferry's CA"
    );
    assert_eq!(
        verdict.change.unwrap().command.unwrap(),
        "gitferry setup lfs"
    );
}

/// Set-up was run, and `GIT_SSL_CAINFO` beats it: to run it again changes nothing.
#[test]
fn where_a_variable_hides_the_ca_the_change_is_to_remove_it() {
    let hides = Outcome::warned("1 to check").fact(|facts| facts.hides_ca = Some("GIT_SSL_CAINFO"));
    let findings = [distrustful_git(), machine("environment", hides)];
    assert_eq!(
        of(&findings).change.unwrap().command.unwrap(),
        "unset GIT_SSL_CAINFO"
    );
}

#[test]
fn starting_the_daemon_comes_before_every_other_change() {
    let down = Outcome::failed("not running").detail("no daemon answers at 127.0.0.1:4483");
    let mut findings = vec![machine("daemon", down)];
    let cut = vec![("tls", failed("origin/handshaking/reset"))];
    findings.extend(checks_of(&path("hf.co", "direct", Some(0)), cut));
    let verdict = of(&findings);
    assert!(
        verdict
            .change
            .unwrap()
            .command
            .unwrap()
            .contains("gitferry run")
    );
    assert!(verdict.broken.unwrap().contains("no daemon answers"));
}

#[test]
fn another_upstream_is_not_proposed_where_the_site_refuses_the_user() {
    let refused =
        Outcome::failed("not allowed (401)").detail("hf.co does not accept the stored token");
    let mut findings = checks_of(&path("hf.co", "direct", Some(0)), vec![("refs", refused)]);
    findings.extend(checks_of(&path("hf.co", "tunnel", None), vec![]));
    let verdict = of(&findings);
    assert!(verdict.broken.unwrap().contains("stored token"));
    let change = verdict.change;
    assert!(
        change.as_ref().is_none_or(|change| change.edit.is_none()),
        "{change:?}"
    );
}

#[test]
fn a_wrong_clock_is_fixed_with_timedatectl() {
    let off = Outcome::failed("7200 s off").detail("this machine's clock is 7200 s behind");
    let change = of(&[machine("clock", off)]).change.unwrap();
    assert!(change.command.unwrap().contains("timedatectl"));
}

/// git, which does not trust the daemon's CA.
fn distrustful_git() -> Finding {
    let outcome = Outcome::failed("does not trust gitferry's CA");
    client(
        "git 2.39.5",
        outcome.fact(|facts| facts.setup = Some("gitferry setup git")),
    )
}

#[test]
fn an_unreachable_host_comes_before_the_set_up_of_git() {
    for (check, code) in [
        ("name", "origin/resolving/name-unknown"),
        ("tcp", "origin/connecting/timed-out"),
        ("hop", "hop/greeting/hop-refused-403"),
    ] {
        let cut = vec![(check, failed(code))];
        let mut findings = checks_of(&path("hf.co", "office", Some(0)), cut);
        findings.push(distrustful_git());
        let change = of(&findings).change.unwrap();
        assert_eq!(
            change.sentence, "give route `main` another upstream",
            "{code}"
        );
    }
    // What the site says of the user waits until git speaks to it.
    let refused = vec![("refs", failed("not allowed (401)"))];
    let mut findings = checks_of(&path("hf.co", "office", Some(0)), refused);
    findings.push(distrustful_git());
    let change = of(&findings).change.unwrap();
    assert_eq!(change.command.as_deref(), Some("gitferry setup git"));
}

#[test]
fn recent_faults_of_the_daemon_are_reported_and_their_advice_is_the_change_where_all_checks_pass() {
    let fault = |host: &str, count| {
        let fault = RecentFault {
            host: host.into(),
            code: "origin/awaiting-head/timed-out".into(),
            upstream: Some("office".into()),
            advice: Some("use another hop of `[hops]`".into()),
            ..RecentFault::default()
        };
        (fault, count)
    };
    // A host that nobody asks about is not in it.
    let recent = vec![fault("hf.co", 4), fault("other.test", 1)];
    let faults = Outcome::passed("5 faults").fact(|facts| facts.recent = recent);
    let history = machine("history", faults);
    let mut findings = checks_of(&path("hf.co", "office", Some(0)), vec![]);
    findings.push(history.clone());
    let verdict = of(&findings);
    assert!(verdict.is_healthy());
    assert_eq!(
        verdict.recent.unwrap(),
        "in the last minutes the daemon had 4 faults with hf.co through office \
         (origin/awaiting-head/timed-out), although the checks pass now"
    );
    assert_eq!(
        verdict.change.unwrap().sentence,
        "if a transfer with hf.co fails again: use another hop of `[hops]`"
    );
    // Where the host fails now as well, what fails now is mended.
    let cut = vec![("tcp", failed("origin/connecting/timed-out"))];
    let mut findings = checks_of(&path("hf.co", "office", Some(0)), cut);
    findings.push(history);
    let verdict = of(&findings);
    let recent = verdict.recent.unwrap();
    assert!(!recent.contains("although"), "{recent}");
    let change = verdict.change.unwrap();
    assert_eq!(change.sentence, "give route `main` another upstream");
}
