//! Input from this machine and its network: replies of the daemon and of the kernel, pages of a portal, remotes, and pages that quote a
//! password.

use std::{
    io::Write as _,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
};

use gitferry::testing::parsers;

use crate::{fuzz, peer::runtime};

const HTTP: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "HTTP/1.1 ",
    "100 Continue\r\n\r\n",
    "HTTP/1.1 102 x\r\n\r\n",
    "200",
    "101",
    "Content-Length: 5\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Content-Type: text/plain\r\n",
    "Location: http://login.test/?session=hunter2\r\n",
    "\x1b[2J",
    "\0",
    " ",
    ":",
];

#[test]
fn the_reply_to_connect_keeps_every_byte_of_the_tunnel_and_a_refusal_has_no_control_character() {
    const SEEDS: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 502 Bad\r\nProxy-Status: gitferry; error=x\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nno\x1b[2J\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    fuzz(SEEDS, HTTP, |reply, _| {
        let mut client = TcpStream::connect(address).unwrap();
        let (mut daemon, _) = listener.accept().unwrap();
        daemon.write_all(reply).unwrap();
        daemon.shutdown(Shutdown::Write).unwrap();
        match parsers::connect_reply(&mut client) {
            Ok(first) => {
                let head = reply.get(..reply.len() - first.len()).unwrap();
                assert!(head.ends_with(b"\n"));
                // The bytes after the head are the first of the tunnel.
                assert!(reply.ends_with(&first));
            }
            Err(reason) => {
                let obeyed = |c: char| c.is_control() && c != '\n';
                assert!(!reason.chars().any(obeyed), "{reason:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_remote_has_a_rooted_path_a_valid_target_and_a_user_without_password() {
    const SEEDS: &[&[u8]] = &[
        b"https://me:hunter2secret@hf.co:8443/me/model.git?x#y",
        b"git@hf.co:me/model.git",
        b"ssh://git@[::1]:2222/me",
        b"http://127.0.0.1:4483/hf.co/me",
        b"file:///srv/x",
        b"C:/x",
    ];
    const WORDS: &[&str] = &[
        "://",
        "@",
        ":",
        "/",
        "..",
        "%40",
        "?",
        "#",
        "[",
        "]",
        "hunter2secret@",
        "http",
        "\n",
        " ",
    ];
    fuzz(SEEDS, WORDS, |text, _| {
        let Ok(text) = std::str::from_utf8(text) else {
            return Ok(());
        };
        if let Some((_, target, path, user)) = parsers::remote(text) {
            assert!(path.starts_with('/'), "{path}");
            assert_eq!(parsers::target(&target), Some(target.clone()));
            assert!(!target.contains(['@', '/', ' ']), "{target}");
            assert!(user.is_none_or(|user| !user.contains([':', '/'])));
        }
        Ok(())
    });
}

#[test]
fn the_location_of_a_portal_is_shown_without_query_and_control_characters() {
    const SEEDS: &[&[u8]] = &[
        b"HTTP/1.1 302 Found\r\nLocation: http://login.test/?session=hunter2\r\n\r\n",
        b"HTTP/1.0 511 Network Authentication Required\r\n\r\n<html>",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ];
    fuzz(SEEDS, HTTP, |answer, _| {
        if let Some((status, Some(location))) = parsers::portal(answer) {
            assert!((100..1000).contains(&status), "{status}");
            assert!(!location.contains(['?', '#']), "{location}");
            assert!(!location.chars().any(char::is_control), "{location:?}");
        }
        Ok(())
    });
}

#[test]
fn an_answer_of_the_kernel_counts_only_for_the_requested_socket() {
    let local: SocketAddr = "127.0.0.1:40000".parse().unwrap();
    let remote: SocketAddr = "127.0.0.1:4483".parse().unwrap();
    let asked = parsers::socket_question(7, local, remote);
    // As the kernel answers: the header, the ends, and the numbers.
    let mut whole = 88_u32.to_ne_bytes().to_vec();
    whole.extend(&asked[4..16]);
    whole.extend([asked[16], 1, 0, 0]);
    whole.extend(&asked[24..]);
    whole.extend([0; 12]);
    whole.extend(1000_u32.to_ne_bytes());
    whole.extend(99_u32.to_ne_bytes());
    let mut error = 36_u32.to_ne_bytes().to_vec();
    error.extend([2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    error.extend((-2_i32).to_ne_bytes());
    let about = (7, local, remote);
    assert!(matches!(
        parsers::socket_answer(&whole, about),
        Ok(Some((1, _, _)))
    ));
    fuzz(&[&whole, &error, b""], &["\0", "\x07\0\0\0"], |bytes, _| {
        if let Ok(Some(_)) = parsers::socket_answer(bytes, about) {
            assert_eq!(bytes.get(20..56), whole.get(20..56));
            assert_eq!(bytes.get(8..12), Some(&7_u32.to_ne_bytes()[..]));
        }
        Ok(())
    });
}

#[test]
fn a_quoted_password_is_masked_wherever_the_page_is_split() {
    const PASSWORD: &[u8] = b"hunter2secret";
    const ENCODED: &[u8] = b"bWU6aHVudGVyMnNlY3JldA";
    let authorization = b"Basic bWU6aHVudGVyMnNlY3JldA==";
    let seeds: &[&[u8]] = &[
        b"<html>Proxy-Authorization: Basic bWU6aHVudGVyMnNlY3JldA==</html>",
        b"me:hunter2secret",
        b"hunter2secrethunter2secret",
        b"hunter2 secret",
    ];
    let words = [
        "hunter2secret",
        "bWU6aHVudGVyMnNlY3JldA==",
        "me:",
        "hunter2",
        "bWU6",
    ];
    let runtime = runtime();
    fuzz(seeds, &words, |page, u| {
        let mut pieces = Vec::new();
        let mut rest = page;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(u.int_in_range(1..=rest.len().min(40))?);
            pieces.push(piece.to_vec());
            rest = after;
        }
        let shown = runtime.block_on(parsers::without_quotations(authorization, pieces));
        assert_eq!(shown.len(), page.len());
        for secret in [PASSWORD, ENCODED] {
            assert!(!shown.windows(secret.len()).any(|part| part == secret));
        }
        for (shown, written) in shown.iter().zip(page) {
            assert!(shown == written || *shown == b'*');
        }
        Ok(())
    });
}
