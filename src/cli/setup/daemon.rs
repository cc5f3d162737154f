//! Who runs the daemon, and whether clients may trust its CA.
//!
//! Any user of the machine can listen on a free port, and must not choose the CA that git trusts: the daemon's state directory
//! is used only where the listening socket and the directory belong to the caller, root, or the service's user.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::User;

use crate::{
    cli::{Failure, daemon},
    doctor::daemon::DaemonInfo,
    tls::files::{BUNDLE_FILE, CERTIFICATE_FILE},
};

/// The user that the system unit runs the daemon as (deploy/systemd).
const SERVICE_USER: &str = "gitferry";

/// The running daemon, whose CA clients may trust.
#[derive(Clone, Debug)]
pub(super) struct TrustedDaemon {
    /// Its config file; none for the embedded default.
    pub(super) config: Option<PathBuf>,
    /// The file of roots and local CA, for clients.
    pub(super) bundle: PathBuf,
}

/// The daemon at `address`.
///
/// Fails where none answers, or where another user may control its CA.
pub(super) fn find(address: SocketAddr) -> Result<TrustedDaemon, Failure> {
    let daemon = daemon::about(address).map_err(|error| {
        let start = "start it first (`gitferry run` in another terminal, or `gitferry service install`), then run this again";
        daemon::unreachable(address, error, start)
    })?;
    let listener = listener_uid(address)
        .map_err(|error| Failure::during("cannot determine the owner of the daemon", error))?;
    let us = TrustedUsers::of_this_process();
    trusted(address, &daemon, listener, &us)
}

/// The users whose CA is trusted.
struct TrustedUsers {
    caller: u32,
    service: Option<u32>,
}

impl TrustedUsers {
    fn of_this_process() -> Self {
        let service = User::from_name(SERVICE_USER).ok().flatten();
        Self {
            caller: nix::unistd::geteuid().as_raw(),
            service: service.map(|user| user.uid.as_raw()),
        }
    }

    fn trusts(&self, uid: u32) -> bool {
        uid == 0 || uid == self.caller || Some(uid) == self.service
    }
}

fn trusted(
    address: SocketAddr,
    daemon: &DaemonInfo,
    listener: Option<u32>,
    us: &TrustedUsers,
) -> Result<TrustedDaemon, Failure> {
    let directory = &*fs::canonicalize(&daemon.state_directory)
        .unwrap_or_else(|_| daemon.state_directory.clone());
    let refuse = |why: String| {
        Failure::new(format!(
            "the CA of the daemon at {address} is not used: {why}"
        ))
    };
    if let Some(uid) = listener.filter(|uid| !us.trusts(*uid)) {
        return Err(refuse(format!(
            "the listener belongs to user {uid}, not to you, root or {SERVICE_USER}"
        ))
        .hint("stop that program, or set another port in `address` of `[listen]`"));
    }
    let owner = fs::metadata(directory)
        .map(|meta| meta.uid())
        .map_err(|error| refuse(format!("cannot read {}: {error}", directory.display())))?;
    let owners = match listener {
        // systemd opens the socket as root, and passes it to the service's user.
        Some(0) | None => us.trusts(owner),
        Some(uid) => owner == uid,
    };
    if !owners {
        return Err(refuse(format!(
            "{} belongs to user {owner}, not to the daemon's user",
            directory.display()
        )));
    }
    let certificate = directory.join(CERTIFICATE_FILE);
    let bundle = directory.join(BUNDLE_FILE);
    let above = directory
        .ancestors()
        .skip(1)
        .filter(|path| !path.as_os_str().is_empty());
    let ours = [directory, &*certificate, &*bundle];
    let changeable = ours
        .into_iter()
        .find_map(|path| changeable(path, owner, Level::Own))
        .or_else(|| {
            above
                .into_iter()
                .find_map(|path| changeable(path, owner, Level::Above))
        });
    if let Some(why) = changeable {
        return Err(refuse(why).hint(format!(
            "run `chmod go-w` on it, or remove {} and start the daemon again",
            directory.display()
        )));
    }
    Ok(TrustedDaemon {
        config: daemon.config.clone(),
        bundle,
    })
}

/// The kinds of paths.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// The daemon's directory, or a file in it.
    Own,
    /// A directory above it, such as /tmp: its sticky bit keeps users from replacing files of others.
    Above,
}

