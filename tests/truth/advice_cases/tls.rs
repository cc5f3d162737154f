//! Advice about certificates, clocks and versions of TLS.

use std::{any::Any, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::Path};

use super::{base, bench, change, direct};
use crate::{
    advice::Change,
    programs::http,
    scene::Scene,
    servers::{self, Pauses},
    support::{
        ca::{Flaw, LeafFiles, TestCa},
        world::MAIN,
    },
};

pub(super) fn https_hop(scene: &Scene, cell: &str) -> Change {
    let squid = http::squid_in_tls(&bench(scene, cell));
    let settings = || {
        let settings = base(scene, cell).hop_without_credentials("office", &squid.url);
        settings.route(MAIN, "terminate", &["office"], scene.world.host.https)
    };
    let after = settings().extra_root(squid.root.as_deref().unwrap());
    change(settings(), after, squid)
}

pub(super) fn front(
    scene: &Scene,
    ca: &TestCa,
    flaw: Flaw,
    pauses: Pauses,
) -> (SocketAddr, impl Any) {
    let config = ca.leaf(&[MAIN], flaw).server_config();
    servers::front(config, scene.world.host.http, pauses)
}

pub(super) fn middlebox(scene: &Scene, cell: &str) -> Change {
    let ca = TestCa::named(scene.place(cell).join("ca"), "Office Inspection CA");
    let (at, kept) = front(scene, &ca, Flaw::None, Pauses::default());
    let before = direct(base(scene, cell), Some(at));
    let after = direct(base(scene, cell).extra_root(&ca.pem_file()), Some(at));
    change(before, after, kept)
}

pub(super) fn files(
    scene: &Scene,
    cell: &str,
    flaw: Flaw,
) -> (LeafFiles, crate::support::ca::Leaf) {
    let leaf = scene.world.ca.leaf(&[MAIN], flaw);
    (scene.world.ca.files(cell, &leaf), leaf)
}

pub(super) fn self_signed(scene: &Scene, cell: &str) -> Change {
    let (files, leaf) = files(scene, cell, Flaw::SelfSigned);
    let http = scene.world.host.http;
    let (at, kept) = servers::front(leaf.server_config(), http, Pauses::default());
    let line = format!("roots = [\"{}\"]", files.certificate.display());
    let before = direct(base(scene, cell), Some(at));
    let after = direct(base(scene, cell), Some(at)).route_line(&line);
    change(before, after, kept)
}

/// The right server, with a certificate as it should be.
pub(super) fn renewed(scene: &Scene, cell: &str, flaw: Flaw) -> Change {
    let (at, kept) = front(scene, &scene.world.ca, flaw, Pauses::default());
    let before = direct(base(scene, cell), Some(at));
    let after = direct(base(scene, cell), Some(scene.world.host.https));
    change(before, after, kept)
}

/// By Debian's package faketime (`.ci/install-test-deps`).
pub(crate) const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// The site's certificate is good from 2090 on, and this machine's clock is as late as that once it is set right.
pub(super) fn clock(scene: &Scene, cell: &str) -> Change {
    assert!(
        Path::new(FAKETIME).exists(),
        "run .ci/install-test-deps: no {FAKETIME}"
    );
    let (at, kept) = front(scene, &scene.world.ca, Flaw::NotYetValid, Pauses::default());
    // A daemon with a CA of its own: ours would have expired by then.
    let after = direct(base(scene, &format!("{cell}-after")), Some(at));
    Change {
        variables: vec![
            ("LD_PRELOAD", FAKETIME),
            ("FAKETIME", "@2090-06-01 00:00:00"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ],
        ..change(direct(base(scene, cell), Some(at)), after, kept)
    }
}

pub(super) fn client_certificate(scene: &Scene, cell: &str) -> Change {
    let leaf = scene.world.ca.leaf(&[MAIN], Flaw::None);
    let config = scene.world.ca.verifies_clients(&leaf);
    let http = scene.world.host.http;
    let (at, kept) = servers::front(config, http, Pauses::default());
    let (mine, _) = files(scene, cell, Flaw::None);
    private(&mine.key);
    let lines = format!(
        "client_certificate = \"{}\"\nclient_key = \"{}\"",
        mine.certificate.display(),
        mine.key.display()
    );
    let before = direct(base(scene, cell), Some(at));
    let after = direct(base(scene, cell), Some(at)).route_line(&lines);
    change(before, after, kept)
}

pub(super) fn private(file: &Path) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

pub(super) fn old_tls(scene: &Scene, cell: &str) -> Change {
    let (files, _) = files(scene, cell, Flaw::None);
    let (at, kept) = servers::cbc_only(&scene.place(cell), &files.both);
    let by = |tls| base(scene, cell).route(MAIN, tls, &["direct"], at);
    change(by("terminate"), by("tunnel"), kept)
}

/// A server that chooses TLS 1.1 where another one would refuse.
pub(super) fn tls_1_1(scene: &Scene, cell: &str) -> Change {
    let (files, _) = files(scene, cell, Flaw::None);
    let (origin, server) = servers::legacy(&scene.place(cell), &files.both);
    let (at, front) = servers::chooses_tls_1_1(origin);
    let by = |tls| base(scene, cell).route(MAIN, tls, &["direct"], at);
    change(by("terminate"), by("tunnel"), (front, server))
}
