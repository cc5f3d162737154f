//! The config file of a daemon under test.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::hop;

/// A builder for a config file.
#[derive(Clone)]
pub(crate) struct Settings {
    level: &'static str,
    grace: &'static str,
    head_timeout: &'static str,
    root: PathBuf,
    more_roots: String,
    pub(super) dir: PathBuf,
    listen: String,
    dial: String,
    hops: String,
    routes: String,
    sections: String,
}

impl Settings {
    /// Trusts only `root` and keeps its state below `dir`.
    pub(crate) fn new(dir: &Path, root: PathBuf) -> Self {
        fs::create_dir_all(dir).unwrap();
        Self {
            level: "debug",
            grace: "60s",
            head_timeout: "30s",
            root,
            more_roots: String::new(),
            dir: dir.to_owned(),
            listen: String::new(),
            dial: String::new(),
            hops: String::new(),
            routes: String::new(),
            sections: String::new(),
        }
    }

    /// Requires these credentials of every client.
    #[must_use]
    pub(crate) fn account(mut self, username: &str, password: &str) -> Self {
        let file = self.private_file("own-password", &format!("{password}\n"));
        let _ = writeln!(
            self.listen,
            "username = \"{username}\"\npassword_file = \"{}\"",
            file.display()
        );
        self
    }

    /// Adds a line to `[listen]`.
    #[must_use]
    pub(crate) fn listen(mut self, line: &str) -> Self {
        self.listen += &format!("{line}\n");
        self
    }

    /// Trusts another root too.
    #[must_use]
    pub(crate) fn extra_root(mut self, root: &Path) -> Self {
        self.more_roots += &format!(", \"{}\"", root.display());
        self
    }

    /// Adds a line to `[dial]`.
    #[must_use]
    pub(crate) fn dial(mut self, line: &str) -> Self {
        self.dial += &format!("{line}\n");
        self
    }

    /// Writes the finished file.
    #[must_use]
    pub(crate) fn trace(mut self) -> Self {
        self.level = "trace";
        self
    }

    /// A hop without credentials.
    #[must_use]
    pub(crate) fn hop_without_credentials(mut self, name: &str, url: &str) -> Self {
        let _ = writeln!(self.hops, "{name} = {{ url = \"{url}\" }}");
        self
    }

    /// A hop by the keys of its table, as written in TOML.
    #[must_use]
    pub(crate) fn hop_as_written(mut self, name: &str, keys: &str) -> Self {
        let _ = writeln!(self.hops, "{name} = {{ {keys} }}");
        self
    }

    /// A file in the daemon's directory that only its owner can read, such as a password.
    pub(crate) fn private_file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// Another `shutdown.grace`.
    #[must_use]
    pub(crate) fn grace(mut self, grace: &'static str) -> Self {
        self.grace = grace;
        self
    }

    /// Another `listen.head_timeout`.
    #[must_use]
    pub(crate) fn head_timeout(mut self, limit: &'static str) -> Self {
        self.head_timeout = limit;
        self
    }

    /// A hop with the credentials of the real hops.
    #[must_use]
    pub(crate) fn hop(mut self, name: &str, url: &str) -> Self {
        let file = self.private_file("hop-password", &format!("{}\n", hop::PASSWORD));
        let _ = writeln!(
            self.hops,
            "{name} = {{ url = \"{url}\", username = \"{}\", password_file = \"{}\" }}",
            hop::USER,
            file.display()
        );
        self
    }

    /// A route for `host` at address `to`, over `upstreams` in order.
    #[must_use]
    pub(crate) fn route(self, host: &str, tls: &str, upstreams: &[&str], to: SocketAddr) -> Self {
        self.route_to(host, tls, upstreams, Some(to))
    }

