//! The block in ssh's config, as bytes and as ssh reads it.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn ssh_world(before: &[u8]) -> World {
    let world = World::new(&gits()[0]);
    fs::create_dir(world.home(".ssh")).unwrap();
    fs::write(world.home(".ssh/config"), before).unwrap();
    world
}

#[test]
fn the_rest_of_the_config_stays_byte_for_byte() {
    for before in [
        &b""[..],
        b"ForwardAgent yes",
        b"Host x\n  User y\n\n\n",
        b"\r\n# \xff\xfe not text\r\nHost *\r\n\tCompression yes",
    ] {
        let world = ssh_world(before);
        let mode = fs::Permissions::from_mode(0o640);
        fs::set_permissions(world.home(".ssh/config"), mode).unwrap();
        world.setup("ssh").ok();
        let after = fs::read(world.home(".ssh/config")).unwrap();
        assert!(after.ends_with(before));
        assert!(after.starts_with(b"# >>> gitferry\n"));
        let said = world.setup("ssh").ok();
        assert!(said.out.contains("up to date"), "{}", said.out);
        assert_eq!(fs::read(world.home(".ssh/config")).unwrap(), after);
        world.setup("ssh --undo").ok();
        assert_eq!(fs::read(world.home(".ssh/config")).unwrap(), before);
        let mode = fs::metadata(world.home(".ssh/config"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o640);
    }
}

#[test]
fn edits_around_the_block_survive_an_undo() {
    let world = ssh_world(b"Host x\n");
    world.setup("ssh").ok();
    let mut text = fs::read(world.home(".ssh/config")).unwrap();
    text.splice(0..0, *b"# top\n");
    text.extend(b"Host late\n");
    fs::write(world.home(".ssh/config"), &text).unwrap();
    world.setup("ssh").ok();
    assert_eq!(fs::read(world.home(".ssh/config")).unwrap(), text);
    world.setup("ssh --undo").ok();
    assert_eq!(
        fs::read(world.home(".ssh/config")).unwrap(),
        b"# top\nHost x\nHost late\n"
    );
}

#[test]
fn a_new_file_is_private_and_an_undo_keeps_a_directory_with_keys() {
    let world = World::new(&gits()[0]);
    world.setup("ssh").ok();
    for (path, mode) in [(".ssh", 0o700), (".ssh/config", 0o600)] {
        let permissions = fs::metadata(world.home(path)).unwrap().permissions();
        assert_eq!(permissions.mode() & 0o777, mode, "{path}");
    }
    fs::write(world.home(".ssh/id_ed25519"), "key").unwrap();
    world.setup("ssh --undo").ok();
    assert!(!world.home(".ssh/config").exists());
    assert!(world.home(".ssh/id_ed25519").exists());
}

#[test]
fn a_block_without_an_end_is_an_error_and_changes_nothing() {
    let before = b"# >>> gitferry\nHost x\n";
    let world = ssh_world(before);
    for arguments in ["ssh", "ssh --undo"] {
        assert!(world.setup(arguments).result.is_err());
        assert_eq!(fs::read(world.home(".ssh/config")).unwrap(), before);
    }
}

/// The path of the binary here has a quote, a space, double quotes and a percent sign in it.
#[test]
fn ssh_runs_the_installed_binary_for_the_hosts_of_the_block() {
    if !crate::rt::skip::has_programs(&["ssh"]) {
        return;
    }
    let mut world = ssh_world(b"Compression yes\nHost x\n  User y\n");
    world.config = |directory| Config {
        file: Some(directory.join("my config.toml")),
        ..config(directory)
    };
    world.setup("ssh").ok();
    let asked = |host: &str| {
        let output = std::process::Command::new("/usr/bin/ssh")
            .arg("-F")
            .arg(world.home(".ssh/config"))
            .args(["-G", host])
            .output()
            .unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let read = asked("huggingface.co");
    let command = read
        .lines()
        .find_map(|line| line.strip_prefix("proxycommand "))
        .unwrap();
    // What ssh does with it: its own tokens, then the shell's words.
    let command = command
        .replace("%h", "huggingface.co")
        .replace("%p", "22")
        .replace("%%", "%");
    let words = std::process::Command::new("sh")
        .args(["-c", &format!("printf '%s\\n' {command}")])
        .output()
        .unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    let file = world.directory.path().join("my config.toml");
    assert_eq!(
        words.lines().collect::<Vec<_>>(),
        [
            world.host.binary.to_str().unwrap(),
            "--config",
            file.to_str().unwrap(),
            "connect",
            "huggingface.co:22"
        ]
    );
    // The file's own first options are for every host, before and after.
    assert!(read.contains("compression yes"));
    let other = asked("example.org");
    assert!(other.contains("compression yes"));
    assert!(!other.contains("proxycommand"));
    assert!(!asked("forbidden.example").contains("proxycommand"));
}

#[test]
fn the_users_own_proxy_that_the_block_overrides_causes_a_warning() {
    let world = ssh_world(b"Host hf.co\n  ProxyCommand nc -X 5 -x 127.0.0.1:1080 %h %p\n");
    // The second time, the block itself is no such proxy.
    for _ in 0..2 {
        let said = world.setup("ssh").ok();
        let warnings: Vec<&str> = said.err.lines().collect();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("hf.co used `proxycommand nc -X 5"),
            "{warnings:?}"
        );
    }
}
