use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    process::Command,
};

use super::*;
use crate::config::HopKind;

fn read(pairs: &'static [(&str, &str)]) -> (Environment, Vec<Problem>) {
    let variables = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    Environment::read(&variables, &["127.0.0.1:4483".parse().unwrap()])
}

fn hop_of<'e>(environment: &'e Environment, scheme: Scheme, target: &str) -> Option<&'e str> {
    environment
        .hop_for(scheme, &Target::parse(target, None).unwrap())
        .map(|hop| &*hop.name)
}

#[test]
fn the_variables_follow_curls_rules() {
    let (environment, warnings) = read(&[
        ("HTTPS_PROXY", "http://me:p%40ss@proxy.test:3128"),
        ("HTTP_PROXY", "http://ignored.test:1"),
        (
            "no_proxy",
            "localhost,.internal.test, 10.0.0.0/8,\texact.test:8443",
        ),
    ]);
    assert_eq!(warnings, []);
    let hop = environment.https.as_ref().unwrap();
    assert_eq!(
        (hop.kind, hop.target.to_string().as_str()),
        (HopKind::Http, "proxy.test:3128")
    );
    assert_eq!(hop.credentials.as_ref().unwrap().password.expose(), "p@ss");
    // Only in lower case: CVE-2016-5385.
    assert_eq!(environment.http, None);
    for (target, hop) in [
        ("hf.co:443", Some("HTTPS_PROXY")),
        ("localhost:443", None),
        ("git.internal.test:443", None),
        ("internal.test:443", None),
        ("notinternal.test:443", Some("HTTPS_PROXY")),
        ("10.1.2.3:443", None),
        ("11.1.2.3:443", Some("HTTPS_PROXY")),
        // curl supports no ports here.
        ("exact.test:8443", Some("HTTPS_PROXY")),
        ("exact.test:443", Some("HTTPS_PROXY")),
    ] {
        assert_eq!(hop_of(&environment, Scheme::Https, target), hop, "{target}");
    }
}

#[test]
fn an_unusable_variable_is_ignored_with_a_warning_and_all_proxy_counts_for_both_schemes() {
    let (environment, warnings) = read(&[
        ("https_proxy", "http://127.0.0.1:4483"),
        ("http_proxy", "gopher://x:1"),
    ]);
    assert_eq!((environment.https, environment.http), (None, None));
    assert_eq!(warnings.len(), 2);
    assert!(
        warnings[0].message.contains("gitferry's own address"),
        "{}",
        warnings[0]
    );
    let (environment, _) = read(&[("ALL_PROXY", "socks5h://127.0.0.1:1080")]);
    assert_eq!(environment.https.as_ref().unwrap().kind, HopKind::Socks5h);
    assert_eq!(environment.http.as_ref().unwrap().kind, HopKind::Socks5h);
}

/// Starts a server that answers every request with `word`. Returns its port.
fn serve(address: &str, word: &'static str) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let length = word.len();
            let response = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{word}"
            );
            let _ = stream.get_mut().write_all(response.as_bytes());
        }
    });
    port
}

const CASES: [(&str, &str, &str); 26] = [
    ("", "", "a.test"),
    ("", "a.test", "a.test"),
    ("b.test", "a.test", "a.test"),
    ("b.test", "a.test", "b.test"),
    ("*", "", "a.test"),
    ("*,b.test", "", "a.test"),
    ("b.test,*", "", "127.0.0.5"),
    ("*", "", "127.0.0.5"),
    ("*.a.test", "", "x.a.test"),
    (".a.test", "", "x.a.test"),
    (".a.test", "", "a.test"),
    ("a.test.", "", "a.test"),
    ("A.Test", "", "x.a.TEST"),
    ("a.test", "", "xa.test"),
    ("b.test c.test\ta.test", "", "a.test"),
    (" , ,,b.test,  a.test , ", "", "x.a.test"),
    ("a.test:80", "", "a.test"),
    ("127.0.0.5", "", "127.0.0.5"),
    ("127.0.0.0/24", "", "127.0.0.5"),
    ("127.0.0.0/30", "", "127.0.0.5"),
    ("127.0.0.4/31", "", "127.0.0.5"),
    ("127.0.0.5/32", "", "127.0.0.5"),
    ("127.0.0.0/0", "", "127.0.0.5"),
    ("127.0.0.0/33", "", "127.0.0.5"),
    ("0.0.5", "", "127.0.0.5"),
    ("127.0.0.0/24x", "", "127.0.0.5"),
];

#[test]
fn no_proxy_covers_the_same_hosts_as_in_the_curl_of_this_machine() {
    if !crate::rt::skip::has_programs(&["curl"]) {
        return;
    }
    let hop = serve("127.0.0.1:0", "hop");
    let direct = serve("0.0.0.0:0", "direct");
    for (lower, upper, host) in CASES {
        let mut curl = Command::new("curl");
        curl.args(["-qsS", "--max-time", "20", "--resolve"])
            .arg(format!("{host}:{direct}:127.0.0.1"))
            .arg(format!("http://{host}:{direct}/"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("http_proxy", format!("http://127.0.0.1:{hop}"))
            .env("no_proxy", lower)
            .env("NO_PROXY", upper);
        let output = curl.output().unwrap();
        let curls = String::from_utf8_lossy(&output.stdout).into_owned();
        let variables = |name: &str| {
            Some(match name {
                "http_proxy" => format!("http://127.0.0.1:{hop}"),
                "no_proxy" => lower.to_owned(),
                "NO_PROXY" => upper.to_owned(),
                _ => return None,
            })
        };
        let (environment, _) = Environment::read(&variables, &[]);
        let target = Target::parse(&format!("{host}:{direct}"), None).unwrap();
        let ours = match environment.hop_for(Scheme::Http, &target) {
            Some(_) => "hop",
            None => "direct",
        };
        assert_eq!(curls, ours, "{lower:?} {upper:?} {host} {output:?}");
    }
}

#[test]
fn the_password_may_come_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "p w\n").unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let read = |file: &str| {
        let variables = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://me@proxy.test:3128".to_owned()),
            "HTTPS_PROXY_PASSWORD_FILE" => Some(file.to_owned()),
            _ => None,
        };
        Environment::read(&variables, &[])
    };
    let (environment, warnings) = read(&path);
    assert_eq!(warnings, []);
    let hop = environment.https.unwrap();
    let credentials = hop.credentials.as_ref().unwrap();
    assert_eq!(
        (credentials.username.as_str(), credentials.password.expose()),
        ("me", "p w")
    );
    let (environment, warnings) = read("/no/such/file");
    assert_eq!(environment.https, None);
    assert!(
        warnings[0].message.contains("/no/such/file"),
        "{}",
        warnings[0]
    );
}
