//! http and https hops.

use super::*;
use crate::model::fault::HopLogin;

async fn refused(response: &str) -> Fault {
    let peer = hop_answering(response).await;
    let fault = err(tunnel(
        &hop(HopKind::Http, peer.address, false),
        "hf.co:443",
        &route(),
    )
    .await);
    assert_eq!((fault.leg, fault.stage), (Leg::Hop, Stage::Greeting));
    assert_eq!(fault.peer, Some(peer.address.to_string().into()));
    assert!(fault.unsent);
    fault
}

#[tokio::test]
async fn a_banner_that_comes_with_the_reply_is_kept() {
    let reply = "HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    let peer = hop_answering(&format!("{reply}{BANNER}")).await;
    let via = hop(HopKind::Http, peer.address, true);
    let (result, stages) = dial_as(&via, "git.example:22", Scheme::Https, &route()).await;
    let mut connection = result.unwrap();
    assert_eq!(read(&mut connection, BANNER.len()).await, BANNER);
    assert_eq!(connection.peer, peer.address);
    assert!(connection.absolute_form.is_none());
    assert_eq!(stages, [Stage::Connecting, Stage::Greeting]);
    let received = peer.received();
    assert!(
        received.starts_with("CONNECT git.example:22 HTTP/1.1\r\n"),
        "{received}"
    );
    assert!(received.contains("Proxy-Authorization: Basic bWU6aHVudGVyMg==\r\n"));
}