    /// Like [`Settings::route`]; without an address the name is resolved.
    #[must_use]
    pub(crate) fn route_to(
        mut self,
        host: &str,
        tls: &str,
        upstreams: &[&str],
        to: Option<SocketAddr>,
    ) -> Self {
        let name = host.split('.').next().unwrap_or(host);
        // As the default config has it for the Hub's names.
        let storage =
            name == "storage" || name.starts_with("hf-hub-lfs") || name.starts_with("cdn-lfs");
        let role = if storage { "lfs-storage" } else { "main-site" };
        let ways = upstreams.iter().map(|way| format!("{{ via = \"{way}\" }}"));
        let ways = ways.collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            self.routes,
            "[[route]]\nname = \"{name}\"\nrole = \"{role}\"\nhosts = [\"{host}\"]\ntls = \"{tls}\"\nupstreams = [{ways}]",
        );
        if let Some(to) = to {
            let _ = writeln!(self.routes, "resolve = {{ \"{host}\" = \"{to}\" }}");
        }
        self
    }

    /// A main site whose route for HTTPS is at `https`, and for ssh at `ssh`.
    #[must_use]
    pub(crate) fn route_with_ssh(self, host: &str, https: SocketAddr, ssh: SocketAddr) -> Self {
        let ssh = format!(
            "[[route]]\nname = \"ssh\"\nrole = \"main-site\"\nhosts = [\"{host}\"]\nports = [22]\ntls = \"tunnel\"\n\
             upstreams = [{{ via = \"direct\" }}]\nresolve = {{ \"{host}\" = \"{ssh}\" }}"
        );
        self.route(host, "terminate", &["direct"], https)
            .route_line("ports = [443]")
            .section(&ssh)
    }

    /// A terminated route for `host` with `upstreams` as written in TOML, and where its names are.
    #[allow(dead_code, reason = "one of the test binaries needs it")]
    #[must_use]
    pub(crate) fn route_as_written(
        mut self,
        host: &str,
        upstreams: &str,
        at: &[(&str, SocketAddr)],
    ) -> Self {
        let name = host.split('.').next().unwrap_or(host);
        let at = at.iter().map(|(name, at)| format!("\"{name}\" = \"{at}\""));
        let at = at.collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            self.routes,
            "[[route]]\nname = \"{name}\"\nrole = \"main-site\"\nhosts = [\"{host}\"]\ntls = \"terminate\"\n\
             upstreams = [{upstreams}]\nresolve = {{ {at} }}",
        );
        self
    }

    /// Adds a line to the last route.
    #[must_use]
    pub(crate) fn route_line(mut self, line: &str) -> Self {
        let _ = writeln!(self.routes, "{line}");
        self
    }

    /// Adds a section, with its head.
    #[must_use]
    pub(crate) fn section(mut self, text: &str) -> Self {
        self.sections += &format!("{text}\n");
        self
    }

    /// Writes the file for programs that read it without a daemon; returns its path.
    pub(crate) fn write(&self, address: &str) -> PathBuf {
        let file = self.dir.join("gitferry.toml");
        fs::write(&file, self.text(address)).unwrap();
        file
    }

    /// The text of the file.
    pub(super) fn text(&self, address: &str) -> String {
        let Self {
            level,
            grace,
            head_timeout,
            root,
            more_roots,
            dir,
            listen,
            dial,
            hops,
            routes,
            sections,
        } = self;
        format!(
            "[listen]\naddress = \"{address}\"\nhead_timeout = \"{head_timeout}\"\n{listen}[state]\ndirectory = \"{}\"\n\
             [trust]\nplatform_roots = false\nextra_roots = [\"{}\"{more_roots}]\n\
             [log]\nformat = \"json\"\nlevel = \"{level}\"\n[shutdown]\ngrace = \"{grace}\"\n\
             [pool]\nidle_timeout = \"2s\"\n[dial]\n{dial}{sections}[hops]\n{hops}\
             [other_hosts]\ntls = \"deny\"\n[built_in]\nroutes = false\n{routes}",
            dir.join("state").display(),
            root.display(),
        )
    }
}
