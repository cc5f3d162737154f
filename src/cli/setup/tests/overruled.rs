//! Settings and variables that override ours cause a warning; `sslVerify` is never changed.

use super::*;

#[test]
fn ssl_verify_that_is_off_causes_a_warning_and_is_not_changed() {
    for git in gits() {
        let mut world = World::new(&git);
        let text = "[http]\n\tsslVerify = false\n[http \"https://hf.co\"]\n\tsslverify = 0\n";
        fs::write(world.home(".gitconfig"), text).unwrap();
        world.set_variable("GIT_SSL_NO_VERIFY", "1");
        let said = world.setup("all --dry-run").ok();
        for name in [
            "http.sslverify is false",
            "http.https://hf.co.sslverify is 0",
            "GIT_SSL_NO_VERIFY",
        ] {
            assert!(said.err.contains(name), "{name}: {}", said.err);
        }
        world.setup("all").ok();
        let after = fs::read_to_string(world.home(".gitconfig")).unwrap();
        assert!(
            after.starts_with("[http]\n\tsslVerify = false\n"),
            "{after}"
        );
        assert_eq!(after.to_lowercase().matches("sslverify").count(), 2);
        world.setup("all --undo").ok();
        let after = fs::read_to_string(world.home(".gitconfig")).unwrap();
        assert_eq!(after, text);
    }
}

#[test]
fn variables_that_override_the_settings_cause_a_warning_with_the_fix() {
    let mut world = World::new(&gits()[0]);
    assert_eq!(world.setup("all").ok().err, "");
    world.set_variable("GIT_SSL_CAINFO", "/etc/ssl/certs/ca-certificates.crt");
    world.set_variable("NO_PROXY", "localhost,.hf.co");
    let said = world.setup("all").ok();
    assert!(said.err.contains("unset GIT_SSL_CAINFO"), "{}", said.err);
    assert!(
        said.err.contains("*.hf.co, *.xethub.hf.co, hf.co: remove"),
        "{}",
        said.err
    );
    // The bundle itself is right, and without a CA neither matters but for tunnelled hosts.
    world.set_variable("GIT_SSL_CAINFO", &world.bundle());
    world.set_variable("NO_PROXY", "localhost");
    assert_eq!(world.setup("all").ok().err, "");
}

#[test]
fn a_setting_that_overrides_ours_causes_a_warning_without_its_password() {
    for git in gits() {
        let mut world = World::new(&git);
        world.git(&["init", "-q", "repo"]);
        world.host.directory = world.home("repo");
        let mine = "http://me:hunter2@other.example:1";
        world.git(&[
            "config",
            "--local",
            "http.https://huggingface.co.proxy",
            mine,
        ]);
        world.git(&[
            "config",
            "--local",
            "url.git@hf.co:.insteadOf",
            "https://hf.co/",
        ]);
        let said = world.setup("git").ok();
        assert!(
            said.err
                .contains("another http.proxy takes precedence for https://huggingface.co/"),
            "{}",
            said.err
        );
        assert!(
            said.err
                .contains("another url.*.insteadOf turns https://hf.co/ into git@hf.co:"),
            "{}",
            said.err
        );
        assert!(!said.err.contains("hunter2"), "{}", said.err);
    }
}

#[test]
fn without_a_readable_bundle_nothing_is_changed() {
    let world = World::new(&gits()[0]);
    fs::remove_file(world.bundle()).unwrap();
    let failure = world.setup("all").result.unwrap_err().to_string();
    assert!(failure.contains("bundle.pem"), "{failure}");
    assert_eq!(world.files(), BTreeMap::new());
}

#[test]
fn without_a_trusted_daemon_only_ssh_is_set_up() {
    let mut world = World::new(&gits()[0]);
    world.host.daemon = |_, address| Err(Failure::new(format!("no daemon answers at {address}")));
    for what in ["git", "lfs", "hf", "all", "all --no-ca", "on"] {
        let failure = world.setup(what).result.unwrap_err().to_string();
        assert!(failure.contains("no daemon answers"), "{what}: {failure}");
        assert_eq!(world.files(), BTreeMap::new());
    }
    // ssh has no CA: it is set up, and the user is told.
    let said = world.setup("ssh").ok();
    assert!(said.err.contains("no daemon answers"), "{}", said.err);
    world.setup("ssh --undo").ok();
    assert_eq!(world.files(), BTreeMap::new());
}

#[test]
fn an_undo_works_with_a_broken_config() {
    let world = World::new(&gits()[0]);
    world.setup("all").ok();
    let args = SetupArgs {
        what: SetupTarget::All,
        undo: true,
        dry_run: false,
        no_ca: false,
        local: false,
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output::new(&mut out, &mut err, false);
    let source = ConfigLoader {
        given: false,
        load: &|| Err(Failure::new("a broken config")),
    };
    perform(&args, &source, &world.host, &mut output).unwrap();
    assert_eq!(world.files(), BTreeMap::new());
}
