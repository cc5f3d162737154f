//! systemd: a user's own units below `~/.config/systemd/user`, root's below `/etc/systemd/system`.

use std::{
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
};

use nix::unistd::{User, geteuid};

use super::installation::{
    IN_A_TERMINAL, Installation, Manager, remove, remove_passwords, run, say, succeeds, write,
    write_passwords,
};
use crate::cli::{Failure, setup::HostEnv};

const USER_SERVICE: &str = include_str!("../../../deploy/systemd/user/gitferry.service");
const USER_SOCKET: &str = include_str!("../../../deploy/systemd/user/gitferry.socket");
const SYSTEM_SERVICE: &str = include_str!("../../../deploy/systemd/gitferry.service");
const SYSTEM_SOCKET: &str = include_str!("../../../deploy/systemd/gitferry.socket");
const SYSUSERS: &str = include_str!("../../../deploy/systemd/gitferry.sysusers");

/// The binary in the system unit of `deploy/`.
const SYSTEM_BINARY: &str = "/usr/local/bin/gitferry";
const SYSUSERS_FILE: &str = "/etc/sysusers.d/gitferry.conf";
const UNITS: [&str; 2] = ["gitferry.socket", "gitferry.service"];

/// systemd of the user, or for root of the system.
pub(super) struct Systemd {
    system: bool,
    units: PathBuf,
    /// The directory of the files with the passwords of proxies.
    secrets: PathBuf,
}

impl Systemd {
    /// The system's for root without `user`, else the user's.
    pub(super) fn new(user: bool) -> Result<Self, Failure> {
        let host = HostEnv::of_this_process()?;
        if geteuid().is_root() && !user {
            return Ok(Self {
                system: true,
                units: "/etc/systemd/system".into(),
                secrets: "/etc/gitferry".into(),
            });
        }
        let secrets = host.user_config()?;
        Ok(Self {
            system: false,
            units: secrets.with_file_name("systemd").join("user"),
            secrets,
        })
    }

    fn systemctl(&self, arguments: &[&str]) -> Result<(), Failure> {
        run(self.command("systemctl").args(arguments))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if !self.system {
            command.arg("--user");
        }
        command
    }
}

impl Manager for Systemd {
    /// Fails where systemd does not run, or has no bus for this user.
    fn check(&self) -> Result<(), Failure> {
        let mut command = self.command("systemctl");
        let shown = command.args(["show", "--property=Version"]).output();
        let shown = shown
            .map_err(|error| Failure::during("cannot run systemctl", error).hint(IN_A_TERMINAL))?;
        if shown.status.success() {
            return Ok(());
        }
        let whose = if self.system { "system" } else { "user" };
        let said = String::from_utf8_lossy(&shown.stderr);
        Err(Failure::new(format!(
            "the {whose}'s systemd does not answer: {}",
            said.lines().next().unwrap_or_default()
        ))
        .hint(IN_A_TERMINAL))
    }

    /// Creates the user and group of the system's service, which the config may name in `[listen]`: before it is read.
    fn prepare(&self, binary: &Path) -> Result<(), Failure> {
        if !self.system {
            return Ok(());
        }
        fits_the_system(binary)?;
        write(Path::new(SYSUSERS_FILE), SYSUSERS, 0o644)?;
        run(&mut Command::new("systemd-sysusers"))
    }

    fn install(&self, installation: &Installation) -> Result<(), Failure> {
        for file in write_passwords(installation, &self.secrets)? {
            if self.system {
                give_to_service(&file)?;
            }
        }
        let (service, socket) = if self.system {
            (SYSTEM_SERVICE, SYSTEM_SOCKET)
        } else {
            (USER_SERVICE, USER_SOCKET)
        };
        let service = service_text(service, installation, &self.secrets);
        write(&self.units.join("gitferry.service"), &service, 0o644)?;
        let socket = socket_text(socket, &installation.listen);
        write(&self.units.join("gitferry.socket"), &socket, 0o644)?;
        self.systemctl(&["daemon-reload"])?;
        self.systemctl(&["enable", "--now", "gitferry.socket", "gitferry.service"])?;
        if !self.system {
            say(
                "it starts at login; with `loginctl enable-linger` it starts at boot and runs after you log out",
            )?;
        }
        Ok(())
    }

    fn uninstall(&self) -> Result<(), Failure> {
        if !self.units.join("gitferry.service").exists() {
            return say("the service is not installed");
        }
        self.systemctl(&["disable", "--now", "gitferry.socket", "gitferry.service"])?;
        for unit in UNITS {
            remove(&self.units.join(unit))?;
        }
        remove_passwords(&self.secrets)?;
        if self.system {
            remove(Path::new(SYSUSERS_FILE))?;
        }
        self.systemctl(&["daemon-reload"])
    }

    fn control(&self, verb: &str) -> Result<(), Failure> {
        match verb {
            // With the socket, systemd would start the service again at the next connection.
            "stop" => self.systemctl(&["stop", "gitferry.socket", "gitferry.service"]),
            "start" => self.systemctl(&["start", "gitferry.socket", "gitferry.service"]),
            verb => self.systemctl(&[verb, "gitferry.service"]),
        }
    }

