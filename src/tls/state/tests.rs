use std::{
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
};

use super::*;
use crate::{
    rt::skip::is_root,
    tls::{
        Authority,
        files::{CERTIFICATE_FILE, KEY_FILE},
    },
};

/// A directory with a CA in it.
fn with_ca() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Authority::open(state.path(), &[]).unwrap();
    state
}

fn refused(state: &Path) -> String {
    let error = Authority::open(state, &[]).unwrap_err();
    let advice = error.advice.as_deref().unwrap_or_default();
    format!("{error}: {}\n{advice}", error.source)
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let state = with_ca();
    for mode in [0o777, 0o775] {
        fs::set_permissions(state.path(), fs::Permissions::from_mode(mode)).unwrap();
        let reason = refused(state.path());
        assert!(
            reason.contains(&format!("chmod go-w {}", state.path().display())),
            "{reason}"
        );
    }
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    Authority::open(state.path(), &[]).unwrap();
}

/// `directory = "/tmp"`: the advice was a `chown -R` or `chmod` of it.
#[test]
fn a_directory_that_all_users_share_is_refused_and_its_mode_is_left_alone() {
    let state = tempfile::tempdir().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let reason = refused(state.path());
    assert!(reason.contains("all users share it"), "{reason}");
    assert!(
        !reason.contains("chown") && !reason.contains("chmod"),
        "{reason}"
    );
    assert!(
        reason.ends_with(&format!("{}/gitferry", state.path().display())),
        "{reason}"
    );
}

#[test]
fn a_directory_of_ones_own_may_have_the_sticky_bit() {
    let state = with_ca();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o1700)).unwrap();
    check(state.path(), StateUsers::Owner).unwrap();
}

#[test]
fn a_directory_of_another_user_is_refused_but_root_may_rotate_its_ca() {
    if !is_root("only root can give a directory away") {
        return;
    }
    let state = with_ca();
    std::os::unix::fs::chown(state.path(), Some(65_534), None).unwrap();
    let error = check(state.path(), StateUsers::Owner).unwrap_err();
    let reason = error.source.to_string();
    assert!(
        reason.ends_with("belongs to user 65534, and gitferry runs as user 0"),
        "{reason}"
    );
    let advice = error.advice.unwrap();
    assert!(advice.contains("`chown -R 0 "), "{advice}");
    // `sudo gitferry ca rotate` works for the owner and keeps the owner's files.
    Authority::rotate(state.path(), &[]).unwrap();
    let key = fs::metadata(state.path().join(KEY_FILE)).unwrap();
    assert_eq!(key.uid(), 65_534);
}

#[test]
fn a_key_that_is_a_symbolic_link_is_refused_and_its_destination_is_not_changed() {
    let state = with_ca();
    let (key, outside) = (state.path().join(KEY_FILE), state.path().join("outside"));
    fs::rename(&key, &outside).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o644)).unwrap();
    let before = fs::read(&outside).unwrap();
    symlink(&outside, &key).unwrap();
    let reason = refused(state.path());
    assert!(
        reason.contains("symbolic link\n`gitferry ca rotate`"),
        "{reason}"
    );
    // The advised command works, and changes only the link.
    Authority::rotate(state.path(), &[]).unwrap();
    Authority::open(state.path(), &[]).unwrap();
    assert_eq!(fs::read(&outside).unwrap(), before);
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn a_key_that_is_a_fifo_is_refused_without_blocking() {
    let state = with_ca();
    let key = state.path().join(KEY_FILE);
    fs::remove_file(&key).unwrap();
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    let reason = refused(state.path());
    assert!(
        reason.contains("not a regular file\n`gitferry ca rotate`"),
        "{reason}"
    );
    Authority::rotate(state.path(), &[]).unwrap();
    Authority::open(state.path(), &[]).unwrap();
}

#[test]
fn a_key_of_another_user_is_refused() {
    if !is_root("only root can give a file away") {
        return;
    }
    let state = with_ca();
    let key = state.path().join(KEY_FILE);
    std::os::unix::fs::chown(&key, Some(65_534), None).unwrap();
    let reason = refused(state.path());
    assert!(reason.contains("belongs to user 65534"), "{reason}");
    assert!(
        reason.contains(&format!("chown 0 {}", key.display())),
        "{reason}"
    );
}

#[test]
fn a_certificate_that_is_a_symbolic_link_or_a_fifo_is_replaced() {
    let state = with_ca();
    let (copy, outside) = (
        state.path().join(CERTIFICATE_FILE),
        state.path().join("outside"),
    );
    let right = fs::read(&copy).unwrap();
    fs::write(&outside, "somebody else's").unwrap();
    fs::remove_file(&copy).unwrap();
    symlink(&outside, &copy).unwrap();
    Authority::open(state.path(), &[]).unwrap();
    assert_eq!(fs::read(&outside).unwrap(), b"somebody else's");
    assert_eq!(fs::read(&copy).unwrap(), right);
    fs::remove_file(&copy).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&copy)
            .status()
            .unwrap()
            .success()
    );
    Authority::open(state.path(), &[]).unwrap();
    assert_eq!(fs::read(&copy).unwrap(), right);
}

#[test]
fn old_temporary_files_are_removed_and_new_and_other_files_are_not() {
    let state = with_ca();
    let (old, new) = (
        state.path().join(".ca-key.pem.0123456789abcdef"),
        state.path().join(".bundle.pem.0123456789abcdef"),
    );
    let theirs = state.path().join(".ca-key.pem.backup");
    for file in [&old, &new, &theirs] {
        fs::write(file, "half").unwrap();
    }
    for file in [&old, &theirs] {
        let written = fs::File::options().write(true).open(file).unwrap();
        written
            .set_modified(SystemTime::now() - Duration::from_secs(3600))
            .unwrap();
    }
    Authority::open(state.path(), &[]).unwrap();
    assert_eq!(
        (old.exists(), new.exists(), theirs.exists()),
        (false, true, true)
    );
}

#[test]
fn a_spool_that_is_a_symbolic_link_is_refused() {
    let state = with_ca();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), state.path().join("spool")).unwrap();
    let reason = refused(state.path());
    assert!(reason.contains("not a directory"), "{reason}");
}
