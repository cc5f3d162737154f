//! The current repository: where a push goes, as git itself reports it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::process::Command;

use super::{
    RemoteProtocol,
    program::{self, ProgramEnd},
    url::RemoteUrl,
};

/// git ends at once; only a broken file system delays it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a push of a repository uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// Its work tree, or the directory itself.
    pub directory: PathBuf,
    /// The remote that a push goes to.
    pub remote: String,
    /// Its push URLs.
    pub urls: Vec<RemoteUrl>,
    /// The LFS API.
    pub lfs: Option<RemoteUrl>,
    /// The ssh server on which git-lfs runs `git-lfs-authenticate` to get the URL of the LFS API and a token.
    pub lfs_ssh: Option<RemoteUrl>,
    /// True where it uses git-lfs.
    pub uses_lfs: bool,
    /// Unusual settings, a sentence each.
    pub oddities: Vec<String>,
}

/// All values of each key, in git's order.
pub(super) type Settings = BTreeMap<String, Vec<String>>;

impl Repository {
    /// Reads the repository of `directory`; `None` where there is none, or no remote.
    ///
    /// Fails where git cannot be run.
    pub(crate) async fn read(directory: &Path) -> Result<Option<Self>, String> {
        let git = async |arguments: &[&str]| git(directory, arguments).await;
        let top = git(&["rev-parse", "--show-toplevel"]).await?;
        let bare = git(&["rev-parse", "--absolute-git-dir"]).await?;
        let Some(root) = first_line(&top).or_else(|| first_line(&bare)) else {
            return Ok(None);
        };
        let root = PathBuf::from(root);
        let settings = parse(&git(&["config", "--null", "--list"]).await?.stdout);
        let branch = first_line(&git(&["symbolic-ref", "-q", "--short", "HEAD"]).await?);
        let names = git(&["remote"]).await?;
        let names: Vec<&str> = names.stdout.lines().collect();
        let Some(remote) = push_remote(&settings, branch.as_deref(), &names) else {
            return Ok(None);
        };
        let urls = git(&["remote", "get-url", "--push", "--all", &remote]).await?;
        let written: Vec<&str> = urls.stdout.lines().collect();
        let urls: Vec<RemoteUrl> = written
            .iter()
            .filter_map(|url| RemoteUrl::parse(url))
            .collect();
        let shared = safe_settings(&root).await?;
        let named = lfs_url(&settings, &shared, &remote);
        let lfs = match &named {
            Some(text) => {
                // `insteadOf` applies to it too (git-lfs: lfsapi/endpoint_finder.go).
                let aliased = git(&["ls-remote", "--get-url", text]).await?;
                RemoteUrl::parse(first_line(&aliased).as_deref().unwrap_or(text))
            }
            None => urls.first().cloned(),
        };
        let lfs_ssh = lfs
            .clone()
            .filter(|url| url.protocol == RemoteProtocol::Ssh);
        let lfs = match named.is_none() || lfs_ssh.is_some() {
            true => lfs.as_ref().map(RemoteUrl::lfs),
            false => lfs,
        };
        let uses_lfs = named.is_some() || tracks_lfs(&root).await;
        Ok(Some(Self {
            oddities: oddities(&settings, &urls, lfs.as_ref(), named.is_some()),
            directory: root,
            remote,
            urls,
            lfs,
            lfs_ssh,
            uses_lfs,
        }))
    }
}

/// Runs git in `directory`.
pub(super) async fn git(directory: &Path, arguments: &[&str]) -> Result<ProgramEnd, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments);
    program::run(command, "", TIMEOUT)
        .await
        .map_err(|error| format!("cannot run git: {error}"))
}

fn first_line(ended: &ProgramEnd) -> Option<String> {
    let line = ended.is_success().then(|| ended.stdout.lines().next())??;
    (!line.is_empty()).then(|| line.to_owned())
}

/// `git config --null --list`.
pub(super) fn parse(listed: &str) -> Settings {
    let mut settings = Settings::new();
    for entry in listed.split('\0').filter(|entry| !entry.is_empty()) {
        let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
        let values = settings.entry(key.to_owned()).or_default();
        values.push(value.to_owned());
    }
    settings
}

pub(super) fn last<'s>(settings: &'s Settings, key: &str) -> Option<&'s str> {
    settings.get(key)?.last().map(String::as_str)
}

/// The remote of `git push` without arguments (git-config(1), "remote.pushDefault").
fn push_remote(settings: &Settings, branch: Option<&str>, names: &[&str]) -> Option<String> {
    let of_branch = |key: &str| last(settings, &format!("branch.{}.{key}", branch?));
    let chosen = of_branch("pushremote")
        .or_else(|| last(settings, "remote.pushdefault"))
        .or_else(|| of_branch("remote"))
        .filter(|name| names.contains(name));
    match (chosen, names) {
        (Some(chosen), _) => Some(chosen.to_owned()),
        (None, [only]) => Some((*only).to_owned()),
        (None, names) if names.contains(&"origin") => Some("origin".into()),
        (None, [first, ..]) => Some((*first).to_owned()),
        (None, []) => None,
    }
}

