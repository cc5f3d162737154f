//! What doctor says of this machine: the daemon, its CA, clock, disk, and settings that contradict each other.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    run::{Said, command, doctor_by, page},
    support::{
        background::Background,
        ca::{Flaw, TestCa},
        ferry::{Ferry, SOON},
        process::{ClosedPort, Running, clean_command, wait_until},
        relay::Relay,
        settings::Settings,
        world::{MAIN, World},
    },
};

/// By Debian's package faketime.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// A check of this machine.
#[track_caller]
fn machine<'s>(said: &'s Said, name: &str) -> &'s Value {
    let checks = said.json["checks"].as_array().unwrap();
    let mut found = checks
        .iter()
        .filter(|found| found["check"] == name && found["host"].is_null());
    let found = found.next();
    found.unwrap_or_else(|| panic!("no check {name}: {:#}", said.json))
}

fn detail(said: &Said, name: &str) -> String {
    machine(said, name)["detail"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The config of a user who does what `settings` say, with the daemon at `ferry`.
fn config_of(settings: &Settings, ferry: &Ferry) -> PathBuf {
    settings.write(&ferry.address.to_string())
}

#[test]
fn a_daemon_that_clients_need_and_that_does_not_run_is_the_first_thing_to_change() {
    let world = World::new();
    let port = ClosedPort::new();
    let address = port.address;
    let config = world.plain_settings().write(&address.to_string());
    let home = config.parent().unwrap();
    fs::write(
        home.join(".gitconfig"),
        format!("[http]\n\tproxy = http://{address}\n"),
    )
    .unwrap();
    let said = doctor_by(&mut command(&config, &[MAIN]));
    let daemon = machine(&said, "daemon");
    assert_eq!(daemon["state"], "failed", "{daemon}");
    assert_eq!(daemon["shown"], "not running", "{daemon}");
    let change = said.change("command");
    assert!(change.contains("gitferry run"), "{:#}", said.json);
    // Nobody needs it: a remark.
    fs::write(home.join(".gitconfig"), "").unwrap();
    let said = doctor_by(&mut command(&config, &[MAIN]));
    assert_eq!(
        machine(&said, "daemon")["state"],
        "warning",
        "{:#}",
        said.json
    );
}

#[test]
fn a_second_state_directory_whose_ca_is_not_the_daemons_is_named() {
    let world = World::new();
    let ferry = Ferry::start(&world.plain_settings());
    let other = world
        .settings_beside()
        .route(MAIN, "terminate", &["direct"], world.host.https);
    // It has a CA of its own since then.
    drop(Ferry::start(&other));
    let config = config_of(&other, &ferry);
    let said = doctor_by(&mut command(&config, &[MAIN]));
    let ca = machine(&said, "ca");
    assert_eq!(
        (ca["state"].as_str(), ca["shown"].as_str()),
        (Some("warning"), Some("two CAs"))
    );
    let detail = detail(&said, "ca");
    assert!(detail.contains("trust the wrong CA"), "{detail}");
    assert!(detail.contains("beside/state"), "{detail}");
}

#[test]
fn a_shell_with_another_proxy_than_the_daemons_is_reported() {
    let world = World::new();
    let settings = world.plain_settings();
    let ferry = Ferry::start(&settings);
    let config = config_of(&settings, &ferry);
    let proxy = "http://me:PLANTED-secret@proxy.test:3128";
    let said = doctor_by(command(&config, &[MAIN]).env("HTTPS_PROXY", proxy));
    let text = detail(&said, "environment");
    assert!(text.contains("proxy.test:3128"), "{text}");
    assert!(
        text.contains("the daemon was started without one"),
        "{text}"
    );
    assert!(!said.finished.stdout.contains("PLANTED"), "{text}");
    drop(ferry);
    let ferry = Ferry::start_with(&settings, &[("HTTPS_PROXY", "http://other.test:8080")]);
    let config = config_of(&settings, &ferry);
    let said = doctor_by(command(&config, &[MAIN]).env("HTTPS_PROXY", proxy));
    let text = detail(&said, "environment");
    assert!(
        text.contains("the daemon's is http://other.test:8080"),
        "{text}"
    );
}

#[test]
fn a_clock_that_is_an_hour_off_is_set_by_the_network() {
    let world = World::new();
    let config = world.plain_settings().write("127.0.0.1:0");
    let said = doctor_by(
        command(&config, &[MAIN])
            .env("LD_PRELOAD", FAKETIME)
            .env("FAKETIME", "+3600s")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    );
    let clock = machine(&said, "clock");
    assert_eq!(clock["state"], "failed", "{clock}");
    assert!(
        detail(&said, "clock").contains("ahead of the clock of a site"),
        "{clock}"
    );
    assert!(
        said.change("command").contains("timedatectl set-ntp true"),
        "{:#}",
        said.json
    );
}

#[test]
fn a_daemon_of_another_version_is_to_be_restarted() {
    let world = World::new();
    let background = Background::new();
    let settings = world.plain_settings();
    // Its address is known only then.
    let file = settings.write("127.0.0.1:0");
    let about = format!(
        "{{\"version\":\"0.0.1\",\"config\":\"{}\",\"state_directory\":\"{}\",\"ca_sha256\":null,\"environment\":{{\"no_proxy\":[]}}}}",
        file.display(),
        world.root().display()
    );
    let daemon = background.serve(move |mut client, _| {
        let answer = format!("HTTP/1.0 200 OK\r\n\r\n{about}");
        async move {
            let mut head = [0; 4096];
            let _ = client.read(&mut head).await;
            let _ = client.write_all(answer.as_bytes()).await;
        }
    });
    let config = settings.write(&daemon.to_string());
    let said = doctor_by(&mut command(&config, &[MAIN]));
    let found = machine(&said, "daemon");
    assert_eq!(found["state"], "warning", "{found}");
    let detail = detail(&said, "daemon");
    assert!(
        detail.contains("the daemon is 0.0.1, this command is "),
        "{detail}"
    );
    assert_eq!(
        said.change("command"),
        "gitferry service restart",
        "{:#}",
        said.json
    );
}

/// A stand-in that knows the user's unit alone.
fn systemctl(world: &World, state: &str) -> String {
    let bin = world.path("bin");
    fs::create_dir_all(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n  '--user is-active gitferry.service') echo {state};;\n  *) echo inactive; exit 3;;\nesac\n"
    );
    let file = bin.join("systemctl");
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display())
}

