//! A real sshd on loopback with keys of its own.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::process::{Running, Server, clean_command};

/// sshd for the user who runs the tests.
pub(crate) struct Sshd {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The user who may log in.
    pub(crate) user: String,
    key: PathBuf,
    host_key: PathBuf,
    _server: Server,
}

impl Sshd {
    /// Starts one in `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, "")
    }

    /// The same with more lines of its config.
    pub(crate) fn start_with(dir: &Path, rules: &str) -> Self {
        fs::create_dir_all(dir).unwrap();
        let key = make_key(dir, "user_key");
        let host_key = make_key(dir, "host_key");
        // Debian's init script creates it; started by root, sshd needs it.
        let _ = fs::create_dir_all("/run/sshd");
        let (server, address) = Server::start_on_a_port("sshd", dir, |address| {
            let config = dir.join("sshd_config");
            let text = format!(
                "ListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}.pub\nPidFile none\nUsePAM no\nStrictModes no\n\
                 PasswordAuthentication no\nPermitRootLogin prohibit-password\nLogLevel VERBOSE\nMaxStartups 100\n\
                 ClientAliveInterval 15\n{rules}",
                host_key.display(),
                key.display(),
            );
            fs::write(&config, text).unwrap();
            let mut command = clean_command("/usr/sbin/sshd", dir);
            command.arg("-D").arg("-e").arg("-f").arg(config);
            command
        });
        let user = Running::start(clean_command("/usr/bin/id", dir).arg("-un"))
            .finish(Duration::from_secs(10))
            .well();
        Self {
            address,
            user: user.stdout.trim().to_owned(),
            key,
            host_key,
            _server: server,
        }
    }

    /// The value of `GIT_SSH_COMMAND` for a client that trusts only this server, as `host`; `options` set the path to it.
    pub(crate) fn client(&self, host: &str, options: &str) -> String {
        let public = fs::read_to_string(self.host_key.with_extension("pub")).unwrap();
        let known = self.host_key.with_extension("known");
        fs::write(&known, format!("{host} {public}")).unwrap();
        format!(
            "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes \
             -o UserKnownHostsFile={} -o HostKeyAlias={host} {options}",
            self.key.display(),
            known.display()
        )
    }
}

fn make_key(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let mut keygen = clean_command("/usr/bin/ssh-keygen", dir);
    keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&path);
    Running::start(&mut keygen)
        .finish(Duration::from_secs(20))
        .well();
    path
}
