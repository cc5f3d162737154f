//! Requests that are refused, each with its status and code.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{Client, GET, Hop, OK, World, answers_once, origin, route, route_by, soon};

/// The status and the fault's code, as `Proxy-Status` tells it.
async fn refusal(client: &mut Client, request: &str) -> (u16, String) {
    client.send(request).await;
    let head = client.head().await;
    let status = head
        .get(9..12)
        .unwrap_or_default()
        .parse()
        .unwrap_or_default();
    let code = head
        .split("details=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_default();
    (status, code.to_owned())
}

#[tokio::test]
async fn bad_requests_get_a_clear_answer_and_the_daemon_goes_on() {
    let (address, _served) = origin(|connections| async move {
        let mut stream = connections.asked().await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    })
    .await;
    let denied = "[[route]]\nname = \"no\"\nrole = \"other\"\nhosts = [\"no.test\"]\ntls = \"deny\"\nupstreams = []\n";
    let world = World::with(&(route("origin.test", address, "tunnel", "") + denied)).await;
    let own = world.address;
    let huge = "x".repeat(20 * 1024);
    let cases = [
        (
            "CONNECT origin.test HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            400,
            "client/accepted/bad-request",
        ),
        (
            "CONNECT origin.test:0 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            400,
            "client/accepted/bad-request",
        ),
        (
            "CONNECT origin.test:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n".to_owned(),
            400,
            "client/accepted/bad-request",
        ),
        (
            "GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_owned(),
            400,
            "client/accepted/bad-request",
        ),
        (
            "CONNECT unknown.test:25 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            403,
            "client/accepted/denied",
        ),
        (
            "CONNECT no.test:443 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            403,
            "client/accepted/denied",
        ),
        (
            format!("CONNECT {own} HTTP/1.1\r\nHost: x\r\n\r\n"),
            508,
            "client/accepted/loop",
        ),
        (
            format!("GET https://{own}/ HTTP/1.1\r\nHost: x\r\n\r\n"),
            508,
            "client/accepted/loop",
        ),
        (
            format!(
                "GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nVia: 1.1 a, 1.1 {}\r\n\r\n",
                gitferry::testing::pseudonym()
            ),
            508,
            "client/accepted/loop",
        ),
        (
            "GET ftp://origin.test/ HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            400,
            "client/accepted/bad-request",
        ),
        (
            "GET /not.routed.test/x HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            403,
            "client/accepted/denied",
        ),
        (
            "GET /origin.test:80/ HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.test\r\n\r\n"
                .to_owned(),
            403,
            "client/accepted/denied",
        ),
        (
            "GET /origin.test:80/ HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n\r\n"
                .to_owned(),
            403,
            "client/accepted/denied",
        ),
        (
            "GET /-/status HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Site: same-site\r\n\r\n"
                .to_owned(),
            421,
            "",
        ),
        (
            format!("GET http://origin.test/ HTTP/1.1\r\nHost: x\r\nX-Big: {huge}\r\n\r\n"),
            431,
            "client/accepted/too-large",
        ),
        (
            "nonsense\r\n\r\n".to_owned(),
            400,
            "client/accepted/bad-request",
        ),
        (
            "GET /me/model.git/info/refs HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(),
            400,
            "client/accepted/bad-request",
        ),
        (
            "GET /-/status HTTP/1.1\r\nHost: rebound.example\r\n\r\n".to_owned(),
            421,
            "",
        ),
    ];
    for (request, status, code) in cases {
        let mut client = world.client().await;
        let shown = request.get(..request.len().min(80)).unwrap_or_default();
        assert_eq!(
            refusal(&mut client, &request).await,
            (status, code.to_owned()),
            "{shown}"
        );
    }
    let mut client = world.sends(GET).await;
    assert!(
        client
            .read_until("\r\n\r\nok")
            .await
            .starts_with("HTTP/1.1 200")
    );
    world.is_quiet().await;
}

/// What a client says whose proxy setting has another scheme; hyper's own refusals are logged too.
#[tokio::test]
async fn what_is_no_http_is_named() {
    let world = World::with("").await;
    let cases: [(&[u8], &[u8], &str, &str); 5] = [
        (
            b"\x16\x03\x01\x00\x05\x01",
            b"HTTP/1.1 400 ",
            "client/accepted/not-http",
            "a TLS hello",
        ),
        (
            b"\x05\x01\x00",
            b"\x05\xff",
            "client/accepted/not-http",
            "a SOCKS5 greeting",
        ),
        (
            b"\x04\x01\x01\xbb\x7f\x00\x00\x01\x00",
            b"\x00\x5b",
            "client/accepted/not-http",
            "a SOCKS4 request",
        ),
        (
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 400 ",
            "client/accepted/bad-request",
            "invalid",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"",
            "client/accepted/bad-request",
            "HTTP2 preface",
        ),
    ];
    for (said, answer, code, cause) in cases {
        let mut client = world.sends(said).await;
        let answered = client.rest().await;
        assert!(answered.starts_with(answer), "{cause}: {answered:?}");
        let fault = world.next_fault().await;
        assert_eq!(fault.code, code);
        assert!(fault.cause.contains(cause), "{fault:?}");
        assert_eq!(world.next_end().await.result, code, "{cause}");
        if code.ends_with("not-http") {
            let advice = fault.advice.as_deref().unwrap();
            assert!(advice.contains("`http://`"), "{advice}");
        }
    }
}

/// hyper answers these before any service sees them, with an empty body.
#[tokio::test]
async fn a_request_that_cannot_be_read_is_answered_with_the_reason_and_the_key_of_the_limit() {
    let world = World::listening("max_head = \"256 KiB\"", "").await;
    let get =
        |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n");
    let many: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    let pages = get("/-/healthz", "");
    for (request, status, said) in [
        (
            "nonsense\r\n\r\n".to_owned(),
            "400 Bad Request",
            "the request line or a header field is not HTTP/1.1",
        ),
        (get("/a<b", ""), "400 Bad Request", "%3C"),
        (
            get("/", "broken field\r\n"),
            "400 Bad Request",
            "not HTTP/1.1",
        ),
        (
            get(&format!("/{}", "x".repeat(70_000)), ""),
            "414 URI Too Long",
            "65534 bytes",
        ),
        (
            get("/", &format!("X: {}\r\n", "x".repeat(800_000))),
            "431 Request Header Fields Too Large",
            "raise `max_head` of `[listen]`",
        ),
        (
            get("/", &many),
            "431 Request Header Fields Too Large",
            "more than 100 fields",
        ),
        // After a good request on the same connection, and sent together with it.
        (
            format!("{pages}nonsense\r\n\r\n"),
            "400 Bad Request",
            "not HTTP/1.1",
        ),
    ] {
        let mut client = world.sends(&request).await;
        let text = String::from_utf8(client.rest().await).unwrap();
        let first = request
            .starts_with(&pages)
            .then(|| text.find("HTTP/1.1 400").unwrap());
        let (before, text) = text.split_at(first.unwrap_or(0));
        assert!(
            first.is_none() || before.starts_with("HTTP/1.1 200"),
            "{before}"
        );
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{said}: {head}"
        );
        assert!(
            head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
            "{head}"
        );
        assert!(
            body.starts_with("gitferry: ") && body.contains(said),
            "{said}: {body}"
        );
        let fault = world.next_fault().await;
        assert_eq!(fault.leg, "client", "{fault:?}");
        assert!(fault.cause.contains(" with 127.0.0.1:"), "{fault:?}");
        world.next_end().await;
    }
}

