//! What to check: the hosts of the arguments.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{
    cli::Failure,
    config::Config,
    doctor::{PlannedHost, RemoteProtocol, RemoteUrl, Repository, of_config, of_repository},
    model::{Scheme, Target},
};

/// What to check.
pub(super) struct DoctorPlan {
    pub(super) hosts: Vec<PlannedHost>,
    /// The directory for git.
    pub(super) directory: PathBuf,
    /// The remote, where it uses ssh.
    pub(super) ssh: Option<RemoteUrl>,
    /// Notes to print before the results, a sentence each.
    pub(super) notes: Vec<String>,
}

/// The hosts that `words` name; without words those of the current repository, else those of all routes.
pub(super) async fn planned(words: &[String], config: &Config) -> Result<DoctorPlan, Failure> {
    let here = env::current_dir().unwrap_or_else(|_| ".".into());
    let mut planned = DoctorPlan {
        hosts: Vec::new(),
        directory: here.clone(),
        ssh: None,
        notes: Vec::new(),
    };
    if words.is_empty() {
        // Without git, the hosts of the routes can still be checked.
        if let Ok(Some(repository)) = Repository::read(&here).await {
            planned.add(repository, config);
        } else {
            planned.hosts = of_config(config);
        }
    }
    for word in words {
        let directory = Path::new(word);
        if directory.is_dir() {
            let read = Repository::read(directory).await.map_err(Failure::new)?;
            let repository = read.ok_or_else(|| {
                Failure::usage(format!("{word} is not a repository with a remote"))
                    .hint("change into a clone, or name a host: `gitferry doctor huggingface.co`")
            })?;
            planned.add(repository, config);
        } else {
            planned.hosts.push(host(word)?);
        }
    }
    Ok(planned)
}

impl DoctorPlan {
    fn add(&mut self, repository: Repository, config: &Config) {
        if repository.urls.is_empty() {
            self.notes.push(format!(
                "remote {} is on this machine: a push to it does not use the network",
                repository.remote
            ));
        }
        self.notes.extend(repository.oddities.iter().cloned());
        if repository.uses_lfs && repository.lfs_ssh.is_some() {
            self.notes.push(LFS_OVER_SSH.into());
        }
        let mut urls = repository.urls.iter();
        self.ssh = urls
            .find(|url| url.protocol == RemoteProtocol::Ssh)
            .cloned();
        self.hosts.extend(of_repository(&repository, config));
        self.directory = repository.directory;
    }
}

/// What is not checked where git-lfs logs in over ssh.
const LFS_OVER_SSH: &str = "git-lfs runs `git-lfs-authenticate` on the ssh server to get the LFS URL and a token; doctor does not log in \
                            over ssh, and checks only that the ssh server and the LFS API on https answer";

/// A host, a host with a port, or a URL as git takes it.
fn host(word: &str) -> Result<PlannedHost, Failure> {
    let unread = || {
        Failure::usage(format!("{word} is not a host, URL or directory"))
            .hint("such as `huggingface.co`, `https://huggingface.co/me/model` or `.`")
    };
    let is_url = word.contains("://") || word.contains('@');
    let (target, protocol) = match is_url {
        true => {
            let url = RemoteUrl::parse(word).ok_or_else(unread)?;
            (url.target, url.protocol)
        }
        false => {
            let host = word.split('/').next().unwrap_or_default();
            let target = Target::parse(host, Some(443)).map_err(|_| unread())?;
            match target.port {
                22 => (target, RemoteProtocol::Ssh),
                _ => (target, RemoteProtocol::Requests(Scheme::Https)),
            }
        }
    };
    Ok(PlannedHost::new(target, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_urls_are_read_as_git_reads_them() {
        for (word, target, protocol) in [
            (
                "hf.co",
                "hf.co:443",
                RemoteProtocol::Requests(Scheme::Https),
            ),
            (
                "hf.co:8443",
                "hf.co:8443",
                RemoteProtocol::Requests(Scheme::Https),
            ),
            (
                "https://me:secret@hf.co/me/model.git",
                "hf.co:443",
                RemoteProtocol::Requests(Scheme::Https),
            ),
            (
                "http://hf.co/x",
                "hf.co:80",
                RemoteProtocol::Requests(Scheme::Http),
            ),
            ("ssh://git@hf.co/x", "hf.co:22", RemoteProtocol::Ssh),
            ("git@hf.co:me/x", "hf.co:22", RemoteProtocol::Ssh),
        ] {
            let planned = host(word).ok().unwrap();
            assert_eq!(planned.target.to_string(), target, "{word}");
            assert_eq!(planned.protocol, protocol, "{word}");
        }
        for word in ["ftp://hf.co/", "", "a b", "me@"] {
            assert!(host(word).is_err(), "{word}");
        }
    }
}
