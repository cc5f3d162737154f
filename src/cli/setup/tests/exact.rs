//! Set-up, a second set-up, dry run and undo, compared byte by byte.

use super::*;

/// What users have: comments, odd spacing, keys of ours with other values, several at once, no final line break.
const BEFORE: &[u8] = b"# mine\n[user]\n  name = X\n\n[http \"https://huggingface.co\"]\n\
    \tproxy = http://old.example:1 ; why\n\tproxy = http://old.example:2\n\
    [http \"https://hf.co\"]\n[url \"http://127.0.0.1:4483/hf.co/\"]\n\tinsteadOf = hf:\n\
    [alias]\n\tx = \"!echo 'a b'\"";

/// Where the settings are, below the home.
const SETTINGS: &str = ".config/gitferry/git.config";

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

/// A world whose user has the config [`BEFORE`].
fn with_config(git: &Path) -> World {
    let world = World::new(git);
    fs::write(world.home(".gitconfig"), BEFORE).unwrap();
    world
}

#[test]
fn an_undo_restores_every_byte() {
    let mut seen = 0;
    for git in gits() {
        for arguments in SCOPES {
            let world = with_config(&git);
            let before = world.files();
            world.setup(arguments).ok();
            assert_ne!(world.files(), before, "{arguments}");
            let undo = format!("{} --undo", without_options(arguments));
            world.setup(&undo).ok();
            assert_eq!(world.files(), before, "{arguments}");
            assert!(!world.home(".local/state/gitferry").exists());
            let again = world.setup(&undo).ok();
            assert!(again.out.contains("nothing to undo"), "{}", again.out);
            seen += 1;
        }
    }
    assert!(seen >= 6);
}

#[test]
fn an_undo_removes_the_files_that_setup_created() {
    for arguments in SCOPES {
        let world = World::new(&gits()[0]);
        world.setup(arguments).ok();
        assert!(world.home(".gitconfig").exists());
        world
            .setup(&format!("{} --undo", without_options(arguments)))
            .ok();
        assert_eq!(world.files(), BTreeMap::new(), "{arguments}");
        assert!(!world.home(".ssh").exists());
    }
}

#[test]
fn a_second_set_up_changes_nothing_and_can_be_undone() {
    for git in gits() {
        for arguments in SCOPES {
            let world = with_config(&git);
            let before = world.files();
            world.setup(arguments).ok();
            let once = world.files();
            let said = world.setup(arguments).ok();
            assert_eq!(world.files(), once);
            assert!(said.out.contains("no change"), "{}", said.out);
            let undo = format!("{} --undo", without_options(arguments));
            world.setup(&undo).ok();
            assert_eq!(world.files(), before, "{arguments}");
        }
    }
}

#[test]
fn a_dry_run_shows_the_file_and_changes_nothing() {
    let world = World::new(&gits()[0]);
    let said = world.setup("all --dry-run").ok();
    assert!(!world.home(".gitconfig").exists());
    assert!(!world.home(".config").exists());
    assert!(!world.home(".local").exists());
    world.setup("all").ok();
    let settings = fs::read_to_string(world.home(SETTINGS)).unwrap();
    assert!(said.out.contains(settings.trim_end()), "{}", said.out);
    assert!(
        said.out.contains("dry run: nothing was changed"),
        "{}",
        said.out
    );
    let files = world.files();
    world.setup("all --undo --dry-run").ok();
    world.setup("off --dry-run").ok();
    assert_eq!(world.files(), files);
}

#[test]
fn the_users_config_gets_one_section_at_its_end_and_the_settings_file_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    for git in gits() {
        let world = with_config(&git);
        let said = world.setup("all").ok();
        let after = fs::read(world.home(".gitconfig")).unwrap();
        let added = String::from_utf8(after[BEFORE.len()..].to_vec()).unwrap();
        assert!(added.starts_with("\n[include]\n\tpath = "), "{added}");
        assert_eq!(added.lines().count(), 3, "{added}");
        assert!(said.out.lines().count() < 12, "{}", said.out);
        let mode = fs::metadata(world.home(SETTINGS)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        // Our values come last and take precedence over the user's.
        let ask = [
            "config",
            "--get-urlmatch",
            "http.proxy",
            "https://huggingface.co/",
        ];
        assert_eq!(world.git(&ask), PROXY);
    }
}

