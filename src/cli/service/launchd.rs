//! launchd: a LaunchAgent of the user of a Mac. It was never tried on a Mac; the tests check the plist.

use std::{path::PathBuf, process::Command};

use super::installation::{
    Installation, Manager, remove, remove_passwords, run, succeeds, write, write_passwords,
};
use crate::cli::{Failure, setup::HostEnv};

const PLIST: &str = include_str!("../../../deploy/launchd/org.gitferry.daemon.plist");
const LABEL: &str = "org.gitferry.daemon";

/// The user's launchd.
pub(super) struct Launchd {
    plist: PathBuf,
    log: PathBuf,
    secrets: PathBuf,
    domain: String,
}

impl Launchd {
    pub(super) fn new() -> Result<Self, Failure> {
        let host = HostEnv::of_this_process()?;
        let library = host.home()?.join("Library");
        Ok(Self {
            plist: library.join(format!("LaunchAgents/{LABEL}.plist")),
            log: library.join("Logs/gitferry.log"),
            secrets: host.user_config()?,
            domain: format!("gui/{}", nix::unistd::getuid().as_raw()),
        })
    }

    fn target(&self) -> String {
        format!("{}/{LABEL}", self.domain)
    }

    fn text(&self, installation: &Installation) -> String {
        let arguments = installation.command().chain(["run".to_owned()]);
        let arguments: String = arguments
            .map(|argument| format!("\t\t<string>{}</string>\n", xml(&argument)))
            .collect();
        let variables: String = installation
            .environment(&self.secrets)
            .map(|(name, value)| {
                format!(
                    "\t\t<key>{name}</key>\n\t\t<string>{}</string>\n",
                    xml(&value)
                )
            })
            .collect();
        PLIST
            .replace(
                "\t\t<string>/usr/local/bin/gitferry</string>\n\t\t<string>run</string>\n",
                &arguments,
            )
            .replace("/tmp/org.gitferry.daemon.log", &xml(&self.log.display().to_string()))
            .replace(
                "\t<key>RunAtLoad</key>",
                &format!("\t<key>EnvironmentVariables</key>\n\t<dict>\n{variables}\t</dict>\n\t<key>RunAtLoad</key>"),
            )
    }
}

impl Manager for Launchd {
    fn install(&self, installation: &Installation) -> Result<(), Failure> {
        write_passwords(installation, &self.secrets)?;
        let text = self.text(installation);
        write(&self.plist, &text, 0o644)?;
        // A loaded agent would keep the old plist. This fails where none is loaded, which does not matter.
        let _ = succeeds(Command::new("launchctl").args(["bootout", &self.target()]));
        let plist = self.plist.to_string_lossy().into_owned();
        run(Command::new("launchctl").args(["bootstrap", &self.domain, &plist]))
    }

    fn uninstall(&self) -> Result<(), Failure> {
        let _ = succeeds(Command::new("launchctl").args(["bootout", &self.target()]))?;
        remove(&self.plist)?;
        remove_passwords(&self.secrets)?;
        Ok(())
    }

    fn control(&self, verb: &str) -> Result<(), Failure> {
        let mut command = Command::new("launchctl");
        match verb {
            "stop" => command.args(["kill", "TERM", &self.target()]),
            "restart" => command.args(["kickstart", "-k", &self.target()]),
            _ => command.args(["kickstart", &self.target()]),
        };
        run(&mut command)
    }

    fn status(&self) -> Result<(), Failure> {
        run(Command::new("launchctl").args(["print", &self.target()]))
    }

    fn logs(&self, follow: bool, lines: u32) -> Result<(), Failure> {
        let mut command = Command::new("tail");
        command.args(["-n", &lines.to_string()]);
        if follow {
            command.arg("-F");
        }
        run(command.arg(&self.log))
    }
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{cli::service::proxies::Proxies, model::Secret};

    #[test]
    fn the_plist_has_the_installed_path_and_no_password() {
        let launchd = Launchd {
            plist: "/p".into(),
            log: "/Users/a & b/Library/Logs/gitferry.log".into(),
            secrets: "/s".into(),
            domain: "gui/501".into(),
        };
        let text = launchd.text(&Installation {
            binary: "/opt/a & b/gitferry".into(),
            config: None,
            listen: Vec::new(),
            proxies: Proxies {
                variables: vec![("HTTPS_PROXY".into(), "http://me@proxy.test:1".into())],
                passwords: vec![("HTTPS_PROXY".into(), Secret::new("hunter2"))],
            },
        });
        for part in [
            "<string>/opt/a &amp; b/gitferry</string>\n\t\t<string>run</string>",
            "<key>HTTPS_PROXY</key>\n\t\t<string>http://me@proxy.test:1</string>",
            "<key>HTTPS_PROXY_PASSWORD_FILE</key>\n\t\t<string>/s/HTTPS_PROXY.password</string>",
            "<string>/Users/a &amp; b/Library/Logs/gitferry.log</string>",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            !text.contains("hunter2") && !text.contains("<string>/usr/local/bin"),
            "{text}"
        );
        let Some(plist) = read(&text) else {
            return;
        };
        let arguments = ["/opt/a & b/gitferry", "run"];
        assert_eq!(plist["ProgramArguments"], serde_json::json!(arguments));
        let variables = serde_json::json!({
            "HTTPS_PROXY": "http://me@proxy.test:1",
            "HTTPS_PROXY_PASSWORD_FILE": "/s/HTTPS_PROXY.password",
        });
        assert_eq!(plist["EnvironmentVariables"], variables);
        let log = "/Users/a & b/Library/Logs/gitferry.log";
        assert_eq!(plist["StandardErrorPath"], log);
        assert_eq!(plist["RunAtLoad"], true);
        assert_eq!(plist["KeepAlive"]["SuccessfulExit"], false);
    }

    /// The plist as Python's parser reads it; `None` on a machine without Python.
    fn read(text: &str) -> Option<serde_json::Value> {
        let program =
            "import json, plistlib, sys; print(json.dumps(plistlib.load(sys.stdin.buffer)))";
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let mut python = Command::new("python3");
        let ended = python.args(["-c", program]).stdin(file).output().ok()?;
        let complaint = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{complaint}");
        Some(serde_json::from_slice(&ended.stdout).unwrap())
    }
}
