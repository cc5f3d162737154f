//! Config files, and the environment.

use gitferry::testing::{DEFAULT, parsers};

use crate::fuzz;

const FILES: &[&[u8]] = &[
    DEFAULT.as_bytes(),
    include_bytes!("../fixtures/config/good/mirrors.toml"),
    include_bytes!("../fixtures/config/good/routes.toml"),
    include_bytes!("../fixtures/config/good/small.toml"),
    include_bytes!("../fixtures/config/bad/hops.toml"),
    include_bytes!("../fixtures/config/bad/routes.toml"),
    include_bytes!("../fixtures/config/bad/values.toml"),
    include_bytes!("../fixtures/config/bad/sections.toml"),
    b"[reverse]\nallow = [\"*.cdn.test\"]\nfake_ip = [\"198.18.0.0/15\"]\n",
    b"[hops]\n\"o\xc3\xa9 \\\"x\" = { url = \"socks5h://[::1]:1080\" }\n[[route]]\nname = \"a\"\nhosts = [\"*.x.test\", \"::1\"]\ntls = \"terminate\"\nupstreams = [{ via = \"direct\", mirror = \"http://m.test:8080/b\" }]\n",
];
const WORDS: &[&str] = &[
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    "\"",
    "'''",
    "\n",
    "#",
    ".",
    "0x10",
    "-1",
    "1e9",
    "true",
    "\"20s\"",
    "\"1 B\"",
    "\"*\"",
    "\"\"",
    "1979-05-27",
    "[[route]]\n",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "a.b.c.d.e.f.g.h = 1\n",
    "\\u0000",
    "\u{e9}",
    "name = \"hf-main\"\n",
    "tls = \"tunnel\"\n",
    "ports = [443]\n",
    "[dial]\n",
];

fn no_variable(name: &str) -> Option<String> {
    (name == "HOME").then(|| "/home/user".to_owned())
}

#[test]
fn a_config_is_refused_at_a_valid_position_or_loads_again_as_printed() {
    let mut read = 0;
    fuzz(FILES, WORDS, |text, _| {
        let text = String::from_utf8_lossy(text);
        match parsers::printed_config(&text, &no_variable) {
            Ok(printed) => {
                read += 1;
                let again = parsers::printed_config(&printed, &no_variable)
                    .unwrap_or_else(|problems| panic!("{printed}\n{problems}"));
                let other = printed
                    .lines()
                    .zip(again.lines())
                    .find(|(one, other)| one != other);
                assert_eq!(other, None);
            }
            Err(problems) => {
                assert!(!problems.0.is_empty());
                for problem in &problems.0 {
                    // A line of 0 is the whole file; the end may be a line of its own.
                    assert!(problem.line <= text.split('\n').count(), "{problem}");
                    let line = text.split('\n').nth(problem.line.saturating_sub(1));
                    let width = line.unwrap_or_default().chars().count();
                    assert!(problem.column <= width + 1, "{problem:?}");
                }
            }
        }
        Ok(())
    });
    assert!(read > 0 || std::env::var("GITFERRY_FUZZ_SEED").is_ok());
}

#[test]
fn any_proxy_variables_are_accepted_and_their_password_is_not_shown() {
    let seeds: &[&[u8]] = &[
        b"http://me:hunter2secret@proxy.test:3128",
        b"socks5h://[::1]:1080/",
        b"proxy.test",
        b".test, *.x.test 10.0.0.0/8,[::1]:80",
    ];
    fuzz(
        seeds,
        &[
            "http://", "@", ":", "/", "%41", "%", "[", "*", ",", " ", "::", "/33",
        ],
        |text, _| {
            let text = String::from_utf8_lossy(text);
            let variable = |name: &str| match name {
                "HOME" => Some("/home/user".to_owned()),
                "no_proxy" if text.contains('@') => None,
                "https_proxy" | "ALL_PROXY" | "no_proxy" => Some(text.clone().into_owned()),
                _ => None,
            };
            let printed = parsers::printed_config("", &variable).unwrap();
            // In a name or a port it would not be a password.
            if text.contains(":hunter2secret@proxy.test") {
                assert!(!printed.contains("hunter2secret"), "{printed}");
            }
            Ok(())
        },
    );
}