#[test]
fn the_state_of_the_service_is_shown() {
    let world = World::new();
    let port = ClosedPort::new();
    let settings = world.plain_settings();
    let config = settings.write(&port.address.to_string());
    let path = systemctl(&world, "failed");
    let said = doctor_by(command(&config, &[MAIN]).env("PATH", &path));
    let service = machine(&said, "service");
    assert_eq!(
        (service["state"].as_str(), service["shown"].as_str()),
        (Some("failed"), Some("user service failed")),
        "{service}"
    );
    assert_eq!(
        said.change("command"),
        "gitferry service logs",
        "{:#}",
        said.json
    );
    let ferry = Ferry::start(&settings);
    let config = config_of(&settings, &ferry);
    for (state, shown) in [
        ("active", "user service active"),
        ("inactive", "not a service"),
    ] {
        let path = systemctl(&world, state);
        let said = doctor_by(command(&config, &[MAIN]).env("PATH", &path));
        let service = machine(&said, "service");
        assert_eq!(service["state"], "ok", "{service}");
        assert_eq!(service["shown"], shown, "{service}");
    }
}

#[test]
fn what_the_kernel_does_about_packet_loss_is_shown() {
    let world = World::new();
    let config = world.plain_settings().write("127.0.0.1:0");
    let said = doctor_by(&mut command(&config, &[MAIN]));
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
    let known = read("tcp_available_congestion_control");
    let bbr = match known.split_whitespace().any(|name| name == "bbr") {
        true => "bbr available",
        false => "no bbr",
    };
    let used = read("tcp_congestion_control");
    assert_eq!(
        machine(&said, "tcp-bbr")["shown"],
        format!("{}, {bbr}", used.trim())
    );
}

#[test]
fn a_disk_with_less_room_than_the_spool_may_take_is_a_warning() {
    let world = World::new();
    let settings = world
        .plain_settings()
        .section("[replay]\nspool = \"4000000 GiB\"");
    let said = doctor_by(&mut command(&settings.write("127.0.0.1:0"), &[MAIN]));
    let disk = machine(&said, "disk");
    assert_eq!(disk["state"], "warning", "{disk}");
    assert!(
        detail(&said, "disk").contains("`spool` of `[replay]`"),
        "{disk}"
    );
}

