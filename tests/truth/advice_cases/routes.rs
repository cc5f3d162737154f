//! Advice about HTTP/2, mirrors and loops.

use std::time::Duration;

use super::{base, change, direct};
use crate::{
    advice::{Change, git},
    scene::Scene,
    servers,
    support::{
        ca::Flaw,
        ferry::{Ferry, SOON},
        git_host::{GitHost, Manners},
        mirror::MIRROR,
        process::{Finished, Running, clean_command, wait_until},
        settings::Settings,
        world::MAIN,
    },
};

/// A site that resets every stream of HTTP/2, on a route that was changed to offer it.
pub(super) fn broken_http2(scene: &Scene, cell: &str) -> Change {
    let config = scene.world.ca.leaf(&[MAIN], Flaw::None).server_config();
    let (at, kept) = servers::resets_http2(config, scene.world.host.http);
    let by = |version: &str| {
        let settings = direct(base(scene, cell), Some(at));
        settings.route_line(&format!("http = \"{version}\""))
    };
    change(by("2"), by("1.1"), kept)
}

/// A mirror before a private repository, and what becomes of its upstream.
fn private(scene: &Scene, cell: &str, after: &str) -> Change {
    let leaf = scene.world.ca.leaf(&[MAIN, MIRROR], Flaw::None);
    let files = scene.world.ca.files(cell, &leaf);
    let manners = Manners {
        account: Some(("me", "planted-password")),
        ..Manners::default()
    };
    let host = GitHost::start(scene.place(cell).join("host"), &files, manners);
    host.repository("private");
    let at = host.https;
    let mirror = format!("via = \"direct\", mirror = \"https://{MIRROR}\"");
    let by = |upstreams: &str| {
        let upstreams = upstreams.replace("MIRROR", &mirror);
        base(scene, cell).route_as_written(MAIN, &upstreams, &[(MIRROR, at), (MAIN, at)])
    };
    change(by("{ MIRROR }"), by(after), host)
}

pub(super) fn trusted_mirror(scene: &Scene, cell: &str) -> Change {
    private(scene, cell, "{ MIRROR, credentials = \"pass\" }")
}

pub(super) fn mirror_before_the_site(scene: &Scene, cell: &str) -> Change {
    private(scene, cell, "{ MIRROR }, { via = \"direct\" }")
}

/// git has the password of the repository.
pub(super) fn with_password(scene: &Scene, cell: &str, ferry: &Ferry, _: bool) -> Finished {
    let url = format!("https://me:planted-password@{MAIN}/private.git");
    let git = scene.git(cell, ferry);
    git.run(scene.world.root(), &["ls-remote", &url])
}

/// The main site by its name through a hop.
fn by_hop(scene: &Scene, cell: &str, tls: &str, hop: &str) -> Settings {
    let settings = base(scene, cell).hop_without_credentials("office", hop);
    settings.route_to(MAIN, tls, &["office"], None)
}

/// git through this daemon, whose hop is another gitferry, whose hop is this one until it is corrected.
pub(super) fn through_another(
    scene: &Scene,
    cell: &str,
    ferry: &Ferry,
    followed: bool,
) -> Finished {
    let place = format!("{cell}-other-{followed}");
    let other = Ferry::start(&match followed {
        false => by_hop(scene, &place, "tunnel", &ferry.proxy()),
        true => base(scene, &place).route(MAIN, "tunnel", &["direct"], scene.world.host.https),
    });
    ferry.reload(&by_hop(scene, cell, "terminate", &other.proxy()));
    let reloaded = wait_until(SOON, || !ferry.events("config reloaded").is_empty());
    assert!(reloaded, "{}", ferry.log());
    if !followed {
        let shown = check(scene, cell, &other);
        assert!(shown.stdout.contains(&ferry.proxy()), "{shown}");
    }
    git(scene, cell, ferry, followed)
}

/// `gitferry check` of a daemon's config.
fn check(scene: &Scene, cell: &str, ferry: &Ferry) -> Finished {
    let mut command = clean_command(env!("CARGO_BIN_EXE_gitferry"), &scene.place(cell));
    command.arg("check").arg(ferry.config());
    Running::start(&mut command)
        .finish(Duration::from_secs(20))
        .well()
}