/// The keys of `.lfsconfig` that git-lfs itself reads (git-lfs-config(5)); the file is part of the repository.
async fn safe_settings(root: &Path) -> Result<Settings, String> {
    let file = root.join(".lfsconfig");
    if !file.is_file() {
        return Ok(Settings::new());
    }
    let file = file.to_string_lossy().into_owned();
    let listed = git(root, &["config", "--null", "--list", "--file", &file]).await?;
    let mut settings = parse(&listed.stdout);
    settings.retain(|key, _| is_safe(key));
    Ok(settings)
}

fn is_safe(key: &str) -> bool {
    matches!(key, "lfs.url" | "lfs.pushurl")
        || key
            .strip_prefix("remote.")
            .is_some_and(|rest| rest.ends_with(".lfsurl") || rest.ends_with(".lfspushurl"))
}

/// The configured LFS endpoint for uploads; git's settings override `.lfsconfig`.
fn lfs_url(own: &Settings, shared: &Settings, remote: &str) -> Option<String> {
    let keys = [
        "lfs.pushurl".to_owned(),
        "lfs.url".to_owned(),
        format!("remote.{remote}.lfspushurl"),
        format!("remote.{remote}.lfsurl"),
    ];
    keys.iter()
        .find_map(|key| last(own, key).or_else(|| last(shared, key)))
        .map(str::to_owned)
}

/// True where `.gitattributes` at the top names the LFS filter.
async fn tracks_lfs(root: &Path) -> bool {
    let Ok(text) = tokio::fs::read_to_string(root.join(".gitattributes")).await else {
        return false;
    };
    text.lines().any(|line| line.contains("filter=lfs"))
}

fn oddities(
    settings: &Settings,
    urls: &[RemoteUrl],
    lfs: Option<&RemoteUrl>,
    named: bool,
) -> Vec<String> {
    let mut odd = Vec::new();
    if let (true, Some(lfs), Some(main)) = (named, lfs, urls.first())
        && lfs.target.host != main.target.host
    {
        odd.push(format!(
            "`lfs.url` sends LFS files to {}, not to {}",
            lfs.target.host, main.target.host
        ));
    }
    if urls.len() > 1 {
        odd.push(format!(
            "a push goes to {} URLs, one after the other",
            urls.len()
        ));
    }
    if last(settings, "lfs.transfer.enablehrefrewrite") == Some("true")
        && !settings.keys().any(|key| key.ends_with(".insteadof"))
    {
        odd.push("`lfs.transfer.enablehrefrewrite` is on, and no `url.*.insteadOf` is set".into());
    }
    odd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::new();
        for (key, value) in pairs {
            let values = settings.entry((*key).to_owned()).or_default();
            values.push((*value).to_owned());
        }
        settings
    }

    #[test]
    fn the_remote_of_a_push_is_chosen_as_git_chooses_it() {
        let names = ["origin", "fork"];
        let all = [
            ("branch.main.remote", "origin"),
            ("remote.pushdefault", "fork"),
        ];
        let chosen = |pairs: &[(&str, &str)], names: &[&str]| {
            push_remote(&settings(pairs), Some("main"), names)
        };
        assert_eq!(chosen(&all, &names).unwrap(), "fork");
        assert_eq!(chosen(all.get(..1).unwrap(), &names).unwrap(), "origin");
        assert_eq!(
            chosen(&[("branch.main.pushremote", "fork")], &names).unwrap(),
            "fork"
        );
        assert_eq!(chosen(&[], &["upstream"]).unwrap(), "upstream");
        assert_eq!(chosen(&[], &names).unwrap(), "origin");
        assert_eq!(chosen(&[], &[]), None);
    }

    #[test]
    fn the_users_lfs_url_overrides_that_of_lfsconfig_and_only_safe_keys_of_lfsconfig_count() {
        let own = settings(&[("lfs.url", "https://own.test/lfs")]);
        let shared = settings(&[
            ("lfs.url", "https://shared.test/lfs"),
            ("remote.origin.lfsurl", "https://other.test/"),
        ]);
        let of = |own: &Settings| lfs_url(own, &shared, "origin").unwrap();
        assert_eq!(of(&own), "https://own.test/lfs");
        assert_eq!(of(&Settings::new()), "https://shared.test/lfs");
        for (key, safe) in [
            ("lfs.url", true),
            ("remote.origin.lfsurl", true),
            ("http.proxy", false),
            ("lfs.customtransfer.x.path", false),
            ("credential.helper", false),
        ] {
            assert_eq!(is_safe(key), safe, "{key}");
        }
    }
}
