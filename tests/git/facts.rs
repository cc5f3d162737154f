//! What the clients do without gitferry: the facts that it is built on, and the proof that this world is faithful.

use std::net::SocketAddr;

use serde_json::Value;

use crate::support::{
    hop::{PASSWORD, USER},
    lfs::SIGNATURE,
    relay::Relay,
    sshd::Sshd,
    world::{MAIN, STORAGE, World},
};

/// curl's way to bring a name to a port; git has it as `http.curloptResolve`.
fn at(host: &str, address: SocketAddr) -> String {
    format!("{host}:{}:{}", address.port(), address.ip())
}

/// What git prints when `path` to its host breaks.
fn push_over(world: &World, path: &Relay) -> String {
    world.host.repository("facts");
    let git = world
        .git()
        .with("http.sslCAInfo", world.ca.pem_file())
        .with("http.curloptResolve", at(MAIN, path.address));
    let url = format!("https://{MAIN}:{}/facts.git", path.address.port());
    let work = git.work(world.path("work"), &url);
    work.commit("file", 1000);
    work.git(&["push", "-q", "origin", "main"]).badly().stderr
}

#[test]
fn git_clones_and_pushes_without_gitferry() {
    let world = World::new();
    world.host.repository("facts");
    let to = world.host.https;
    let git = world
        .git()
        .with("http.sslCAInfo", world.ca.pem_file())
        .with("http.curloptResolve", at(MAIN, to));
    let url = format!("https://{MAIN}:{}/facts.git", to.port());
    let work = git.work(world.path("work"), &url);
    let pushed = work.commit("file", 300_000);
    work.git(&["push", "-q", "origin", "main"]).well();
    let copy = git.clone_to(world.path("copy"), &url);
    assert_eq!(copy.hash("HEAD"), pushed);
}

#[test]
fn three_resets_in_the_handshake_are_the_end_of_a_direct_push() {
    let world = World::new();
    let path = Relay::resets_handshakes(3, world.host.https);
    let said = push_over(&world, &path);
    assert!(
        said.contains("Recv failure: Connection reset by peer"),
        "{said}"
    );
    assert_eq!(path.connections(), 1, "git does not try again");
}

#[test]
fn an_end_of_stream_in_the_handshake_is_the_end_of_a_direct_push() {
    let world = World::new();
    let path = Relay::closes_handshakes(3, world.host.https);
    let said = push_over(&world, &path);
    assert!(
        said.contains("gnutls_handshake() failed: The TLS connection was non-properly terminated."),
        "{said}"
    );
    assert_eq!(path.connections(), 1, "git does not try again");
}

#[test]
fn every_hop_carries_a_push_of_git_alone_when_it_gets_its_credentials() {
    let world = World::new();
    for scheme in ["http", "https", "socks5h"] {
        let hop = world.hop(scheme);
        let name = format!("by-{scheme}");
        let repository = world.host.repository(&name);
        // By address, not by name: microsocks takes the first address of a name alone.
        let url = format!("http://{}/{name}.git", world.host.http);
        let with_credentials = hop.url.replace("://", &format!("://{USER}:{PASSWORD}@"));
        let git = world.git().with("http.proxySSLCAInfo", world.ca.pem_file());
        let work = git.work(world.path(&name), &url);
        let pushed = work.commit("file", 100_000);
        let through = |proxy: &str| git.clone().with("http.proxy", proxy);
        let arguments = ["push", "-q", "origin", "main"];
        through(&hop.url).run(work.path(), &arguments).badly();
        through(&with_credentials)
            .run(work.path(), &arguments)
            .well();
        let tip = git.run(&repository, &["rev-parse", "main"]).well();
        assert_eq!(tip.stdout.trim(), pushed, "{scheme}");
    }
}

#[test]
fn a_push_over_ssh_works_without_gitferry() {
    let world = World::new();
    let sshd = Sshd::start(&world.path("sshd"));
    let repository = world.host.repository("facts");
    let direct = format!("-o HostName=127.0.0.1 -o Port={}", sshd.address.port());
    let git = world
        .git()
        .with_variable("GIT_SSH_COMMAND", &sshd.client("ssh.test", &direct));
    let url = format!("ssh://{}@ssh.test{}", sshd.user, repository.display());
    let work = git.work(world.path("work"), &url);
    let pushed = work.commit("file", 100_000);
    work.git(&["push", "-q", "origin", "main"]).well();
    assert_eq!(git.tip_of(&repository), pushed);
}

#[test]
fn the_lfs_server_takes_an_object_by_its_signed_address_and_not_without() {
    let world = World::new();
    let git = world.git();
    let ca = world.ca.pem_file();
    let (main, storage) = (world.host.https, world.lfs.storage);
    let to_main = format!("{MAIN}:443:{}", main.ip());
    let curl = |arguments: &[&str]| {
        // Port 443 of the names is what the batch answers say; curl maps it to the ports of this world.
        let connect = format!("{MAIN}:443:{main}");
        let connect_storage = format!("{STORAGE}:443:{storage}");
        let mut all = vec!["--cacert", ca.to_str().unwrap(), "--connect-to", &connect];
        all.extend(["--connect-to", &connect_storage, "--resolve", &to_main]);
        all.extend(arguments);
        git.curl(&all).well().stdout
    };
    let oid = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let ask = format!(r#"{{"operation":"upload","objects":[{{"oid":"{oid}","size":5}}]}}"#);
    let batch = curl(&[
        "-d",
        &ask,
        &format!("https://{MAIN}/x.git/info/lfs/objects/batch"),
    ]);
    let batch: Value = serde_json::from_str(&batch).unwrap();
    let href = batch["objects"][0]["actions"]["upload"]["href"]
        .as_str()
        .unwrap();
    let put = [
        "-w",
        "%{http_code}",
        "-o",
        "/dev/null",
        "-X",
        "PUT",
        "-d",
        "hello",
    ];
    let unsigned = href.replace(SIGNATURE, "other");
    assert_eq!(curl(&[&put[..], &[&unsigned]].concat()), "403");
    let chunked = [&put[..], &["-H", "Transfer-Encoding: chunked", href]].concat();
    assert_eq!(curl(&chunked), "501");
    assert!(world.lfs.objects().is_empty());
    assert_eq!(curl(&[&put[..], &[href]].concat()), "200");
    assert_eq!(curl(&[href]), "hello");
    assert_eq!(world.lfs.objects(), [oid]);
}
