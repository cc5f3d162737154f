//! git over ssh by `gitferry connect`, with the LFS objects over HTTPS beside it.

use crate::support::{
    client::write_noise,
    ferry::Ferry,
    sshd::Sshd,
    world::{MAIN, STORAGE, World},
};

fn pushes_by_ssh(upstream: &str) {
    let world = World::new();
    let sshd = Sshd::start(&world.path("sshd"));
    let hop = world.hop("http");
    let settings = world.plain_settings().hop("office", &hop.url).route(
        "ssh.test",
        "tunnel",
        &[upstream],
        sshd.address,
    );
    let ferry = Ferry::start(&settings);
    let repository = world.host.repository("ssh");
    let command = format!(
        "-o ProxyCommand='{} connect --config {} --address {} %h:%p'",
        env!("CARGO_BIN_EXE_gitferry"),
        ferry.config().display(),
        ferry.address
    );
    let git = world
        .git_through(&ferry)
        .with_variable("GIT_SSH_COMMAND", &sshd.client("ssh.test", &command))
        .with("lfs.url", format!("https://{MAIN}/ssh.git/info/lfs"));
    let url = format!("ssh://{}@ssh.test{}", sshd.user, repository.display());
    let work = git.work(world.path("work"), &url);
    work.track_lfs();
    write_noise(&work.path().join("large.bin"), 3_000_000);
    let pushed = work.commit("small", 500_000);
    work.git(&["push", "-q", "origin", "main"]).well();

    assert_eq!(git.tip_of(&repository), pushed);
    assert_eq!(world.lfs.objects().len(), 1);
    let copy = git.clone_to(world.path("copy"), &url);
    assert_eq!(copy.hash("HEAD"), pushed);
    for name in ["large.bin", "small"] {
        let both = [&work, &copy].map(|tree| std::fs::read(tree.path().join(name)).unwrap());
        assert!(both[0] == both[1], "{name} arrived changed");
    }
    ferry.wait_for_transfer("ssh.test", |event| {
        event["upstream"] == upstream && event["front"] == "tunnel"
    });
    ferry.wait_for_transfer(STORAGE, |event| event["method"] == "PUT");
    assert_eq!(ferry.fault_codes(), Vec::<String>::new());
}

#[test]
fn a_push_over_ssh_goes_by_gitferry_connect_with_its_objects_over_https() {
    pushes_by_ssh("direct");
}

#[test]
fn a_push_over_ssh_goes_through_an_http_hop() {
    pushes_by_ssh("office");
}
