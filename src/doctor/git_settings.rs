//! Git's settings with the files that set them, as `git config --null --show-origin` prints them.

/// One value, and its file.
pub(crate) struct GitSetting {
    pub(crate) origin: String,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Parses the output, which is origin, entry, origin, entry, and so on.
pub(crate) fn parse(listed: &str) -> Vec<GitSetting> {
    let mut parts = listed.split('\0');
    let mut settings = Vec::new();
    while let (Some(origin), Some(entry)) = (parts.next(), parts.next()) {
        // A key without a value is true.
        let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
        settings.push(GitSetting {
            origin: origin.strip_prefix("file:").unwrap_or(origin).to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        });
    }
    settings
}

impl GitSetting {
    /// True for `http.sslVerify` and `http.<url>.sslVerify` that are off.
    pub(crate) fn disables_verification(&self) -> bool {
        let off = ["false", "no", "off", "0", ""];
        self.key.starts_with("http.")
            && self.key.ends_with("sslverify")
            && off.iter().any(|no| self.value.eq_ignore_ascii_case(no))
    }
}
