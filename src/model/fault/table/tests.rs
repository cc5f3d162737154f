use super::*;

#[test]
fn every_kind_has_its_own_code_and_a_meaning() {
    let mut codes: Vec<&str> = FAULT_KINDS.iter().map(|row| row.code).collect();
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), FAULT_KINDS.len());
    for row in FAULT_KINDS {
        let sentence = row.meaning.trim();
        assert!(
            sentence.ends_with('.') && sentence.len() > 10,
            "{}",
            row.code
        );
    }
}

#[test]
fn a_value_is_part_of_the_code() {
    for (kind, code) in [
        (FaultKind::HopRefused(403), "hop-refused-403"),
        (FaultKind::SocksRefused(2), "socks-refused-2"),
        (FaultKind::Alert("unknown-ca".into()), "alert-unknown-ca"),
        (FaultKind::Stalled(Verdict::NoAnswer), "stalled-no-answer"),
        (
            FaultKind::Http2("refused-stream".into()),
            "http2-refused-stream",
        ),
        (FaultKind::Denied(Denial::Port), "denied"),
    ] {
        assert_eq!(kind.as_str(), code);
        let (meaning, value) = meaning(code).unwrap();
        assert_eq!(meaning, kind.row().meaning.trim());
        assert_eq!(value, code.strip_prefix(&format!("{}-", kind.row().code)));
    }
}

#[test]
fn a_fault_has_the_status_of_its_leg_and_never_429() {
    for (leg, stage, kind, expected) in [
        (Leg::Origin, Stage::Handshaking, FaultKind::Reset, 502),
        (Leg::Hop, Stage::Greeting, FaultKind::TimedOut, 504),
        (
            Leg::Client,
            Stage::Accepted,
            FaultKind::Denied(Denial::Route),
            403,
        ),
        (Leg::Client, Stage::Accepted, FaultKind::Loop, 508),
        (Leg::Client, Stage::Accepted, FaultKind::TooLarge, 431),
        (Leg::Client, Stage::Accepted, FaultKind::BadRequest, 400),
        (Leg::Client, Stage::AwaitingHead, FaultKind::Shutdown, 503),
    ] {
        assert_eq!(Fault::new(leg, stage, kind).status(), expected);
    }
    for row in FAULT_KINDS {
        // git-lfs 3.3.0 panics on 429.
        assert!(
            row.status.client != 429 && row.status.upstream != 429,
            "{}",
            row.code
        );
    }
}
