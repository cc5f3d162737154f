//! Two daemons that are each other's hop: a request ends soon, with a fault that says loop.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use crate::{support::ferry::Ferry, world::Run};

fn free() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap()
}

/// A daemon at `address` whose one way out is the hop at `other`.
fn daemon(directory: &Path, address: SocketAddr, other: SocketAddr, via: bool) -> Ferry {
    let place = directory.join(address.port().to_string());
    fs::create_dir(&place).unwrap();
    let text = format!(
        "[listen]\naddress = \"{address}\"\n[state]\ndirectory = \"state\"\n[log]\nformat = \"json\"\n[built_in]\nroutes = false\n\
         [hops]\nother = {{ url = \"http://{other}\", via = {via} }}\n\
         [other_hosts]\nports = [80, 443]\nupstreams = [{{ via = \"other\" }}]\n\
         [[route]]\nname = \"ended-here\"\nhosts = [\"near.test\"]\ntls = \"terminate\"\nupstreams = [{{ via = \"other\" }}]\n"
    );
    Ferry::run(Run::Binary, &place, &text)
}

fn ask(address: SocketAddr, request: &str) -> (String, Duration) {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    (
        String::from_utf8_lossy(&answer).into_owned(),
        begun.elapsed(),
    )
}

#[test]
fn two_daemons_that_are_each_others_hop_end_soon_and_say_loop_with_via_and_without() {
    for (first_via, second_via) in [(true, true), (true, false), (false, true), (false, false)] {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (free(), free());
        let _a = daemon(directory.path(), first, second, first_via);
        let _b = daemon(directory.path(), second, first, second_via);
        for request in [
            "CONNECT far.test:443 HTTP/1.1\r\nHost: far.test:443\r\nConnection: close\r\n\r\n",
            "GET http://far.test/x HTTP/1.1\r\nHost: far.test\r\nConnection: close\r\n\r\n",
        ] {
            let (answer, took) = ask(first, request);
            let case = format!("{request:?} with via {first_via}, {second_via}: {answer}");
            assert!(answer.starts_with("HTTP/1.1 508"), "{case}");
            assert!(answer.contains("loop"), "{case}");
            assert!(took < Duration::from_secs(10), "{took:?}: {case}");
        }
    }
}

#[test]
fn a_loop_of_what_is_not_tls_on_a_terminated_host_ends_after_one_round() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (free(), free());
    let _a = daemon(directory.path(), first, second, true);
    let _b = daemon(directory.path(), second, first, true);
    let (answer, took) = ask(
        first,
        "CONNECT near.test:443 HTTP/1.1\r\nHost: near.test:443\r\n\r\nSSH-2.0-x\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let (history, _) = ask(
        first,
        "GET /-/api/history HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    );
    let rounds = history.matches("\"host\": \"near.test\"").count();
    // Each attempt of the first tunnel goes round once.
    assert!((2..=6).contains(&rounds), "{rounds}: {history}");
}
