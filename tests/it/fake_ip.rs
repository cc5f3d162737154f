//! `[reverse] fake_ip`: names that a local VPN tool answers with a fake address.

use std::{fs, process::Command};

use crate::support::skip::{Need, skipped};

/// A machine of its own: `fake.cdn.test` has a fake address where a server listens, `other.test` has another one, and `inner.cdn.test`
/// is this machine.
const SCRIPT: &str = r#"
set -e
ip link set lo up
ip addr add 198.18.0.7/32 dev lo
printf '198.18.0.7 fake.cdn.test other.test\n127.0.0.1 inner.cdn.test localhost\n' > "$1/hosts"
mount --bind "$1/hosts" /etc/hosts
cd "$1/www"
python3 -m http.server 80 >/dev/null 2>&1 &
"$0" run --config "$1/gitferry.toml" 2>"$1/log" &
ask() { curl -qsS --noproxy '*' --retry 50 --retry-connrefused --retry-delay 0 --max-time 20 -w '|%{http_code}\n' "$1"; }
ask http://198.18.0.7/page >/dev/null
for host in fake.cdn.test other.test inner.cdn.test 198.18.0.7 '[::ffff:198.18.0.7]' 0xc6120007; do
    printf '%s: ' "$host"
    ask "http://127.0.0.1:4483/http:$host:80/page" | tr '\n' ' '
    echo
done
"#;

/// The result for each host; `None`, with a message, where this machine permits no namespace.
fn answers(fake_ip: &str) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::create_dir(path.join("www")).unwrap();
    fs::write(path.join("www/page"), "the page").unwrap();
    let text = format!(
        "[state]\ndirectory = \"state\"\n[built_in]\nroutes = false\n[dial]\nattempts = 1\n\
         [reverse]\nallow = [\"*.cdn.test\", \"0x*\"]\n{fake_ip}\n[other_hosts]\nupstreams = [{{ via = \"direct\" }}]\n"
    );
    fs::write(path.join("gitferry.toml"), text).unwrap();
    let unshare = |arguments: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args([
            "--user",
            "--map-root-user",
            "--mount",
            "--net",
            "--pid",
            "--fork",
            "--kill-child",
        ]);
        unshare.args(arguments).output()
    };
    let can = unshare(&[
        "sh",
        "-c",
        "ip link set lo up && curl --version && python3 --version",
    ]);
    if !can.is_ok_and(|output| output.status.success()) {
        skipped(
            Need::Namespaces,
            "a network namespace with ip, curl and python3 in it",
        );
        return None;
    }
    let daemon = env!("CARGO_BIN_EXE_gitferry");
    let output = unshare(&["sh", "-c", SCRIPT, daemon, path.to_str().unwrap()]).unwrap();
    let answers = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{answers}{}", String::from_utf8_lossy(&output.stderr));
    Some(answers)
}

fn lines_with<'a>(answers: &'a str, host: &str) -> &'a str {
    let host = format!("{host}: ");
    let line = answers.lines().find(|line| line.starts_with(&host));
    line.unwrap_or_default()
}

#[test]
fn a_fake_address_serves_the_names_of_allow_where_the_config_says_so_and_nothing_else() {
    let Some(without) = answers("") else { return };
    let refused = lines_with(&without, "fake.cdn.test");
    assert!(refused.contains("|403"), "{refused}");
    let Some(with) = answers("fake_ip = [\"198.18.0.0/15\"]") else {
        return;
    };
    assert_eq!(
        lines_with(&with, "fake.cdn.test").trim_end(),
        "fake.cdn.test: the page|200"
    );
    for (host, status) in [
        // No route and no pattern names it.
        ("other.test", 403),
        ("198.18.0.7", 403),
        ("[::ffff:198.18.0.7]", 403),
        // No name, though a pattern covers it as one.
        ("0xc6120007", 400),
        ("inner.cdn.test", 403),
    ] {
        let line = lines_with(&with, host);
        assert!(line.contains(&format!("|{status}")), "{line}");
        assert!(!line.contains("the page"), "{line}");
    }
}
