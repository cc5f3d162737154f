//! `gitferry service` before a real `systemd --user`, in a mount namespace of its own so that the machine's `/run` stays as it is.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use super::{Need, skipped};

/// Ends with a line `passed` only where each step did what it says.
const STEPS: &str = r#"
set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0
chmod 700 /run/user/0
export XDG_RUNTIME_DIR=/run/user/0
/lib/systemd/systemd --user --log-target=console --log-level=warning &
manager=$!
trap 'kill $manager; wait $manager || true' EXIT
timeout 30 sh -c 'until systemctl --user is-system-running --wait >/dev/null 2>&1; do sleep 0.05; done'

export HTTPS_PROXY='http://me:p%20w@proxy.test:3128' NO_PROXY=localhost
gitferry --config "$HOME/gitferry.toml" service --user install
units="$HOME/.config/systemd/user"
unset HTTPS_PROXY NO_PROXY
curl -fsS --noproxy '*' "http://$ADDRESS/-/api/daemon" | tee /dev/stderr | grep -q '"https_proxy": "http://proxy.test:3128"'
! grep -r 'p%20w\|p w' "$units" || exit 3
test "$(stat -c %a "$HOME/.config/gitferry/HTTPS_PROXY.password")" = 600
test "$(cat "$HOME/.config/gitferry/HTTPS_PROXY.password")" = 'p w'
systemctl --user is-enabled --quiet gitferry.service gitferry.socket

gitferry service --user status >/dev/null
before=$(systemctl --user show --property=MainPID gitferry.service)
gitferry service --user restart
test "$before" != "$(systemctl --user show --property=MainPID gitferry.service)"
gitferry service --user stop
! curl -fsS --noproxy '*' "http://$ADDRESS/-/healthz" 2>/dev/null || exit 4
gitferry service --user start
curl -fsS --noproxy '*' "http://$ADDRESS/-/healthz" >/dev/null
gitferry service --user uninstall
! curl -fsS --noproxy '*' "http://$ADDRESS/-/healthz" 2>/dev/null || exit 5
test -z "$(ls -A "$units" | grep gitferry || true)"
test ! -e "$HOME/.config/gitferry/HTTPS_PROXY.password"
echo passed
"#;

#[test]
fn a_users_service_is_installed_started_stopped_and_removed_and_no_password_stands_in_its_unit() {
    let root = Command::new("id").arg("-u").output().unwrap();
    if root.stdout != b"0\n" || !Path::new("/lib/systemd/systemd").exists() {
        skipped(
            Need::Kernel,
            "a systemd of its own, as root, with Debian's systemd",
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let home = directory.path().join("home");
    let bin = directory.path().join("bin");
    for directory in [&home, &bin] {
        fs::create_dir(directory).unwrap();
    }
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_gitferry"), bin.join("gitferry")).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let config = format!("[listen]\naddress = \"{address}\"\n");
    fs::write(home.join("gitferry.toml"), config).unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("timeout")
        .args([
            "120",
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            STEPS,
        ])
        .env_clear()
        .env("HOME", &home)
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("ADDRESS", address.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.ends_with("passed\n"),
        "{:?}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
