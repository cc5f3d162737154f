//! Real clients before a running daemon: do they go through it, and trust its CA?

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    run::{Said, command, doctor_by},
    support::{
        client::Work,
        ferry::Ferry,
        hf,
        relay::Relay,
        sshd::Sshd,
        venv,
        world::{MAIN, World},
    },
};

/// What doctor says of clients whose settings are `gitconfig`.
fn said_of(ferry: &Ferry, config: &Path, gitconfig: &str) -> Said {
    let home = config.parent().unwrap();
    let gitconfig = gitconfig
        .replace("PROXY", &ferry.proxy())
        .replace("BUNDLE", &ferry.bundle().display().to_string());
    fs::write(home.join(".gitconfig"), gitconfig).unwrap();
    doctor_by(&mut command(config, &[MAIN]))
}

#[track_caller]
fn client<'s>(said: &'s Said, name: &str) -> &'s Value {
    let checks = said.json["checks"].as_array().unwrap();
    let mut found = checks.iter().filter(|check| {
        check["client"]
            .as_str()
            .is_some_and(|it| it.starts_with(name))
    });
    let found = found.next();
    found.unwrap_or_else(|| panic!("no client {name}: {:#}", said.json))
}

fn world() -> (World, Ferry, std::path::PathBuf) {
    let world = World::new();
    let settings = world.plain_settings();
    let ferry = Ferry::start(&settings);
    // The file says where it listens, as a user's file does.
    let config = settings.write(&ferry.address.to_string());
    (world, ferry, config)
}

