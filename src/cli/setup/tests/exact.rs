//! Setting up twice, trying it dry, and taking it back to the byte.

use super::*;

/// What users have: comments, odd spacing, keys of ours with other values, several at once, no final line break.
const BEFORE: &[u8] = b"# mine\n[user]\n  name = X\n\n[http \"https://huggingface.co\"]\n\
    \tproxy = http://old.example:1 ; why\n\tproxy = http://old.example:2\n\
    [http \"https://hf.co\"]\n[url \"http://127.0.0.1:4483/hf.co/\"]\n\tinsteadOf = hf:\n\
    [alias]\n\tx = \"!echo 'a b'\"";

const SCOPES: [&str; 6] = [
    "git",
    "lfs",
    "all",
    "git --no-ca",
    "lfs --no-ca",
    "all --no-ca",
];

fn without_options(arguments: &str) -> String {
    arguments.replace(" --no-ca", "")
}

#[test]
fn an_undo_brings_back_every_byte() {
    let mut seen = 0;
    for git in gits() {
        for arguments in SCOPES {
            let world = World::new(&git);
            fs::write(world.home(".gitconfig"), BEFORE).unwrap();
            let before = world.files();
            world.setup(arguments).well();
            assert_ne!(world.files(), before, "{arguments}");
            let undo = format!("{} --undo", without_options(arguments));
            world.setup(&undo).well();
            assert_eq!(world.files(), before, "{arguments}");
            assert!(!world.home(".local/state/gitferry").exists());
            let again = world.setup(&undo).well();
            assert!(again.out.contains("nothing to take back"), "{}", again.out);
            seen += 1;
        }
    }
    assert!(seen >= 6);
}

#[test]
fn files_that_were_made_go_again() {
    for arguments in SCOPES {
        let world = World::new(&gits()[0]);
        world.setup(arguments).well();
        assert!(world.home(".gitconfig").exists());
        world
            .setup(&format!("{} --undo", without_options(arguments)))
            .well();
        assert_eq!(world.files(), BTreeMap::new(), "{arguments}");
        assert!(!world.home(".ssh").exists());
    }
}

#[test]
fn the_second_time_nothing_changes_and_the_way_back_is_kept() {
    for git in gits() {
        for arguments in SCOPES {
            let world = World::new(&git);
            fs::write(world.home(".gitconfig"), BEFORE).unwrap();
            let before = world.files();
            world.setup(arguments).well();
            let once = world.files();
            let said = world.setup(arguments).well();
            assert_eq!(world.files(), once);
            assert!(!said.out.contains("git config"), "{}", said.out);
            let undo = format!("{} --undo", without_options(arguments));
            world.setup(&undo).well();
            assert_eq!(world.files(), before, "{arguments}");
        }
    }
}

#[test]
fn a_dry_run_says_all_of_it_and_changes_nothing() {
    let world = World::new(&gits()[0]);
    let said = world.setup("all --dry-run").well();
    assert!(!world.home(".gitconfig").exists());
    assert!(!world.home(".ssh").exists());
    assert!(!world.home(".local").exists());
    let really = world.setup("all").well();
    let (dry, done) = (
        "# a dry run: nothing was changed\n",
        "# done; `gitferry setup all --undo` takes it back\n",
    );
    let (changes, really) = (said.out.strip_suffix(dry), really.out.strip_suffix(done));
    assert_eq!(changes.unwrap(), really.unwrap());
    let files = world.files();
    let said = world.setup("all --undo --dry-run").well();
    assert_eq!(world.files(), files);
    let really = world.setup("all --undo").well();
    assert_eq!(said.out.strip_suffix(dry), Some(really.out.as_str()));
}

#[test]
fn where_no_daemon_answers_it_is_said() {
    let mut world = World::new(&gits()[0]);
    let said = world.setup("all").well();
    assert!(!said.err.contains("nothing answers"), "{}", said.err);
    world.surroundings.listens = |_| false;
    let said = world.setup("all").well();
    assert!(
        said.err.contains("nothing answers at 127.0.0.1:4483 yet"),
        "{}",
        said.err
    );
    let said = world.setup("all --undo").well();
    assert!(!said.err.contains("nothing answers"), "{}", said.err);
}

#[test]
fn what_others_set_between_two_set_ups_comes_back() {
    for git in gits() {
        let world = World::new(&git);
        let key = "http.https://hf.co.proxy";
        let ask = || world.git(&["config", "--global", "--get-all", key]);
        world.git(&["config", "--global", key, "http://first:1"]);
        world.setup("git").well();
        world.git(&["config", "--global", key, "http://later:2"]);
        world.setup("git").well();
        assert_eq!(ask(), PROXY);
        world.setup("git --undo").well();
        assert_eq!(ask(), "http://later:2");
    }
}

#[test]
fn what_is_said_is_what_could_be_typed() {
    let world = World::new(&gits()[0]);
    let said = world.setup("git --dry-run").well();
    let script: String = said
        .out
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let status = std::process::Command::new("sh")
        .args(["-ec", &script])
        .env_clear()
        .envs(&world.surroundings.variables)
        .status()
        .unwrap();
    assert!(status.success());
    let typed = fs::read(world.home(".gitconfig")).unwrap();
    fs::remove_file(world.home(".gitconfig")).unwrap();
    world.setup("git").well();
    assert_eq!(fs::read(world.home(".gitconfig")).unwrap(), typed);
}

