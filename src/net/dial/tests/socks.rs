//! SOCKS5 hops.

use super::*;
use crate::model::fault::HopLogin;

const GRANTED: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

/// The script of a hop without authentication for a request of `length` bytes.
fn open(length: usize, reply: &[u8]) -> Vec<HopBehaviour> {
    vec![
        HopBehaviour::Read(3),
        HopBehaviour::Write(vec![5, 0]),
        HopBehaviour::Read(length),
        HopBehaviour::Write(reply.to_vec()),
    ]
}

#[tokio::test]
async fn a_banner_that_comes_with_the_reply_is_kept() {
    let with_banner = [&GRANTED[..], BANNER.as_bytes()].concat();
    let mut script = open(5 + 11 + 2, &with_banner);
    script.push(HopBehaviour::Stay);
    let peer = play(vec![script]).await;
    let via = hop(HopKind::Socks5h, peer.address, false);
    let (result, stages) = dial_as(&via, "git.example:22", Scheme::Https, &route()).await;
    let mut connection = result.unwrap();
    assert_eq!(read(&mut connection, BANNER.len()).await, BANNER);
    assert_eq!(stages, [Stage::Connecting, Stage::Greeting]);
    assert_eq!(
        peer.received(),
        "\x05\x01\0\x05\x01\0\x03\x0bgit.example\0\x16"
    );
}

#[tokio::test]
async fn a_hop_with_pipeline_gets_greeting_and_request_at_once() {
    let request = 5 + 11 + 2;
    let with_banner = [&[5, 0][..], &GRANTED, BANNER.as_bytes()].concat();
    let script = vec![
        HopBehaviour::Read(3 + request),
        HopBehaviour::Write(with_banner),
        HopBehaviour::Stay,
    ];
    let peer = play(vec![script]).await;
    let mut hop = plain_hop(HopKind::Socks5h, peer.address);
    hop.pipeline = true;
    let via = Via::Hop(Arc::new(hop));
    let mut connection = tunnel(&via, "git.example:22", &route()).await.unwrap();
    assert_eq!(read(&mut connection, BANNER.len()).await, BANNER);
}

#[tokio::test]
async fn credentials_are_sent_and_their_refusal_is_a_fault() {
    for (status, granted) in [(0, true), (1, false)] {
        let mut script = vec![
            HopBehaviour::Read(4),
            HopBehaviour::Write(vec![5, 2]),
            HopBehaviour::Read(1 + 1 + 2 + 1 + 7),
            HopBehaviour::Write(vec![1, status]),
        ];
        if granted {
            script.extend([
                HopBehaviour::Read(5 + 5 + 2),
                HopBehaviour::Write(GRANTED.to_vec()),
                HopBehaviour::Stay,
            ]);
        }
        let peer = play(vec![script]).await;
        let via = hop(HopKind::Socks5h, peer.address, true);
        let result = tunnel(&via, "hf.co:443", &route()).await;
        assert!(peer.received().contains("\x01\x02me\x07hunter2"));
        match result {
            Ok(_) => assert!(granted),
            Err(fault) => {
                assert!(!granted);
                assert_eq!(fault.code(), "hop/greeting/hop-authentication");
                assert!(!fault.chain().contains("hunter2"));
            }
        }
    }
}

#[tokio::test]
async fn a_hop_that_requires_credentials_is_hop_authentication() {
    for choice in [2, 0xff] {
        let peer = play(vec![vec![
            HopBehaviour::Read(3),
            HopBehaviour::Write(vec![5, choice]),
        ]])
        .await;
        let via = hop(HopKind::Socks5h, peer.address, false);
        let fault = err(tunnel(&via, "hf.co:443", &route()).await);
        assert_eq!(fault.kind, FaultKind::HopAuthentication(HopLogin::Missing));
        assert!(fault.detail.unwrap().contains("none are configured"));
    }
}

/// Detecting such a hop's protocol took four seconds, and the fault then wrongly said that the hop forbids the host.
#[tokio::test]
async fn a_reset_after_an_earlier_grant_is_a_reset_and_not_a_refusal() {
    let grants = || open(5 + 5 + 2, &GRANTED);
    let breaks = || {
        vec![
            HopBehaviour::Read(3),
            HopBehaviour::Write(vec![5, 0]),
            HopBehaviour::Read(5 + 5 + 2),
        ]
    };
    grants_and_then_breaks(HopKind::Socks5h, grants, breaks).await;
}

#[tokio::test]
async fn an_override_is_sent_as_an_address_and_the_next_one_follows_a_dead_one() {
    let unreachable = open(10, &[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]);
    let mut granted = open(10, &GRANTED);
    granted.push(HopBehaviour::Stay);
    let peer = play(vec![unreachable, granted]).await;
    let at = |last| SocketAddr::from(([127, 0, 0, last], 22));
    let route = overriding("git.example", &[at(3), at(4)]);
    let via = hop(HopKind::Socks5h, peer.address, false);
    tunnel(&via, "git.example:22", &route).await.unwrap();
    assert!(peer.received().contains("\x05\x01\0\x01\x7f\0\0\x03\0\x16"));
    assert!(
        peer.received()
            .ends_with("\x05\x01\0\x01\x7f\0\0\x04\0\x16")
    );
}