/// As it is written where both `HTTP_PROXY` and `HF_ENDPOINT` name the daemon.
#[tokio::test]
async fn a_url_of_the_daemon_in_absolute_form_is_served_as_its_own() {
    let (address, served) = answers_once(OK).await;
    let world = World::in_front_of("origin.test", address).await;
    let own = world.address;
    let mut client = world
        .sends(format!(
            "GET http://{own}/-/healthz HTTP/1.1\r\nHost: {own}\r\n\r\n"
        ))
        .await;
    assert!(client.head().await.starts_with("HTTP/1.1 200"));
    let mut client = world
        .sends(format!(
            "GET http://{own}/origin.test:80/x HTTP/1.1\r\nHost: {own}\r\n\r\n"
        ))
        .await;
    let head = client.head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    // Whoever shows it in a browser after all runs no script in the daemon's origin.
    assert!(
        head.contains("content-security-policy: sandbox\r\n"),
        "{head}"
    );
    assert!(
        head.contains("x-content-type-options: nosniff\r\n"),
        "{head}"
    );
    let asked = served.await.unwrap();
    assert!(asked.starts_with("GET /x HTTP/1.1\r\n"), "{asked}");
}

#[tokio::test]
async fn a_hop_that_asks_for_credentials_in_plain_http_asks_gitferry() {
    let hop = Hop::answers_407();
    let world = World::with(&route_by(&[("office", &hop.url)], "plain.test", "")).await;
    let mut client = world.client().await;
    let request = "GET http://plain.test/ HTTP/1.1\r\nHost: plain.test\r\n\r\n";
    let told = refusal(&mut client, request).await;
    assert_eq!(
        told,
        (502, "hop/awaiting-head/hop-authentication".to_owned())
    );
    world.is_quiet().await;
}

/// What comes to an upload that is answered so, whose rest nobody reads: the kernel resets the connection.
async fn refused_early(status: &'static str, hop: bool) {
    const ROUNDS: usize = 20;
    let (address, served) = origin(move |connections| async move {
        for _ in 0..ROUNDS {
            let mut stream = connections.next().await;
            let mut some = vec![0; 40_000];
            soon("the upload", stream.read_exact(&mut some))
                .await
                .unwrap();
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 7\r\n\r\nrefused");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        // An upload that goes out once more has nowhere to go.
        tokio::time::timeout(std::time::Duration::from_millis(200), connections.next())
            .await
            .is_err()
    })
    .await;
    let mut routes = route("storage.test", address, "tunnel", "replay = true");
    if hop {
        let office = format!("http://{address}");
        routes = route_by(&[("office", &office)], "storage.test", "replay = true");
    }
    let world = World::with(&routes).await;
    for round in 0..ROUNDS {
        let client = world.client().await;
        let (mut from, mut to) = client.0.into_split();
        let writing = tokio::task::spawn(async move {
            let head =
                "PUT http://storage.test/o HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n";
            let _ = to.write_all(head.as_bytes()).await;
            let _ = to.write_all(&vec![7; 3_000_000]).await;
            to
        });
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        soon("the refusal", async {
            while !answer.ends_with(b"refused") {
                match from.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => answer.extend_from_slice(&buffer[..read]),
                }
            }
        })
        .await;
        let answer = String::from_utf8(answer).unwrap();
        let expected = format!("HTTP/1.1 {status}\r\n");
        assert!(answer.starts_with(&expected), "{round}: {answer}");
        assert!(answer.ends_with("refused"), "{round}: {answer}");
        drop(from);
        let _ = soon("the end of the upload", writing).await;
    }
    assert!(soon("the origin", served).await.unwrap(), "sent again");
}

#[tokio::test]
async fn an_upload_that_is_refused_before_it_was_read_goes_out_once_and_its_client_gets_the_refusal()
 {
    for status in ["413 Content Too Large", "403 Forbidden", "401 Unauthorized"] {
        refused_early(status, false).await;
    }
    refused_early("403 Forbidden", true).await;
}
