//! The file of exports, as bytes and as a shell reads it.

use std::process::Command;

use super::*;
use crate::model::secret::{Credentials, Secret};

/// What a shell knows that has read the file, twice.
fn sourced(world: &World, variables: &[(&str, &str)], name: &str) -> String {
    let file = world.home(".config/gitferry/hf.sh");
    let output = Command::new("/bin/sh")
        .args([
            "-euc",
            ". \"$0\"; . \"$0\"; eval \"printf %s \\\"\\${$1-}\\\"\"",
        ])
        .arg(file)
        .arg(name)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_shell_that_reads_the_file_exports_the_proxy_and_the_bundle() {
    let world = World::new(&gits()[0]);
    let said = world.setup("hf").ok();
    assert!(said.out.contains("\n. '"), "{}", said.out);
    for name in ["HTTPS_PROXY", "https_proxy"] {
        assert_eq!(
            sourced(&world, &[("https_proxy", "http://other")], name),
            PROXY
        );
    }
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        assert_eq!(sourced(&world, &[], name), world.bundle());
    }
    assert_eq!(sourced(&world, &[], "HF_ENDPOINT"), "");
}

#[test]
fn no_proxy_gets_the_names_of_this_machine_once() {
    let world = World::new(&gits()[0]);
    world.setup("hf").ok();
    for name in ["NO_PROXY", "no_proxy"] {
        for (before, after) in [
            (&[][..], "127.0.0.1,localhost"),
            (&[("NO_PROXY", "a,b")], "127.0.0.1,localhost,a,b"),
            // The lower-case one is read first by all of them.
            (
                &[("NO_PROXY", "a"), ("no_proxy", "b")],
                "127.0.0.1,localhost,b",
            ),
            (
                &[("NO_PROXY", "a,127.0.0.1,localhost")],
                "a,127.0.0.1,localhost",
            ),
        ] {
            assert_eq!(sourced(&world, before, name), after);
        }
    }
}

#[test]
fn without_the_ca_the_file_exports_only_the_endpoint() {
    let world = World::new(&gits()[0]);
    fs::remove_file(world.bundle()).unwrap();
    world.setup("hf --no-ca").ok();
    let endpoint = format!("{PROXY}/huggingface.co");
    assert_eq!(sourced(&world, &[], "HF_ENDPOINT"), endpoint);
    for name in ["HTTPS_PROXY", "SSL_CERT_FILE"] {
        assert_eq!(sourced(&world, &[], name), "");
    }
    assert!(!Path::new(&world.bundle()).exists(), "a CA was made");
}

#[test]
fn undo_removes_the_file_and_the_directories_that_setup_made() {
    for there in ["", ".config", ".config/gitferry"] {
        let world = World::new(&gits()[0]);
        fs::create_dir_all(world.home(there)).unwrap();
        for arguments in ["hf", "hf --no-ca", "hf"] {
            world.setup(arguments).ok();
        }
        let said = world.setup("hf").ok();
        assert!(said.out.contains("no change"), "{}", said.out);
        world.setup("hf --undo").ok();
        assert_eq!(world.files(), BTreeMap::new());
        assert_eq!(
            world.home(".config/gitferry").exists(),
            there.ends_with("gitferry")
        );
        let said = world.setup("hf --undo").ok();
        assert!(said.out.contains("nothing to undo"), "{}", said.out);
    }
}

#[test]
fn a_dry_run_prints_the_changes_and_makes_none() {
    let world = World::new(&gits()[0]);
    let said = world.setup("hf --dry-run").ok();
    assert!(said.out.contains("export HTTPS_PROXY="), "{}", said.out);
    assert_eq!(world.files(), BTreeMap::new());
    world.setup("hf").ok();
    let before = world.files();
    let said = world.setup("hf --undo --dry-run").ok();
    assert!(said.out.contains("hf.sh: removed"), "{}", said.out);
    assert_eq!(world.files(), before);
}

#[test]
fn a_file_that_another_program_wrote_or_changed_is_kept() {
    let world = World::new(&gits()[0]);
    let file = world.home(".config/gitferry/hf.sh");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "export HF_HOME=/models\n").unwrap();
    let said = world.setup("hf");
    assert!(said.result.is_err());
    world.setup("hf --undo").ok();
    assert_eq!(fs::read(&file).unwrap(), b"export HF_HOME=/models\n");
    fs::remove_file(&file).unwrap();
    world.setup("hf").ok();
    let mut text = fs::read(&file).unwrap();
    text.extend(b"export HF_HOME=/models\n");
    fs::write(&file, &text).unwrap();
    assert!(world.setup("hf --no-ca").result.is_err());
    let said = world.setup("hf --undo").ok();
    assert!(
        said.out.contains("was changed by another program"),
        "{}",
        said.out
    );
    assert_eq!(fs::read(&file).unwrap(), text);
}

fn with_credentials(directory: &Path) -> Config {
    let mut config = config(directory);
    config.listen.credentials = Some(Credentials {
        username: "me@home".into(),
        password: Secret::new("never shown"),
    });
    config
}

#[test]
fn the_daemons_password_is_in_the_file_and_never_printed() {
    let mut world = World::new(&gits()[0]);
    world.config = with_credentials;
    let said = world.setup("hf").ok();
    assert!(!said.out.contains("never shown"), "{}", said.out);
    let dry = world.setup("hf --undo").ok().out + &world.setup("hf --dry-run").ok().out;
    assert!(
        dry.contains("me%40home:***@") && !dry.contains("never%20shown"),
        "{dry}"
    );
    world.setup("hf").ok();
    let proxy = sourced(&world, &[], "HTTPS_PROXY");
    assert_eq!(proxy, "http://me%40home:never%20shown@127.0.0.1:4483");
    // The reverse front asks for them too, and no client sends them to what it takes for an origin.
    for what in ["git", "lfs", "hf", "all"] {
        let said = world.setup(&format!("{what} --no-ca"));
        let error = said.result.unwrap_err().to_string();
        assert!(error.contains("requires credentials"), "{what}: {error}");
    }
}

#[test]
fn variables_that_make_the_clients_bypass_gitferry_cause_a_warning() {
    let mut world = World::new(&gits()[0]);
    world.set_variable("HF_ENDPOINT", "https://me:secret@mirror.example");
    world.set_variable("NO_PROXY", "localhost,.hf.co");
    let said = world.setup("hf").ok();
    for part in ["HF_ENDPOINT", "NO_PROXY", "*.hf.co"] {
        assert!(said.err.contains(part), "{}", said.err);
    }
    assert!(!said.err.contains("secret"), "{}", said.err);
    assert!(world.setup("hf --local").result.is_err());
}