#[tokio::test]
async fn an_https_hop_is_greeted_inside_tls() {
    let world = ExternalCa::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let via = hop(HopKind::Https, listener.local_addr().unwrap(), false);
    let acceptor = tokio_rustls::TlsAcceptor::from(world.server(&["127.0.0.1"], |_| {}));
    let greeted = async {
        let (socket, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(socket).await.unwrap();
        let mut received = [0; 17];
        stream.read_exact(&mut received).await.unwrap();
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await.unwrap();
        received
    };
    let target = Target::parse("hf.co:443", None).unwrap();
    let route = route();
    let dialled = dial_trusting(&world, &via, (&target, Scheme::Https), &route);
    let (received, (result, stages)) = tokio::join!(greeted, dialled);
    result.unwrap();
    assert_eq!(&received, b"CONNECT hf.co:443");
    assert_eq!(
        stages,
        [Stage::Connecting, Stage::Handshaking, Stage::Greeting]
    );
}

#[tokio::test]
async fn a_second_connection_to_an_https_hop_resumes_the_tls_session_of_the_first() {
    let world = ExternalCa::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let via = hop(HopKind::Https, listener.local_addr().unwrap(), false);
    let acceptor = tokio_rustls::TlsAcceptor::from(world.server(&["127.0.0.1"], |_| {}));
    let connector = Connector::new(&world.roots(), []).unwrap();
    let target = Target::parse("hf.co:443", None).unwrap();
    let route = route();
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let serve = async {
            let (socket, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(socket).await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nx").await.unwrap();
            (stream.get_ref().1.handshake_kind().unwrap(), stream)
        };
        let dial = async {
            let dialled = dial_with(&connector, &via, (&target, Scheme::Https), &route).await;
            let mut connection = dialled.0.unwrap();
            read(&mut connection, 1).await;
        };
        let ((kind, _stream), ()) = tokio::join!(serve, dial);
        kinds.push(kind);
    }
    use rustls::HandshakeKind::{Full, Resumed};
    assert_eq!(kinds, [Full, Resumed]);
}

#[tokio::test]
async fn plain_http_goes_to_the_hop_in_absolute_form() {
    let peer = play(vec![vec![HopBehaviour::Stay]]).await;
    let via = hop(HopKind::Http, peer.address, true);
    let (result, stages) = dial_as(&via, "hf.co:80", Scheme::Http, &route()).await;
    let absolute = result.unwrap().absolute_form.unwrap();
    let authorization = absolute.authorization.unwrap();
    assert_eq!(authorization, "Basic bWU6aHVudGVyMg==");
    assert!(authorization.is_sensitive());
    assert_eq!(stages, [Stage::Connecting]);
}

#[tokio::test]
async fn an_override_reaches_through_the_hop_for_both_schemes() {
    for scheme in [Scheme::Http, Scheme::Https] {
        let peer = hop_answering("HTTP/1.1 200 OK\r\n\r\n").await;
        let route = overriding("hf.co", &[SocketAddr::from(([127, 0, 0, 1], 8443))]);
        let via = hop(HopKind::Http, peer.address, false);
        let connection = dial_as(&via, "hf.co:443", scheme, &route).await.0.unwrap();
        assert!(connection.absolute_form.is_none());
        assert!(peer.received().starts_with("CONNECT 127.0.0.1:8443 "));
    }
}

#[tokio::test]
async fn the_next_override_follows_one_that_the_hop_cannot_reach() {
    let unreachable = HopBehaviour::Write(
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec(),
    );
    let granted = HopBehaviour::Write(b"HTTP/1.1 200 OK\r\n\r\n".to_vec());
    let scripts = vec![
        vec![HopBehaviour::ReadHead, unreachable],
        vec![HopBehaviour::ReadHead, granted, HopBehaviour::Stay],
    ];
    let peer = play(scripts).await;
    let at = |last| SocketAddr::from(([127, 0, 0, last], 443));
    let route = overriding("hf.co", &[at(3), at(4)]);
    let via = hop(HopKind::Http, peer.address, false);
    tunnel(&via, "hf.co:443", &route).await.unwrap();
    let received = peer.received();
    assert!(received.starts_with("CONNECT 127.0.0.3:443 "), "{received}");
    assert!(received.contains("CONNECT 127.0.0.4:443 "), "{received}");
}

#[tokio::test]
async fn a_refusal_has_status_and_text() {
    let fault = refused("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<b>not from here</b>").await;
    assert_eq!(fault.kind, FaultKind::HopRefused(403));
    assert_eq!(fault.detail.as_deref(), Some("Forbidden; not from here"));
    // The announced page does not arrive: the status is reported all the same.
    let fault = refused(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\n",
    )
    .await;
    assert_eq!(fault.kind, FaultKind::HopRefused(502));
    assert_eq!(fault.detail.as_deref(), Some("Bad Gateway"));
}

#[tokio::test]
async fn a_password_quoted_by_the_hops_page_is_masked() {
    let peer = hop_answering(
        "HTTP/1.1 403 Bad hunter2\r\nContent-Type: text/plain\r\nContent-Length: 44\r\n\r\nBasic bWU6aHVudGVyMg== is me with hunter2 ..",
    )
    .await;
    let fault = err(tunnel(
        &hop(HopKind::Http, peer.address, true),
        "hf.co:443",
        &route(),
    )
    .await);
    assert_eq!(
        fault.detail.as_deref(),
        Some("Bad ***; Basic *** is me with *** ..")
    );
}

#[tokio::test]
async fn a_407_with_ntlm_only_is_another_scheme() {
    let fault = refused("HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n\r\n").await;
    assert_eq!(
        fault.kind,
        FaultKind::HopAuthentication(HopLogin::OtherScheme)
    );
    assert!(fault.detail.unwrap().contains("only NTLM"));
}

#[tokio::test]
async fn a_response_that_is_not_http_is_a_bad_answer_with_its_text() {
    let fault = refused("220 mail.example ESMTP\r\n").await;
    assert_eq!(fault.kind, FaultKind::BadAnswer);
    assert!(fault.detail.unwrap().contains("220 mail.example"));
    let fault = refused("\x15\x03\x01\0\x02\x02(").await;
    assert!(fault.detail.unwrap().contains("https://"));
}

#[tokio::test]
async fn a_head_without_an_end_is_a_bad_answer() {
    let endless = "X-Filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(90);
    let interim = format!("HTTP/1.1 103 Hints\r\n{endless}\r\n").repeat(30);
    assert_eq!(refused(&interim).await.kind, FaultKind::BadAnswer);
}

#[tokio::test]
async fn hops_that_close_reset_or_stay_silent_have_different_faults() {
    let mut impatient = route();
    impatient.dial.greet_timeout = Duration::from_millis(50);
    for (end, kind) in [
        (vec![], FaultKind::TargetRefused),
        (
            vec![HopBehaviour::Write("HTTP/1.1 20".into())],
            FaultKind::ClosedEarly,
        ),
        (vec![HopBehaviour::Reset], FaultKind::TargetRefused),
        (vec![HopBehaviour::Stay], FaultKind::TimedOut),
    ] {
        let mut script = vec![HopBehaviour::ReadHead];
        script.extend(end);
        let peer = play(vec![script]).await;
        let route = if kind == FaultKind::TimedOut {
            &impatient
        } else {
            &route()
        };
        let fault = err(tunnel(&hop(HopKind::Http, peer.address, false), "hf.co:443", route).await);
        assert_eq!(
            (fault.leg, fault.stage, &fault.kind),
            (Leg::Hop, Stage::Greeting, &kind)
        );
        assert_eq!(fault.peer, Some(peer.address.to_string().into()));
    }
}

/// Detecting such a hop's protocol took four seconds, and the fault then wrongly said that the hop forbids the host.
#[tokio::test]
async fn a_reset_after_an_earlier_grant_is_a_reset_and_not_a_refusal() {
    let grants = || {
        vec![
            HopBehaviour::ReadHead,
            HopBehaviour::Write("HTTP/1.1 200 OK\r\n\r\n".into()),
        ]
    };
    grants_and_then_breaks(HopKind::Http, grants, || vec![HopBehaviour::ReadHead]).await;
}

#[tokio::test]
async fn a_closed_port_of_a_hop_is_a_refusal_on_the_hops_leg() {
    let (_reserved, closed) = closed_port();
    let via = hop(HopKind::Http, closed, false);
    let fault = err(tunnel(&via, "hf.co:443", &route()).await);
    assert_eq!(fault.code(), "hop/connecting/refused");
}

#[tokio::test]
async fn a_socks_server_behind_an_http_url_is_detected() {
    let hangs_up = vec![HopBehaviour::ReadHead];
    let chooses = vec![HopBehaviour::Read(3), HopBehaviour::Write(vec![5, 0])];
    // HTTP is probed twice more.
    let peer = play(vec![hangs_up.clone(), hangs_up.clone(), hangs_up, chooses]).await;
    let via = hop(HopKind::Http, peer.address, false);
    let fault = err(tunnel(&via, "hf.co:443", &route()).await);
    assert_eq!(fault.code(), "hop/greeting/bad-answer");
    assert!(fault.detail.unwrap().contains("socks5h://"));
}

#[tokio::test]
async fn a_tls_server_behind_an_http_url_is_detected() {
    let hangs_up = vec![HopBehaviour::ReadHead];
    let no_socks = vec![HopBehaviour::Read(3)];
    let alert = vec![
        HopBehaviour::Read(10),
        HopBehaviour::Write(b"\x15\x03\x03\0\x02\x02\x32".to_vec()),
    ];
    let peer = play(vec![
        hangs_up.clone(),
        hangs_up.clone(),
        hangs_up,
        no_socks,
        alert,
    ])
    .await;
    let via = hop(HopKind::Http, peer.address, false);
    let fault = err(tunnel(&via, "hf.co:443", &route()).await);
    assert_eq!(fault.code(), "hop/greeting/bad-answer");
    assert!(fault.detail.unwrap().contains("https://"));
}

#[tokio::test]
async fn a_server_of_http_and_socks_behind_an_http_url_has_refused_the_target() {
    let hangs_up = vec![HopBehaviour::ReadHead];
    let itself = vec![
        HopBehaviour::ReadHead,
        HopBehaviour::Write(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
    ];
    let peer = play(vec![hangs_up.clone(), hangs_up, itself]).await;
    let via = hop(HopKind::Http, peer.address, false);
    let fault = err(tunnel(&via, "hf.co:443", &route()).await);
    assert_eq!(fault.code(), "hop/greeting/target-refused");
}

#[tokio::test]
async fn a_405_to_connect_asks_whether_it_is_a_connect_proxy() {
    let fault =
        refused("HTTP/1.1 405 Not Allowed\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(fault.kind, FaultKind::HopRefused(405));
    assert!(fault.detail.unwrap().ends_with("not a CONNECT proxy?"));
}