#[test]
fn git_and_git_lfs_that_go_through_the_daemon_are_healthy() {
    let (_world, ferry, config) = world();
    let said = said_of(
        &ferry,
        &config,
        "[http]\n\tproxy = PROXY\n\tsslCAInfo = BUNDLE\n",
    );
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
    let git = client(&said, "git 2");
    assert_eq!(git["state"], "ok", "{git}");
    assert!(
        git["client"].as_str().unwrap().contains("(GnuTLS)"),
        "{git}"
    );
    assert_eq!(client(&said, "git-lfs")["state"], "ok", "{:#}", said.json);
    assert!(
        said.verdict("works").contains("use gitferry"),
        "{:#}",
        said.json
    );
    // What the daemon answered itself is no transfer, and no fault.
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

/// curl, Python's and the Hub's clients from PyPI, a second git, and ssh.
fn many_clients(world: &World, ferry: &Ferry, config: &Path) -> std::process::Command {
    let home = config.parent().unwrap();
    let wrappers = world.path("wrappers");
    fs::create_dir_all(&wrappers).unwrap();
    // OpenSSH reads the config of the user's home in the password file, whatever HOME says.
    let ssh = format!(
        "exec /usr/bin/ssh -F {} \"$@\"",
        home.join(".ssh/config").display()
    );
    for (name, line) in [("ssh", ssh.as_str()), ("git", "exec /usr/bin/git \"$@\"")] {
        let file = wrappers.join(name);
        fs::write(&file, format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let python = venv::binaries("doctor", include_str!("requirements.txt"));
    let path = format!(
        "{}:{}:{}:/usr/bin:/bin",
        wrappers.display(),
        python.display(),
        hf::binaries().display()
    );
    let mut doctor = command(config, &[]);
    doctor
        .env("PATH", path)
        .env("HF_ENDPOINT", format!("https://{MAIN}"))
        .env("HTTPS_PROXY", ferry.proxy())
        .env("https_proxy", ferry.proxy());
    doctor
}

/// A daemon, and a repository whose push goes over ssh; git and ssh are set up for the daemon.
fn workplace(world: &World, sshd: &Sshd) -> (Ferry, PathBuf, Work) {
    world.host.repository("model");
    let settings = world
        .settings()
        .route_with_ssh(MAIN, world.host.https, sshd.address);
    let ferry = Ferry::start(&settings);
    let config = settings.write(&ferry.address.to_string());
    let home = config.parent().unwrap();
    let proxy = format!(
        "Host {MAIN}\n ProxyCommand {} connect --config {} --address {} %h:%p\n",
        env!("CARGO_BIN_EXE_gitferry"),
        config.display(),
        ferry.address
    );
    fs::create_dir_all(home.join(".ssh")).unwrap();
    fs::write(home.join(".ssh/config"), proxy).unwrap();
    fs::write(
        home.join(".gitconfig"),
        format!(
            "[http]\n\tproxy = {}\n\tsslCAInfo = {}\n",
            ferry.proxy(),
            ferry.bundle().display()
        ),
    )
    .unwrap();
    let work = world
        .git()
        .work(world.path("work"), &format!("https://{MAIN}/model.git"));
    let remote = format!("ssh://git@{MAIN}/model.git");
    work.git(&["remote", "set-url", "--push", "origin", &remote])
        .well();
    (ferry, config, work)
}

#[test]
fn every_installed_client_is_run_with_the_bundle_and_without() {
    let world = World::new();
    let sshd = Sshd::start(&world.path("sshd"));
    let (ferry, config, work) = workplace(&world, &sshd);
    let bundle = ferry.bundle();
    let said = doctor_by(
        many_clients(&world, &ferry, &config)
            .env("SSL_CERT_FILE", &bundle)
            .env("REQUESTS_CA_BUNDLE", &bundle)
            .env("CURL_CA_BUNDLE", &bundle)
            .current_dir(work.path()),
    );
    for name in [
        "git 2",
        "git-lfs",
        "curl",
        "python requests",
        "python httpx",
        "hf",
        "ssh",
    ] {
        assert_eq!(
            client(&said, name)["state"],
            "ok",
            "{name}: {:#}",
            said.json
        );
    }
    let gits = said.json["checks"].as_array().unwrap().iter();
    let gits = gits.filter(|check| {
        check["client"]
            .as_str()
            .is_some_and(|it| it.starts_with("git 2"))
    });
    assert_eq!(gits.count(), 2, "{:#}", said.json);
    // The same clients without the bundle.
    let said = doctor_by(many_clients(&world, &ferry, &config).current_dir(work.path()));
    for name in ["curl", "python requests", "python httpx", "hf"] {
        let client = client(&said, name);
        assert_eq!(client["state"], "failed", "{client}");
        assert_eq!(client["shown"], "does not trust gitferry's CA", "{client}");
    }
    assert_eq!(client(&said, "git 2")["state"], "ok", "{:#}", said.json);
}

#[test]
fn a_client_that_does_not_trust_the_ca_is_named_with_its_set_up() {
    let (_world, ferry, config) = world();
    let said = said_of(&ferry, &config, "[http]\n\tproxy = PROXY\n");
    let broken = said.broken();
    assert!(broken.contains("does not trust gitferry's CA"), "{broken}");
    assert!(
        said.change("command").starts_with("gitferry setup"),
        "{:#}",
        said.json
    );
    assert_eq!(client(&said, "git 2")["state"], "failed");
}

#[test]
fn a_missing_ca_file_is_not_reported_as_bypassing_the_daemon() {
    let (_world, ferry, config) = world();
    let gitconfig = "[http]\n\tproxy = PROXY\n\tsslCAInfo = /nowhere.pem\n";
    let said = said_of(&ferry, &config, gitconfig);
    let git = client(&said, "git 2");
    assert_eq!(git["state"], "failed", "{git}");
    assert_eq!(git["shown"], "cannot read its CA file", "{git}");
    assert_eq!(said.change("command"), "gitferry setup git");
}

#[test]
fn a_client_that_bypasses_the_daemon_is_named_with_the_setup_command() {
    let (_world, ferry, config) = world();
    let said = said_of(&ferry, &config, "");
    assert_eq!(
        client(&said, "git 2")["state"],
        "warning",
        "{:#}",
        said.json
    );
    assert_eq!(said.change("command"), "gitferry setup git");
}

/// Debian's, and one that is linked with another library and has another CA.
#[test]
fn every_git_on_path_is_run_and_named_with_its_tls_library_and_its_path() {
    let (world, ferry, config) = world();
    let bin = |name: &str, text: &str| {
        let directory = world.path(name);
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("git");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        directory.display().to_string()
    };
    // A git that was built with curl's OpenSSL: its helper is linked with what curl is linked with.
    let core = world.path("core");
    fs::create_dir_all(&core).unwrap();
    fs::copy("/usr/bin/curl", core.join("git-remote-https")).unwrap();
    let other = bin(
        "openssl",
        &format!(
            "#!/bin/sh\n[ \"$1\" = --exec-path ] && {{ echo {}; exit; }}\n\
             exec /usr/bin/git -c http.sslCAInfo={} \"$@\"\n",
            core.display(),
            world.ca.pem_file().display()
        ),
    );
    let path = format!("{other}:/usr/bin:/bin");
    let home = config.parent().unwrap();
    let gitconfig = format!(
        "[http]\n\tproxy = {}\n\tsslCAInfo = {}\n",
        ferry.proxy(),
        ferry.bundle().display()
    );
    fs::write(home.join(".gitconfig"), gitconfig).unwrap();
    let said = doctor_by(command(&config, &[MAIN]).env("PATH", path));
    let gits: Vec<&Value> = said.json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| {
            check["client"]
                .as_str()
                .is_some_and(|it| it.starts_with("git 2"))
        })
        .collect();
    let of = |library: &str, place: &str| {
        let name = format!("{library}) {place}");
        let mut found = gits
            .iter()
            .filter(|git| git["client"].as_str().unwrap().ends_with(&name));
        let found = found.next();
        found.unwrap_or_else(|| panic!("no {name}: {gits:#?}"))
    };
    assert_eq!(gits.len(), 2, "{gits:#?}");
    assert_eq!(of("GnuTLS", "/usr/bin/git")["state"], "ok");
    // The one that does not work is named.
    let broken = of("OpenSSL", &format!("{other}/git"));
    assert_eq!(broken["state"], "failed", "{broken}");
    assert!(said.broken().contains("OpenSSL"), "{:#}", said.json);
}

#[test]
fn a_path_with_a_nonce_that_nobody_gave_goes_to_the_origin() {
    let (world, ferry, _) = world();
    let url = format!("https://{MAIN}/.well-known/gitferry/0123456789abcdef0123456789abcdef");
    world.git().curl_by(&ferry, &[&url]);
    ferry.wait_for_transfer(MAIN, |_| true);
    assert!(
        world
            .host
            .https_requests()
            .contains("/.well-known/gitferry/")
    );
}

#[test]
fn contradictory_settings_of_this_machine_are_reported() {
    let (_world, ferry, config) = world();
    let gitconfig = "[http]\n\tproxy = http://other.test:1\n\tproxy = PROXY\n\tsslVerify = false\n";
    let home = config.parent().unwrap();
    let gitconfig = gitconfig.replace("PROXY", &ferry.proxy());
    fs::write(home.join(".gitconfig"), gitconfig).unwrap();
    let said = doctor_by(
        command(&config, &[MAIN])
            .env("GIT_SSL_CAINFO", "/nowhere.pem")
            .env("NO_PROXY", MAIN)
            .env("LD_PRELOAD", ""),
    );
    let machine = |check: &str| {
        let checks = said.json["checks"].as_array().unwrap();
        let mut found = checks
            .iter()
            .filter(|found| found["check"] == check && found["host"].is_null());
        found.next().unwrap()["detail"].to_string()
    };
    let git = machine("git-settings");
    assert!(
        git.contains("sslverify") && git.contains("has 2 values"),
        "{git}"
    );
    let variables = machine("environment");
    assert!(variables.contains("GIT_SSL_CAINFO"), "{variables}");
    assert!(
        variables.contains("NO_PROXY makes clients bypass gitferry"),
        "{variables}"
    );
}

#[test]
fn a_recent_fault_of_the_daemon_is_reported_although_every_check_passes() {
    let world = World::new();
    world.host.repository("once");
    let path = Relay::resets_handshakes(1, world.host.https);
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], path.address);
    let ferry = Ferry::start(&settings);
    let config = settings.write(&ferry.address.to_string());
    let git = world.git_through(&ferry);
    let work = git.work(world.path("work"), &format!("https://{MAIN}/once.git"));
    work.git(&["ls-remote", "origin"]).well();
    ferry.wait_for_fault("origin/handshaking/reset");
    let said = said_of(
        &ferry,
        &config,
        "[http]\n\tproxy = PROXY\n\tsslCAInfo = BUNDLE\n",
    );
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
    let recent = said.verdict("recent");
    assert!(
        recent.contains("a fault with main.test through direct (origin/handshaking/reset)"),
        "{recent}"
    );
    let advice = said.change("sentence");
    assert!(
        advice.contains("if a transfer with main.test fails again"),
        "{:#}",
        said.json
    );
}