    fn status(&self) -> Result<(), Failure> {
        let mut command = self.command("systemctl");
        let running =
            succeeds(command.args(["status", "--no-pager", "--lines=5", "gitferry.service"]))?;
        if running {
            return Ok(());
        }
        Err(Failure::new("the service is not running").hint("run `gitferry service start`"))
    }

    fn logs(&self, follow: bool, lines: u32) -> Result<(), Failure> {
        let mut command = self.command("journalctl");
        command.args(["--no-pager", "--output=cat", "--unit=gitferry.service"]);
        command.arg(format!("--lines={lines}"));
        if follow {
            command.arg("--follow");
        }
        run(&mut command)
    }
}

/// Fails for a binary in a home directory, which the system's service cannot read.
fn fits_the_system(binary: &Path) -> Result<(), Failure> {
    let at_home = ["/root", "/home", "/run/user"]
        .iter()
        .any(|home| binary.starts_with(home));
    if !at_home {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} is in a home directory, which the system service cannot read",
        binary.display()
    ))
    .hint(format!(
        "run `install -m 0755 {} {SYSTEM_BINARY}`, then `{SYSTEM_BINARY} service install`",
        binary.display()
    )))
}

fn give_to_service(file: &Path) -> Result<(), Failure> {
    let during = |error| {
        Failure::during(
            format!("cannot give {} to the service", file.display()),
            error,
        )
    };
    let user = User::from_name("gitferry").ok().flatten();
    let user = user.ok_or_else(|| Failure::new("cannot create the user gitferry"))?;
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    chown(file, Some(uid), Some(gid)).map_err(during)
}

/// The unit with the path of the binary and the proxies.
fn service_text(unit: &str, installation: &Installation, secrets: &Path) -> String {
    let binary = installation.binary.display().to_string();
    let quoted = |part: String| match &*part {
        "--config" => part,
        value => word(value),
    };
    let command: Vec<String> = installation.command().map(quoted).collect();
    let mut start = format!("ExecStart={} run\n", command.join(" "));
    for (name, value) in installation.environment(secrets) {
        let variable = word(&format!("{name}={value}"));
        start.push_str(&format!("Environment={variable}\n"));
    }
    unit.lines()
        .map(|line| match line {
            line if line.starts_with("ExecStart=") => start.clone(),
            line if line.starts_with("ExecPaths=") => {
                format!("{}\n", line.replace(SYSTEM_BINARY, &word(&binary)))
            }
            line => format!("{line}\n"),
        })
        .collect()
}

/// The socket with the addresses of the config.
fn socket_text(unit: &str, listen: &[String]) -> String {
    unit.lines()
        .map(|line| match line {
            line if line.starts_with("ListenStream=") => listen
                .iter()
                .map(|address| format!("ListenStream={address}\n"))
                .collect(),
            line => format!("{line}\n"),
        })
        .collect()
}

/// One word of a unit file (systemd.service(5), "Command lines"; systemd.unit(5), "Specifiers").
fn word(text: &str) -> String {
    let escaped = text
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::service::proxies::Proxies, model::Secret};

    #[test]
    fn the_unit_has_the_installed_path_and_no_password() {
        let installation = Installation {
            binary: "/opt/my tools/100%/gitferry".into(),
            config: Some("/etc/x.toml".into()),
            listen: vec!["127.0.0.1:1".into(), "[::1]:1".into()],
            proxies: Proxies {
                variables: vec![("HTTPS_PROXY".into(), "http://me%40x@proxy.test:3128".into())],
                passwords: vec![("HTTPS_PROXY".into(), Secret::new("hunter2"))],
            },
        };
        for unit in [USER_SERVICE, SYSTEM_SERVICE] {
            let text = service_text(unit, &installation, Path::new("/s"));
            let start = "ExecStart=\"/opt/my tools/100%%/gitferry\" --config \"/etc/x.toml\" run\n";
            assert!(text.contains(start), "{text}");
            assert!(text.contains("Environment=\"HTTPS_PROXY=http://me%%40x@proxy.test:3128\"\n"));
            assert!(
                text.contains(
                    "Environment=\"HTTPS_PROXY_PASSWORD_FILE=/s/HTTPS_PROXY.password\"\n"
                )
            );
            assert!(!text.contains("hunter2"));
            assert_eq!(text.matches("ExecStart=").count(), 1, "{text}");
        }
        let text = socket_text(USER_SOCKET, &installation.listen);
        assert!(
            text.contains("ListenStream=127.0.0.1:1\nListenStream=[::1]:1\n"),
            "{text}"
        );
    }

    #[test]
    fn the_system_service_refuses_a_binary_in_a_home_directory() {
        assert!(fits_the_system(Path::new("/root/.cargo/bin/gitferry")).is_err());
        assert!(fits_the_system(Path::new(SYSTEM_BINARY)).is_ok());
    }
}
