use super::*;

fn response(head: &str) -> ConnectResponse {
    let head = head.replace('\n', "\r\n") + "\r\n\r\n";
    decode(head.as_bytes()).unwrap().unwrap()
}

#[test]
fn a_head_is_decoded_only_when_complete() {
    let reply = b"HTTP/1.1 200  Connection established\r\nProxy-Agent: x\r\n\r\nSSH-2.0-x\r\n";
    let end = reply.len() - 11;
    for cut in 0..end {
        assert_eq!(decode(&reply[..cut]), Ok(None), "{cut}");
    }
    for cut in end..=reply.len() {
        let response = decode(&reply[..cut]).unwrap().unwrap();
        assert_eq!((response.status, response.length), (200, end));
        assert!(response.is_success());
    }
}

#[test]
fn bytes_that_are_not_http_are_malformed() {
    for garbage in [
        &b"\x15\x03\x01\x00\x02\x02\x28"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"\x05\xff",
        b"\0",
    ] {
        assert_eq!(decode(garbage), Err(MalformedHead), "{garbage:?}");
    }
}

#[test]
fn random_bytes_of_a_hop_do_not_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let seeds: [&[u8]; 3] = [
        b"HTTP/1.1 503 x\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n",
        b"ffffffffffffffff\r\n<scr\xc3\r\n0\r\n\r\n<style <!-- &amp;",
        b"4\r\nabcd\r\n0\r\n\r\n",
    ];
    let head = response("HTTP/1.1 503 x\ncontent-type: text/html\ntransfer-encoding: chunked");
    for _ in 0..20_000 {
        let mut bytes = random.choice(seeds).unwrap().to_vec();
        for _ in 0..random.usize(0..6) {
            let at = random.usize(0..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(0..=bytes.len()));
        if let Ok(Some(response)) = decode(&bytes) {
            response.explanation(&bytes[response.length..], str::to_owned);
            response.authentication(HopLogin::Refused);
        }
        head.needs_more_body(&bytes);
        head.explanation(&bytes, str::to_owned);
    }
}

#[test]
fn the_explanation_has_the_text_of_squids_page() {
    let squid = response(
        "HTTP/1.1 403 Forbidden\nContent-Type: text/html;charset=utf-8\nContent-Length: 999\nX-Squid-Error: ERR_ACCESS_DENIED 0",
    );
    let page = "<!DOCTYPE html><html><head><STYLE type=\"text/css\">body { a: b }</STYLE></head>\n<!-- <p>no</p> -->\
                <body><h1>ERROR</h1><p>Access\u{202e}\x1b[31m Denied &amp;c.</p></body></html>";
    assert_eq!(
        squid.explanation(page.as_bytes(), str::to_owned),
        "Forbidden; X-Squid-Error: ERR_ACCESS_DENIED 0; ERROR; Access[31m Denied &c."
    );
    assert!(squid.needs_more_body(page.as_bytes()));
    assert!(!squid.needs_more_body(&[b'x'; 999]));
}

#[test]
fn only_uncompressed_text_is_shown_and_truncated() {
    let plain = response(
        "HTTP/1.1 502 Bad Gateway\nContent-Type: text/plain\nProxy-Status: office; error=dns_error",
    );
    assert_eq!(
        plain.explanation(&[b'x'; 10_000], str::to_owned),
        format!(
            "Bad Gateway; Proxy-Status: office; error=dns_error; {}",
            "x".repeat(300)
        )
    );
    assert!(!plain.needs_more_body(&[b'x'; 32 * 1024]));
    for kind in ["application/json", "text/html\nContent-Encoding: gzip"] {
        let other = response(&format!("HTTP/1.1 503 Busy\nContent-Type: {kind}"));
        assert_eq!(other.explanation(b"{}", str::to_owned), "Busy");
        assert!(!other.needs_more_body(b""));
    }
}

#[test]
fn a_secret_is_masked_before_the_text_is_truncated() {
    let plain =
        response("HTTP/1.1 400 hunter2\nContent-Type: text/plain\nProxy-Status: x; hunter2");
    let body = format!("{}hunter2", "x".repeat(196));
    let text = plain.explanation(body.as_bytes(), |text| text.replace("hunter2", "***"));
    assert!(!text.contains("hunt"), "{text}");
    assert_eq!(text.matches("***").count(), 3);
}

#[test]
fn a_chunked_page_is_shown_without_its_sizes() {
    let head = response("HTTP/1.1 503 \nContent-Type: text/plain\nTransfer-Encoding: chunked");
    let body = b"6\r\nno way\r\n5;x=y\r\n out.\r\n0\r\n\r\n";
    assert_eq!(head.explanation(body, str::to_owned), "no way out.");
    assert!(!head.needs_more_body(body));
    assert!(head.needs_more_body(&body[..12]));
    assert_eq!(head.explanation(&body[..9], str::to_owned), "no way");
}

#[test]
fn a_407_lists_the_schemes_and_the_missing_one() {
    let basic = response(
        "HTTP/1.1 407 x\nProxy-Authenticate: Negotiate\nProxy-Authenticate: Basic realm=\"a, b\", charset=\"UTF-8\"",
    );
    assert_eq!(
        basic.authentication(HopLogin::Missing).1,
        "the hop requires credentials and none are configured; it offers Negotiate, Basic"
    );
    let ntlm = response("HTTP/1.1 407 x\nProxy-Authenticate: Negotiate, NTLM");
    assert_eq!(
        ntlm.authentication(HopLogin::Refused).1,
        "the hop refused the configured credentials; it offers only Negotiate, NTLM, and gitferry speaks only Basic"
    );
    let silent = response("HTTP/1.1 407 x");
    assert_eq!(
        silent.authentication(HopLogin::Refused).1,
        "the hop refused the configured credentials"
    );
}

#[test]
fn the_location_of_a_hops_redirect_is_shown() {
    let portal = response("HTTP/1.1 302 Found\nLocation: http://portal.example/why");
    assert_eq!(
        portal.explanation(b"", str::to_owned),
        "Found; Location: http://portal.example/why"
    );
}

#[test]
fn a_401_to_connect_requests_the_hops_credentials() {
    let tinyproxy = response(
        "HTTP/1.0 401 Unauthorized\nServer: tinyproxy/1.11.1\nWWW-Authenticate: Basic realm=\"Tinyproxy\"",
    );
    assert!(tinyproxy.wants_credentials());
    assert_eq!(
        tinyproxy.authentication(HopLogin::Refused).0,
        HopLogin::Refused
    );
    assert_eq!(
        tinyproxy.authentication(HopLogin::Missing).0,
        HopLogin::Missing
    );
}
