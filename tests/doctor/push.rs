//! A push, rehearsed in a real repository with real git, before a real git host and an LFS server.

use std::{fs, path::Path};

use crate::{
    run::{Said, command, doctor_by, page, storage_by},
    support::{
        client::Work,
        hop::Hop,
        settings::Settings,
        sshd::Sshd,
        world::{MAIN, STORAGE, World},
    },
};

const USER: &str = "me";
const PASSWORD: &str = "PLANTED-password-of-the-site";

/// A work tree with an LFS file, whose user has `password` stored.
fn work(world: &World, settings: &Settings, password: Option<&str>) -> Work {
    world.host.repository("model");
    let work = world
        .git()
        .work(world.path("work"), &format!("https://{MAIN}/model.git"));
    work.track_lfs();
    work.commit("model.bin", 5000);
    let home = settings.write("127.0.0.1:0");
    let home = home.parent().unwrap();
    fs::write(home.join(".gitconfig"), "[credential]\n\thelper = store\n").unwrap();
    if let Some(password) = password {
        let line = format!("https://{USER}:{password}@{MAIN}\n");
        fs::write(home.join(".git-credentials"), line).unwrap();
    }
    work
}

fn rehearse(settings: &Settings, work: &Path) -> Said {
    let config = settings.write("127.0.0.1:0");
    doctor_by(command(&config, &[]).current_dir(work))
}

/// Nothing was uploaded, and nothing secret was said.
fn nothing_happened(world: &World, said: &Said) {
    assert_eq!(world.lfs.seen("PUT"), 0);
    assert!(world.lfs.objects().is_empty());
    let all = format!("{}{}", said.finished.stdout, said.finished.stderr);
    assert!(!all.contains("PLANTED"), "{all}");
}

#[test]
fn a_push_is_rehearsed_and_the_storage_is_learned_from_the_lfs_api() {
    let world = World::with_account(Some((USER, PASSWORD)));
    let settings = world.plain_settings();
    let work = work(&world, &settings, Some(PASSWORD));
    let said = rehearse(&settings, work.path());
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
    assert_eq!(said.check(MAIN, "direct", "refs")["shown"], "push allowed");
    let batch = said.check(MAIN, "direct", "lfs-batch");
    assert!(
        batch["shown"].as_str().unwrap().contains(STORAGE),
        "{batch}"
    );
    // Nobody named the storage but the LFS API.
    assert_eq!(said.state(STORAGE, "direct", "post-256k"), "ok");
    let works = said.verdict("works");
    assert!(works.contains("a push to main.test is allowed"), "{works}");
    nothing_happened(&world, &said);
}

#[test]
fn a_directory_that_is_no_repository_is_answered_with_what_to_do() {
    let world = World::new();
    let config = world.settings().write("127.0.0.1:0");
    let told = page(&config, &["."], world.root());
    assert_eq!(told.status.code(), Some(2), "{told}");
    let hint = "hint: change into a clone, or name a host: `gitferry doctor huggingface.co`";
    assert!(told.stderr.contains(hint), "{told}");
}

#[test]
fn a_storage_that_the_hop_refuses_is_found_before_the_push_hangs() {
    let world = World::new();
    let hop = Hop::answers_403();
    let settings = storage_by(&world, &hop, &["office"]);
    let work = work(&world, &settings, None);
    let said = rehearse(&settings, work.path());
    let broken = said.broken();
    assert!(
        broken.contains("storage.test (storage) fails through office"),
        "{broken}"
    );
    assert!(
        said.verdict("works")
            .contains("a push to main.test is allowed")
    );
    // `direct` is a way that another route uses.
    assert!(
        said.change("toml").contains("{ via = \"direct\" }"),
        "{:#}",
        said.json
    );
    nothing_happened(&world, &said);
}

#[test]
fn a_wrong_token_is_named_and_stays_stored() {
    let world = World::with_account(Some((USER, PASSWORD)));
    let settings = world.plain_settings();
    let work = work(&world, &settings, Some("PLANTED-old-token"));
    let said = rehearse(&settings, work.path());
    let broken = said.broken();
    assert!(
        broken.contains("does not accept the stored token"),
        "{broken}"
    );
    assert_eq!(
        said.check(MAIN, "direct", "refs")["shown"],
        "not allowed (401)"
    );
    assert!(
        said.change("sentence").contains("new token"),
        "{:#}",
        said.json
    );
    let home = settings.write("127.0.0.1:0");
    let stored = fs::read_to_string(home.parent().unwrap().join(".git-credentials")).unwrap();
    assert!(stored.contains("PLANTED-old-token"), "{stored}");
    nothing_happened(&world, &said);
}

#[test]
fn a_site_that_wants_credentials_that_nobody_stored_is_named_without_a_prompt() {
    let world = World::with_account(Some((USER, PASSWORD)));
    let settings = world.plain_settings();
    let work = work(&world, &settings, None);
    let said = rehearse(&settings, work.path());
    assert_eq!(
        said.check(MAIN, "direct", "refs")["shown"],
        "no credentials (401)"
    );
    assert!(
        said.broken().contains("git has none stored"),
        "{:#}",
        said.json
    );
}