#[test]
fn a_shell_under_proxychains_is_warned_that_git_lfs_bypasses_it() {
    let world = World::new();
    let hop = world.hop("socks5h");
    let config = world.plain_settings().write("127.0.0.1:0");
    let chain = world.path("proxychains.conf");
    let port = hop.url.rsplit(':').next().unwrap();
    fs::write(
        &chain,
        format!(
            "strict_chain\nlocalnet 127.0.0.0/255.0.0.0\n[ProxyList]\nsocks5 127.0.0.1 {port}\n"
        ),
    )
    .unwrap();
    let inner = command(&config, &[MAIN]);
    let home = config.parent().unwrap();
    let mut outer: Command = clean_command("/usr/bin/proxychains4", home);
    outer
        .args(["-q", "-f"])
        .arg(&chain)
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(home);
    let said = doctor_by(&mut outer);
    let found = machine(&said, "proxychains");
    assert_eq!(found["state"], "warning", "{found}");
    assert!(
        detail(&said, "proxychains").contains("not for git-lfs"),
        "{found}"
    );
}

#[test]
fn an_lfs_url_of_another_host_and_a_proxy_of_a_host_of_ours_are_contradictions() {
    let world = World::new();
    let settings = world.plain_settings();
    let ferry = Ferry::start(&settings);
    let config = config_of(&settings, &ferry);
    let home = config.parent().unwrap();
    world.host.repository("odd");
    let work = world
        .git()
        .work(world.path("work"), &format!("https://{MAIN}/odd.git"));
    let set = |key: &str, value: &str| {
        work.git(&["config", key, value]).well();
    };
    set("lfs.url", "https://lfs.elsewhere.test/odd");
    set(&format!("http.https://{MAIN}.proxy"), "http://other.test:1");
    set("http.sslVerify", "false");
    fs::write(
        home.join(".gitconfig"),
        "[http]\n\tproxy = http://a.test:1\n",
    )
    .unwrap();
    work.git(&["config", "http.proxy", "http://b.test:1"])
        .well();
    let said = doctor_by(command(&config, &[]).current_dir(work.path()));
    let git = detail(&said, "git-settings");
    for part in [
        "sslverify",
        "has 2 values",
        "through another proxy than gitferry",
    ] {
        assert!(git.contains(part), "{part} in {git}");
    }
    let page = page(&config, &[], work.path()).stdout;
    let flat = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("`lfs.url` sends LFS files to lfs.elsewhere.test"),
        "{page}"
    );
}

#[test]
fn ctrl_c_prints_what_is_known_so_far() {
    let world = World::new();
    let silent = Relay::silent_handshakes(usize::MAX, world.host.https);
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], silent.address);
    let config = settings.write("127.0.0.1:0");
    let home = config.parent().unwrap();
    let mut doctor = clean_command(env!("CARGO_BIN_EXE_gitferry"), home);
    doctor
        .args(["doctor", "--config"])
        .arg(&config)
        .arg(MAIN)
        .current_dir(home);
    let running = Running::start(&mut doctor);
    assert!(wait_until(SOON, || silent.connections() > 0));
    running.interrupt();
    let ended = running.finish(SOON);
    assert!(ended.stdout.contains("interrupted"), "{ended}");
    assert!(ended.stdout.contains(MAIN), "{ended}");
    assert!(!ended.stdout.contains("broken  nothing"), "{ended}");
}

#[test]
fn apply_changes_neither_trust_nor_exposure() {
    let world = World::new();
    let ca = TestCa::named(world.path("middlebox"), "Office Inspection CA");
    let leaf = ca.files("main", &ca.leaf(&[MAIN], Flaw::None));
    let office = crate::support::git_host::GitHost::start(
        world.path("office"),
        &leaf,
        crate::support::git_host::Manners::default(),
    );
    let settings = world
        .settings()
        .route(MAIN, "terminate", &["direct"], office.https);
    let config = settings.write("127.0.0.1:0");
    let before = fs::read_to_string(&config).unwrap();
    let said = page(&config, &["--apply", MAIN], config.parent().unwrap());
    assert!(said.stdout.contains("extra_roots"), "{said}");
    assert!(
        said.stdout.contains("`--apply` does not make this change"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&config).unwrap(), before);
    assert!(!config.with_file_name("gitferry.toml.bak").exists());
}