#[test]
fn what_others_wrote_since_is_kept() {
    for git in gits() {
        let world = World::new(&git);
        fs::write(world.home(".gitconfig"), BEFORE).unwrap();
        world.setup("all").well();
        world.git(&["config", "--global", "core.editor", "vi"]);
        world.git(&[
            "config",
            "--global",
            "http.https://hf.co.proxy",
            "http://mine:1",
        ]);
        let said = world.setup("all --undo").well();
        assert!(
            said.out
                .contains("http.https://hf.co.proxy was changed since"),
            "{}",
            said.out
        );
        let ask = |key| world.git(&["config", "--global", "--get-all", key]);
        assert_eq!(ask("core.editor"), "vi");
        assert_eq!(ask("http.https://hf.co.proxy"), "http://mine:1");
        assert_eq!(
            ask("http.https://huggingface.co.proxy"),
            "http://old.example:1\nhttp://old.example:2"
        );
        assert_eq!(ask("url.http://127.0.0.1:4483/hf.co/.insteadOf"), "hf:");
        let text = fs::read_to_string(world.home(".gitconfig")).unwrap();
        assert!(!text.contains("bundle.pem"), "{text}");
        assert!(!text.contains("= http://127.0.0.1:4483"), "{text}");
    }
}

#[test]
fn parts_taken_back_one_by_one_end_at_the_first_byte() {
    for git in gits() {
        let world = World::new(&git);
        fs::write(world.home(".gitconfig"), BEFORE).unwrap();
        let before = world.files();
        for arguments in ["git", "lfs --no-ca", "lfs", "git --undo", "lfs --undo"] {
            world.setup(arguments).well();
        }
        assert_eq!(world.files(), before);
    }
}

#[test]
fn what_the_config_no_longer_names_is_taken_back_at_the_next_set_up() {
    let mut world = World::new(&gits()[0]);
    world.setup("git").well();
    world.config = |directory| Config {
        routes: vec![route(Role::MainSite, TlsMode::Terminate, &["hf.co"])],
        ..config(directory)
    };
    world.setup("git").well();
    let ask = |url| world.git(&["config", "--get-urlmatch", "http.proxy", url]);
    assert_eq!(ask("https://hf.co/"), PROXY);
    assert_eq!(ask("https://huggingface.co/"), "");
    world.setup("git --undo").well();
    assert_eq!(world.files(), BTreeMap::new());
}

#[test]
fn a_set_up_of_one_repository_leaves_the_others_alone() {
    for git in gits() {
        let mut world = World::new(&git);
        world.git(&["init", "-q", "a repo"]);
        let home = world.files();
        world.surroundings.directory = world.home("a repo");
        world.setup("all --local").well();
        assert!(!world.home(".gitconfig").exists());
        assert!(!world.home(".ssh").exists());
        let ask = ["config", "--local", "http.https://hf.co.proxy"];
        assert_eq!(world.git(&ask), PROXY);
        world.setup("all --local --undo").well();
        assert_eq!(world.files(), home);
    }
}

#[test]
fn outside_a_repository_local_is_an_error() {
    let world = World::new(&gits()[0]);
    let said = world.setup("git --local");
    assert!(said.result.is_err(), "{said:?}");
    let said = world.setup("ssh --local");
    assert!(said.result.is_err(), "{said:?}");
    assert_eq!(world.files(), BTreeMap::new());
}

#[test]
fn the_file_that_git_uses_is_found_and_a_link_stays_a_link() {
    for git in gits() {
        let world = World::new(&git);
        fs::create_dir_all(world.home(".config/git")).unwrap();
        fs::create_dir(world.home("dotfiles")).unwrap();
        let real = world.home("dotfiles/config");
        fs::write(&real, BEFORE).unwrap();
        let link = world.home(".config/git/config");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        world.setup("git").well();
        assert_ne!(fs::read(&real).unwrap(), BEFORE);
        world.setup("git --undo").well();
        assert_eq!(fs::read(&real).unwrap(), BEFORE);
        assert!(link.is_symlink());
        assert!(!world.home(".gitconfig").exists());

        let mut world = World::new(&git);
        let other = world.home("other config");
        world.set_variable("GIT_CONFIG_GLOBAL", other.to_str().unwrap());
        world.setup("git").well();
        assert!(other.exists());
        world.setup("git --undo").well();
        assert!(!other.exists());
    }
}

#[test]
fn a_record_that_cannot_be_read_is_not_guessed_at() {
    let world = World::new(&gits()[0]);
    world.setup("git").well();
    let directory = world.home(".local/state/gitferry");
    let record = fs::read_dir(&directory).unwrap().next().unwrap().unwrap();
    fs::write(record.path(), "{").unwrap();
    let files = world.files();
    assert!(world.setup("git --undo").result.is_err());
    assert!(world.setup("git").result.is_err());
    assert_eq!(world.files(), files);
}

#[test]
fn the_record_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new(&gits()[0]);
    world.setup("git").well();
    let directory = world.home(".local/state/gitferry");
    let record = fs::read_dir(&directory).unwrap().next().unwrap().unwrap();
    assert_eq!(
        record.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
}
