//! The user's credentials, from git's helpers. Nothing prompts for them, shows them, or approves or rejects them.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use tokio::{process::Command, sync::Mutex};

use super::{program, url::RemoteUrl};
use crate::model::{Scheme, Secret};

/// A helper that contacts a server may need seconds. One that waits for the user is killed.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Runs `git credential fill` once for each URL.
pub(crate) struct CredentialSource {
    directory: PathBuf,
    known: Mutex<BTreeMap<String, Option<Secret>>>,
}

impl CredentialSource {
    /// Runs git in `directory`, with its settings.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            known: Mutex::default(),
        }
    }

    /// The value of `Authorization` for `url`; `None` where no helper has credentials.
    pub(super) async fn authorization(&self, url: &RemoteUrl) -> Option<Secret> {
        let mut known = self.known.lock().await;
        let key = format!("{}{}", url.target, url.path);
        if let Some(secret) = known.get(&key) {
            return secret.clone();
        }
        let secret = self.fill(url).await;
        known.insert(key, secret.clone());
        secret
    }

    async fn fill(&self, url: &RemoteUrl) -> Option<Secret> {
        let mut question = format!(
            "protocol=https\nhost={}\npath={}\n",
            url.target.authority(Scheme::Https),
            url.path.trim_start_matches('/')
        );
        if let Some(name) = &url.username {
            question.push_str(&format!("username={name}\n"));
        }
        question.push('\n');
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.directory)
            .args(["credential", "fill"]);
        let answer = program::run(command, &question, TIMEOUT).await.ok()?;
        if !answer.is_success() {
            return None;
        }
        let field = |name: &str| {
            answer
                .stdout
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        let pair = format!("{}:{}", field("username")?, field("password")?);
        Some(Secret::new(format!(
            "Basic {}",
            BASE64_STANDARD.encode(pair)
        )))
    }
}