#[tokio::test]
async fn with_socks5_gitferry_resolves_the_name() {
    let mut script = open(10, &GRANTED);
    script.push(HopBehaviour::Stay);
    let peer = play(vec![script]).await;
    let via = hop(HopKind::Socks5, peer.address, false);
    let (result, stages) = dial_as(&via, "localhost:22", Scheme::Https, &route()).await;
    result.unwrap();
    assert_eq!(
        stages,
        [Stage::Resolving, Stage::Connecting, Stage::Greeting]
    );
    assert!(peer.received().contains("\x01\x7f\0\0\x01\0\x16"));
    let fault = err(dial_target(&via, &invalid_name(), Scheme::Https, &route())
        .await
        .0);
    assert_eq!(fault.code(), "origin/resolving/name-unknown");
}

#[tokio::test]
async fn a_refusal_has_the_meaning_of_its_code() {
    let peer = play(vec![open(5 + 5 + 2, &[5, 2])]).await;
    let via = hop(HopKind::Socks5h, peer.address, false);
    let fault = err(tunnel(&via, "hf.co:443", &route()).await);
    assert_eq!(
        fault.to_string(),
        format!(
            "hop/greeting/socks-refused-2 with {} (not allowed by the hop's rules)",
            peer.address
        )
    );
}

#[tokio::test]
async fn an_http_server_behind_a_socks_url_is_detected_by_its_response() {
    let reply = HopBehaviour::Write(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    let peer = play(vec![vec![HopBehaviour::Read(3), reply]]).await;
    let via = hop(HopKind::Socks5h, peer.address, false);
    let fault = err(tunnel(&via, "hf.co:443", &route()).await);
    assert_eq!(fault.kind, FaultKind::BadAnswer);
    assert!(fault.detail.unwrap().contains("HTTP/1.1 400 Bad Request"));
}

#[tokio::test]
async fn hops_that_close_reset_or_stay_silent_have_different_faults() {
    let mut impatient = route();
    impatient.dial.greet_timeout = Duration::from_millis(50);
    for (end, kind) in [
        (vec![HopBehaviour::Write(vec![5])], FaultKind::ClosedEarly),
        (vec![HopBehaviour::Reset], FaultKind::Reset),
        (vec![HopBehaviour::Stay], FaultKind::TimedOut),
    ] {
        let mut script = vec![HopBehaviour::Read(3)];
        script.extend(end);
        let peer = play(vec![script]).await;
        let route = if kind == FaultKind::TimedOut {
            &impatient
        } else {
            &route()
        };
        let via = hop(HopKind::Socks5h, peer.address, false);
        let fault = err(tunnel(&via, "hf.co:443", route).await);
        assert_eq!(
            (fault.leg, fault.stage, &fault.kind),
            (Leg::Hop, Stage::Greeting, &kind)
        );
    }
}

#[tokio::test]
async fn a_name_that_is_too_long_is_refused_without_a_panic() {
    let peer = play(vec![vec![HopBehaviour::Stay]]).await;
    let via = hop(HopKind::Socks5h, peer.address, false);
    let target = Target::new(Host::Name("x".repeat(300).into()), 22);
    let fault = err(dial_target(&via, &target, Scheme::Https, &route()).await.0);
    assert_eq!(fault.kind, FaultKind::NameUnknown);
}

/// OpenSSH's `-D` closes the connection at "administratively prohibited".
#[tokio::test]
async fn a_close_after_the_request_is_a_refusal_of_the_target() {
    for end in [vec![], vec![HopBehaviour::Reset]] {
        let mut script = vec![
            HopBehaviour::Read(3),
            HopBehaviour::Write(vec![5, 0]),
            HopBehaviour::Read(5 + 5 + 2),
        ];
        script.extend(end);
        let peer = play(vec![script]).await;
        let via = hop(HopKind::Socks5h, peer.address, false);
        let fault = err(tunnel(&via, "hf.co:443", &route()).await);
        assert_eq!(fault.code(), "hop/greeting/target-refused");
    }
}

/// tinyproxy waits for the end of the line.
#[tokio::test]
async fn a_silent_http_server_behind_a_socks_url_is_detected_before_the_greet_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let via = hop(HopKind::Socks5h, listener.local_addr().unwrap(), false);
    let serving = async {
        let (_silent, _) = listener.accept().await.unwrap();
        let (mut asked, _) = listener.accept().await.unwrap();
        asked
            .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    };
    let route = route();
    let fault = tokio::select! {
        dialled = tunnel(&via, "hf.co:443", &route) => err(dialled),
        () = serving => unreachable!(),
    };
    assert_eq!(fault.code(), "hop/greeting/bad-answer");
    assert!(fault.detail.unwrap().contains("http://"));
}
