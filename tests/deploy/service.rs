//! `gitferry service` before a real `systemd --user`, in a mount namespace of its own so that the machine's `/run` stays as it is.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use super::{Need, port::free_address, skipped};

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
    let address = free_address();
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

/// As the README says: the config names the group before `install` has created it. systemd's part is played by a script, which starts
/// the daemon as the unit would.
const FOR_ALL: &str = r#"
set -eu
mount -t tmpfs tmpfs "$LAYERS"
for directory in /etc /usr/local/bin /var/lib; do
    layer="$LAYERS/$(echo $directory | tr / -)"
    mkdir "$layer" "$layer-work"
    mount -t overlay overlay -o "lowerdir=$directory,upperdir=$layer,workdir=$layer-work" $directory || { echo no overlay; exit 0; }
done
rm -rf /etc/gitferry
useradd --no-create-home alice-of-gitferry
useradd --no-create-home bob-of-gitferry
cat >/usr/local/bin/systemctl <<'END'
#!/bin/sh
case "$*" in *enable*)
    mkdir -p /var/lib/gitferry
    chown gitferry: /var/lib/gitferry
    chmod 755 /var/lib/gitferry
    cd /
    STATE_DIRECTORY=/var/lib/gitferry setpriv --reuid gitferry --regid gitferry --init-groups \
        /usr/local/bin/gitferry --config /etc/gitferry/gitferry.toml run >/dev/null 2>&1 &
    echo $! >"$PIDFILE" ;;
esac
END
chmod 755 /usr/local/bin/systemctl
trap 'kill $(cat "$PIDFILE")' EXIT

install -m 0755 "$GITFERRY" /usr/local/bin/gitferry
install -d /etc/gitferry
printf '[listen]\naddress = "%s"\ngroups = ["gitferry"]\n' "$ADDRESS" | tee /etc/gitferry/gitferry.toml
/usr/local/bin/gitferry service install
usermod -aG gitferry alice-of-gitferry

as() { setpriv --reuid "$1" --regid "$1" --init-groups curl -sS -o /dev/null -w '%{http_code}' --noproxy '*' "http://$ADDRESS/-/healthz"; }
test "$(as alice-of-gitferry)" = 200
test "$(as bob-of-gitferry)" = 403
echo passed
"#;

#[test]
fn a_service_for_the_members_of_a_group_is_installed_before_that_group_exists() {
    let root = Command::new("id").arg("-u").output().unwrap();
    if root.stdout != b"0\n" || !Path::new("/usr/bin/systemd-sysusers").exists() {
        skipped(
            Need::Root,
            "a service of the system needs root and Debian's systemd",
        );
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let address = free_address();
    let output = Command::new("timeout")
        .args(["60", "unshare", "--mount", "--propagation", "private"])
        .args(["sh", "-c", FOR_ALL])
        .env_clear()
        .env("HOME", directory.path())
        .env(
            "PATH",
            "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LAYERS", directory.path())
        .env("PIDFILE", directory.path().join("pid"))
        .env("GITFERRY", env!("CARGO_BIN_EXE_gitferry"))
        .env("ADDRESS", address.to_string())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.ends_with("no overlay\n") {
        skipped(Need::Kernel, "no overlay can be mounted");
        return;
    }
    assert!(
        output.status.success() && said.ends_with("passed\n"),
        "{:?}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