/// Why another user than `owner` and root could change `path`; `None` for a missing file.
fn changeable(path: &Path, owner: u32, level: Level) -> Option<String> {
    let shown = path.display();
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => return Some(format!("cannot read {shown}: {error}")),
    };
    if meta.uid() != owner && meta.uid() != 0 {
        return Some(format!("{shown} belongs to user {}", meta.uid()));
    }
    let sticky = level == Level::Above && meta.mode() & 0o1000 != 0;
    (meta.mode() & 0o022 != 0 && !sticky).then(|| format!("other users can write to {shown}"))
}

/// The user who listens at `address`, from /proc/net/tcp (proc(5); state 0A is LISTEN); `None` where the kernel has no
/// such list.
fn listener_uid(address: SocketAddr) -> io::Result<Option<u32>> {
    let mut found = None;
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        match fs::read_to_string(file) {
            Ok(table) => found = found.or_else(|| listener_in(&table, address)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if found.is_none() && Path::new("/proc/net/tcp").exists() {
        return Err(io::Error::other(format!(
            "/proc/net/tcp has no listener at {address}"
        )));
    }
    Ok(found)
}

/// The user of the row of `table` that listens at `address`; a socket of that address takes precedence over the unspecified one.
fn listener_in(table: &str, address: SocketAddr) -> Option<u32> {
    let mut every = None;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, "0A", _, _, _, uid, ..] = fields.as_slice() else {
            continue;
        };
        let Some((ip, port)) = local.split_once(':') else {
            continue;
        };
        if u16::from_str_radix(port, 16) != Ok(address.port()) {
            continue;
        }
        let uid = uid.parse().ok();
        if ip == hexadecimal(address) {
            return uid;
        }
        if ip.chars().all(|digit| digit == '0') {
            every = uid;
        }
    }
    every
}

/// An address as the kernel prints it: 32-bit words in the machine's byte order.
fn hexadecimal(address: SocketAddr) -> String {
    let octets = match address {
        SocketAddr::V4(v4) => v4.ip().octets().to_vec(),
        SocketAddr::V6(v6) => v6.ip().octets().to_vec(),
    };
    octets
        .chunks(4)
        .map(|word| {
            let word = <[u8; 4]>::try_from(word).unwrap_or_default();
            format!("{:08X}", u32::from_ne_bytes(word))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn daemon(directory: &Path) -> DaemonInfo {
        DaemonInfo {
            state_directory: directory.to_owned(),
            ..DaemonInfo::default()
        }
    }

    #[test]
    fn the_owner_of_a_listener_is_read_from_proc() {
        let me = nix::unistd::geteuid().as_raw();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let address = listener.local_addr().unwrap();
            assert_eq!(listener_uid(address).unwrap(), Some(me), "{address}");
            drop(listener);
            assert!(listener_uid(address).is_err());
        }
    }

    #[test]
    fn the_ca_of_another_users_daemon_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let address = "127.0.0.1:4483".parse().unwrap();
        let me = fs::metadata(directory.path()).unwrap().uid();
        let us = TrustedUsers {
            caller: me,
            service: Some(990),
        };
        let asked = |listener| trusted(address, &daemon(directory.path()), listener, &us);
        assert!(asked(Some(me)).is_ok());
        assert!(
            asked(None).is_ok(),
            "where the kernel has no list, the directory's owner counts"
        );
        let refused = asked(Some(1234)).unwrap_err().to_string();
        assert!(refused.contains("belongs to user 1234"), "{refused}");
        // The service's user listens, and names a directory that is not its own.
        if me != 990 {
            let refused = asked(Some(990)).unwrap_err().to_string();
            assert!(refused.contains("not to the daemon's user"), "{refused}");
        }
    }

    #[test]
    fn a_ca_that_other_users_can_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(CERTIFICATE_FILE);
        fs::write(&file, "-").unwrap();
        let me = fs::metadata(directory.path()).unwrap().uid();
        let us = TrustedUsers {
            caller: me,
            service: None,
        };
        let address = "127.0.0.1:4483".parse().unwrap();
        let asked = || trusted(address, &daemon(directory.path()), Some(me), &us);
        for path in [&file, directory.path()] {
            let mode = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
            let refused = asked().unwrap_err().to_string();
            assert!(refused.contains("other users can write to"), "{refused}");
            fs::set_permissions(path, mode).unwrap();
        }
        assert!(asked().is_ok());
    }
}