#[test]
fn the_daemons_password_is_in_the_settings_and_never_printed() {
    let mut world = World::new(&gits()[0]);
    world.config = |directory| {
        let mut config = config(directory);
        config.listen.credentials = Some(crate::model::secret::Credentials {
            username: "me".into(),
            password: crate::model::Secret::new("p w/1"),
        });
        config
    };
    let dry = world.setup("all --dry-run").ok();
    let said = world.setup("all").ok();
    for text in [&dry.out, &dry.err, &said.out, &said.err] {
        assert!(
            !text.contains("p%20w%2F1") && !text.contains("p w/1"),
            "{text}"
        );
    }
    assert!(
        dry.out.contains("http://me:***@127.0.0.1:4483"),
        "{}",
        dry.out
    );
    let ask = ["config", "--get-urlmatch", "http.proxy", "https://hf.co/"];
    assert_eq!(world.git(&ask), "http://me:p%20w%2F1@127.0.0.1:4483");
}

#[test]
fn on_prints_each_change_once() {
    let git = gits().remove(0);
    let world = World::new(&git);
    world.setup("all").ok();
    world.setup("off").ok();
    let said = world.setup("on").ok().out;
    assert_eq!(said.matches("these lines are added").count(), 1, "{said}");
    assert_eq!(said.matches("git.config: ").count(), 1, "{said}");
    assert!(!said.contains("line exists"), "{said}");
}

#[test]
fn off_and_on_switch_without_an_undo() {
    for git in gits() {
        let world = with_config(&git);
        let before = world.files();
        for arguments in ["git", "lfs --no-ca", "hf", "ssh"] {
            world.setup(arguments).ok();
        }
        let on = world.files();
        let ask = || {
            world.git(&[
                "config",
                "--get-urlmatch",
                "http.proxy",
                "https://huggingface.co/",
            ])
        };
        assert_eq!(ask(), PROXY);
        world.setup("off").ok();
        assert_eq!(fs::read(world.home(".gitconfig")).unwrap(), BEFORE);
        assert!(!world.home(".ssh/config").exists());
        let exports = fs::read_to_string(world.home(".config/gitferry/hf.sh")).unwrap();
        assert!(!exports.contains("export"), "{exports}");
        let again = world.setup("off").ok();
        assert!(again.out.contains("nothing is set up"), "{}", again.out);
        world.setup("on").ok();
        assert_eq!(ask(), PROXY);
        assert_eq!(
            world.files().keys().collect::<Vec<_>>(),
            on.keys().collect::<Vec<_>>()
        );
        let again = world.setup("on").ok();
        assert!(
            again.out.contains("nothing is switched off"),
            "{}",
            again.out
        );
        world.setup("off").ok();
        world.setup("all --undo").ok();
        assert_eq!(world.files(), before);
    }
}

#[test]
fn changes_that_others_made_later_are_kept() {
    for git in gits() {
        let world = with_config(&git);
        world.setup("all").ok();
        world.git(&["config", "--global", "core.editor", "vi"]);
        // git puts it into the section that is ours.
        world.git(&["config", "--global", "--add", "include.path", "~/mine"]);
        world.setup("all --undo").ok();
        let ask = |key| world.git(&["config", "--global", "--get-all", key]);
        assert_eq!(ask("core.editor"), "vi");
        assert_eq!(ask("include.path"), "~/mine");
        assert_eq!(ask("url.http://127.0.0.1:4483/hf.co/.insteadOf"), "hf:");
        assert!(!world.home(SETTINGS).exists());
    }
}