#[test]
fn lfs_over_ssh_is_not_broken_because_doctor_does_not_log_in() {
    let world = World::with_account(Some((USER, PASSWORD)));
    let sshd = Sshd::start(&world.path("sshd"));
    let settings = world
        .settings()
        .route_with_ssh(MAIN, world.host.https, sshd.address);
    let work = work(&world, &settings, None);
    let remote = format!("ssh://{USER}@{MAIN}/model.git");
    work.git(&["remote", "set-url", "origin", &remote]).well();
    let said = rehearse(&settings, work.path());
    assert_eq!(said.finished.status.code(), Some(0), "{:#}", said.json);
    assert_eq!(said.state("main.test:22", "direct", "ssh"), "ok");
    let batch = said.check(MAIN, "direct", "lfs-batch");
    assert_eq!(batch["state"], "not-measured", "{batch}");
    assert_eq!(batch["shown"], "401: needs an ssh token", "{batch}");
    let config = settings.write("127.0.0.1:0");
    let shown = page(&config, &[], work.path()).stdout;
    assert!(
        shown.contains("note: git-lfs runs `git-lfs-authenticate`"),
        "{shown}"
    );
    nothing_happened(&world, &said);
}

#[test]
fn a_mirror_that_gets_no_credentials_gets_no_body_either() {
    let world = World::with_account(Some((USER, PASSWORD)));
    let mirror =
        format!("{{ via = \"direct\", mirror = \"https://{STORAGE}\" }}, {{ via = \"direct\" }}");
    let settings = world.settings().route_as_written(
        MAIN,
        &mirror,
        &[(MAIN, world.host.https), (STORAGE, world.lfs.storage)],
    );
    let work = work(&world, &settings, Some(PASSWORD));
    let said = rehearse(&settings, work.path());
    let label = format!("direct to https://{STORAGE}");
    let checks = said.json["checks"].as_array().unwrap();
    let of_mirror: Vec<_> = checks
        .iter()
        .filter(|check| {
            check["upstream"]
                .as_str()
                .is_some_and(|it| it.contains(STORAGE))
        })
        .collect();
    assert!(!of_mirror.is_empty(), "{label}: {:#}", said.json);
    for check in of_mirror {
        let name = check["check"].as_str().unwrap();
        if name.starts_with("post") || name == "refs" || name == "lfs-batch" {
            assert_eq!(check["state"], "skipped", "{check}");
        }
    }
    assert_eq!(said.check(MAIN, "direct", "refs")["shown"], "push allowed");
    assert_eq!(world.lfs.seen("POST"), 0);
}

#[test]
fn the_page_fits_a_terminal_and_apply_makes_the_change_with_a_backup() {
    let world = World::new();
    let hop = Hop::answers_403();
    let settings = storage_by(&world, &hop, &["office", "direct"]);
    let work = work(&world, &settings, None);
    let config = settings.write("127.0.0.1:0");
    let shown = page(&config, &[], work.path());
    println!("{}", shown.stdout);
    for line in shown.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert_eq!(shown.status.code(), Some(1), "{shown}");
    assert!(shown.stdout.contains("\nworks   "), "{shown}");
    assert!(
        shown
            .stdout
            .contains("\nbroken  storage.test (storage) fails through office"),
        "{shown}"
    );
    // A line for each check where nobody watches.
    assert!(
        shown.stderr.contains("storage.test via office: hop failed"),
        "{shown}"
    );

    let before = fs::read_to_string(&config).unwrap();
    let applied = page(&config, &["--apply"], work.path());
    let after = fs::read_to_string(&config).unwrap();
    assert!(
        applied
            .stdout
            .contains("+ upstreams = [{ via = \"direct\" }, { via = \"office\" }]"),
        "{applied}"
    );
    assert!(
        after.contains("upstreams = [{ via = \"direct\" }, { via = \"office\" }]"),
        "{after}"
    );
    let backup = config.with_file_name("gitferry.toml.bak");
    assert_eq!(fs::read_to_string(backup).unwrap(), before);
}

#[test]
fn a_bundle_is_for_its_owner_alone_and_has_no_names_of_the_users_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::with_account(Some((USER, PASSWORD)));
    let settings = world.plain_settings();
    let work = work(&world, &settings, Some(PASSWORD));
    let config = settings.write("127.0.0.1:0");
    let file = world.path("bundle.json");
    let name = file.to_str().unwrap();
    let shown = page(&config, &["--bundle", name], work.path());
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        shown.stdout.contains(&text),
        "printed before it is written: {shown}"
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    for secret in [
        MAIN,
        STORAGE,
        USER,
        "PLANTED",
        "model",
        world.root().to_str().unwrap(),
    ] {
        let quoted = format!("\"{secret}\"");
        assert!(
            !text.contains(&quoted) && (secret.len() < 5 || !text.contains(secret)),
            "{secret} in {text}"
        );
    }
    assert!(
        text.contains("host-1") && text.contains("push allowed"),
        "{text}"
    );
    page(&config, &["--bundle", name, "--with-names"], work.path());
    assert!(fs::read_to_string(&file).unwrap().contains(STORAGE));
}
