//! Advice on the client leg, and how the user takes it.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use super::{base, direct, plain};
use crate::{
    advice::Change,
    scene::{SEEDED, Scene},
    servers::{self, Behaviour},
    support::{
        ca::Flaw,
        client::Git,
        ferry::Ferry,
        process::{Finished, Running, clean_command},
        world::MAIN,
    },
};

pub(super) fn reverse(scene: &Scene, cell: &str, ferry: &Ferry, _: bool) -> Finished {
    let url = format!("{}/main.test/lfs.git", ferry.proxy());
    let git = Git::debian(&scene.place(cell).join("home"));
    git.run(scene.world.root(), &["ls-remote", &url])
}

fn curl_with(scene: &Scene, cell: &str, arguments: &[&str]) -> Finished {
    let mut command: Command = clean_command("/usr/bin/curl", &scene.place(cell));
    command.args(["-sSf", "--max-time", "20"]).args(arguments);
    Running::start(&mut command).finish(Duration::from_secs(30))
}

/// Its own TLS: the CA is the site's where the daemon only tunnels.
pub(super) fn curl(scene: &Scene, cell: &str, ferry: &Ferry, followed: bool) -> Finished {
    own_tls(scene, cell, ferry, followed, &[])
}

/// curl as one asks it for TLS 1.1, which Debian's OpenSSL refuses by default.
pub(super) fn old_curl(scene: &Scene, cell: &str, ferry: &Ferry, followed: bool) -> Finished {
    let old = ["--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0"];
    own_tls(
        scene,
        cell,
        ferry,
        followed,
        if followed { &old } else { &[] },
    )
}

fn own_tls(scene: &Scene, cell: &str, ferry: &Ferry, followed: bool, more: &[&str]) -> Finished {
    let ca = if followed {
        scene.world.ca.pem_file()
    } else {
        ferry.bundle()
    };
    let (proxy, ca) = (ferry.proxy(), ca.to_str().unwrap());
    let arguments = ["-x", &proxy, "--cacert", ca, "https://main.test/"];
    curl_with(scene, cell, &[&arguments, more].concat())
}

fn refs() -> String {
    format!("{SEEDED}/info/refs?service=git-upload-pack")
}

pub(super) fn scheme(scene: &Scene, cell: &str, ferry: &Ferry, followed: bool) -> Finished {
    let scheme = if followed { "http" } else { "socks5h" };
    let proxy = format!("{scheme}://{}", ferry.address);
    let ca = ferry.bundle();
    curl_with(
        scene,
        cell,
        &["-x", &proxy, "--cacert", ca.to_str().unwrap(), &refs()],
    )
}

pub(super) fn named(scene: &Scene, cell: &str, ferry: &Ferry, followed: bool) -> Finished {
    let ca = ferry.bundle();
    let (proxy, refs) = (ferry.proxy(), refs());
    let mut arguments = vec!["-x", &proxy, "--cacert", ca.to_str().unwrap(), &refs];
    if followed {
        arguments.extend(["--proxy-user", "me:planted-password"]);
    }
    curl_with(scene, cell, &arguments)
}

/// The command's output, as the user would paste it.
pub(super) fn bundle(scene: &Scene, cell: &str, ferry: &Ferry, followed: bool) -> Finished {
    let proxy = ferry.proxy();
    if !followed {
        return curl_with(scene, cell, &["-x", &proxy, &refs()]);
    }
    let mut command = clean_command(env!("CARGO_BIN_EXE_gitferry"), &scene.place(cell));
    command
        .arg("--config")
        .arg(ferry.config())
        .args(["ca", "path", "--bundle"]);
    let printed = Running::start(&mut command)
        .finish(Duration::from_secs(20))
        .well();
    curl_with(
        scene,
        cell,
        &["-x", &proxy, "--cacert", printed.stdout.trim(), &refs()],
    )
}

/// The config of the daemon with the port that it has, as a user's file says it.
fn own_config(scene: &Scene, cell: &str, ferry: &Ferry) -> PathBuf {
    let text = fs::read_to_string(ferry.config()).unwrap();
    let file = scene.place(cell).join("own.toml");
    let own = text.replace("127.0.0.1:0", &ferry.address.to_string());
    fs::write(&file, own).unwrap();
    file
}

/// git trusts the CA of a daemon that ran here before; then `gitferry setup all` is run as the advice says.
pub(super) fn older_ca(scene: &Scene, cell: &str, ferry: &Ferry, followed: bool) -> Finished {
    let home = scene.place(cell).join("home");
    let git = Git::debian(&home);
    if !followed {
        let older = Ferry::start(&plain(scene, &format!("{cell}-older")).before).bundle();
        let git = git
            .with("http.proxy", ferry.proxy())
            .with("http.sslCAInfo", older);
        return git.run(scene.world.root(), &["ls-remote", SEEDED]);
    }
    let mut setup = clean_command(env!("CARGO_BIN_EXE_gitferry"), &home);
    setup
        .arg("--config")
        .arg(own_config(scene, cell, ferry))
        .args(["setup", "all"]);
    Running::start(&mut setup)
        .finish(Duration::from_secs(20))
        .well();
    git.run(scene.world.root(), &["ls-remote", SEEDED])
}

/// The site answers any head.
pub(super) fn large_head(scene: &Scene, cell: &str) -> Change {
    let leaf = scene.world.ca.leaf(&[MAIN], Flaw::None);
    let answer = Behaviour::Answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let (at, kept) = servers::origin(leaf.server_config(), answer);
    let settings = || direct(base(scene, cell), Some(at));
    super::change(settings(), settings().listen("max_head = \"1 MiB\""), kept)
}

pub(super) fn with_large_head(scene: &Scene, cell: &str, ferry: &Ferry, _: bool) -> Finished {
    // curl 7.88 itself hangs where such a head goes through TLS, and an argument of a program has at most 128 KiB.
    let url = format!("{}/main.test/", ferry.proxy());
    let header = format!("X-Large: {}", "x".repeat(100_000));
    let mut arguments = ["-H", &header].repeat(4);
    arguments.push(&url);
    curl_with(scene, cell, &arguments)
}