#[test]
fn a_settings_file_of_somebody_else_is_not_overwritten() {
    let world = World::new(&gits()[0]);
    fs::create_dir_all(world.home(".config/gitferry")).unwrap();
    fs::write(world.home(SETTINGS), "[user]\n").unwrap();
    let before = world.files();
    assert!(world.setup("git").result.is_err());
    assert_eq!(world.files(), before);
}

#[test]
fn undoing_one_client_after_the_other_restores_every_byte() {
    for git in gits() {
        let world = with_config(&git);
        let before = world.files();
        for arguments in ["git", "lfs --no-ca", "lfs", "git --undo", "lfs --undo"] {
            world.setup(arguments).ok();
        }
        assert_eq!(world.files(), before);
    }
}

#[test]
fn settings_for_removed_hosts_are_removed_at_the_next_set_up() {
    let mut world = World::new(&gits()[0]);
    world.setup("git").ok();
    world.config = |directory| Config {
        routes: vec![route(Role::MainSite, TlsMode::Terminate, &["hf.co"])],
        ..config(directory)
    };
    world.setup("git").ok();
    let ask = |url| world.git(&["config", "--get-urlmatch", "http.proxy", url]);
    assert_eq!(ask("https://hf.co/"), PROXY);
    assert_eq!(ask("https://huggingface.co/"), "");
    world.setup("git --undo").ok();
    assert_eq!(world.files(), BTreeMap::new());
}

#[test]
fn a_local_set_up_changes_only_its_repository() {
    for git in gits() {
        let mut world = World::new(&git);
        world.git(&["init", "-q", "a repo"]);
        let home = world.files();
        world.host.directory = world.home("a repo");
        world.setup("all --local").ok();
        assert!(!world.home(".gitconfig").exists());
        assert!(!world.home(".ssh").exists());
        let ask = [
            "config",
            "--local",
            "--includes",
            "http.https://hf.co.proxy",
        ];
        assert_eq!(world.git(&ask), PROXY);
        world.setup("all --local --undo").ok();
        assert_eq!(world.files(), home);
    }
}

#[test]
fn local_outside_a_repository_is_an_error() {
    let world = World::new(&gits()[0]);
    let said = world.setup("git --local");
    assert!(said.result.is_err(), "{said:?}");
    let said = world.setup("ssh --local");
    assert!(said.result.is_err(), "{said:?}");
    assert_eq!(world.files(), BTreeMap::new());
}

#[test]
fn the_config_file_of_git_is_found_and_a_link_stays_a_link() {
    for git in gits() {
        let world = World::new(&git);
        fs::create_dir_all(world.home(".config/git")).unwrap();
        fs::create_dir(world.home("dotfiles")).unwrap();
        let real = world.home("dotfiles/config");
        fs::write(&real, BEFORE).unwrap();
        let link = world.home(".config/git/config");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        world.setup("git").ok();
        assert_ne!(fs::read(&real).unwrap(), BEFORE);
        world.setup("git --undo").ok();
        assert_eq!(fs::read(&real).unwrap(), BEFORE);
        assert!(link.is_symlink());
        assert!(!world.home(".gitconfig").exists());

        let mut world = World::new(&git);
        let other = world.home("other config");
        world.set_variable("GIT_CONFIG_GLOBAL", other.to_str().unwrap());
        world.setup("git").ok();
        assert!(other.exists());
        world.setup("git --undo").ok();
        assert!(!other.exists());
    }
}

#[test]
fn a_damaged_record_is_an_error_and_changes_nothing() {
    let world = World::new(&gits()[0]);
    world.setup("git").ok();
    let directory = world.home(".local/state/gitferry");
    let record = fs::read_dir(&directory).unwrap().next().unwrap().unwrap();
    fs::write(record.path(), "{").unwrap();
    let files = world.files();
    assert!(world.setup("git --undo").result.is_err());
    assert!(world.setup("git").result.is_err());
    assert_eq!(world.files(), files);
}

#[test]
fn the_record_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new(&gits()[0]);
    world.setup("git").ok();
    let directory = world.home(".local/state/gitferry");
    let record = fs::read_dir(&directory).unwrap().next().unwrap().unwrap();
    assert_eq!(
        record.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
}
