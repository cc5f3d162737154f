//! What the user wants tried.

use crate::{
    cli::Failure,
    config::Config,
    doctor::{PlannedHost, Purpose, of_config},
    model::{Scheme, Target},
};

/// The hosts that `words` name; those of all routes where there are none.
pub(super) fn hosts(words: &[String], config: &Config) -> Result<Vec<PlannedHost>, Failure> {
    if words.is_empty() {
        return Ok(of_config(config));
    }
    words.iter().map(|word| host(word)).collect()
}

/// A host, a host with a port, or a URL as git takes it.
fn host(word: &str) -> Result<PlannedHost, Failure> {
    let unread = || {
        Failure::usage(format!("{word} is no host, no URL and no directory"))
            .hint("such as `huggingface.co`, `https://huggingface.co/me/model` or `.`")
    };
    let (scheme, rest) = word.split_once("://").unwrap_or(("https", word));
    let authority = rest.split('/').next().unwrap_or_default();
    // User info is a secret.
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (purpose, port) = match scheme {
        "https" => (Purpose::Requests(Scheme::Https), 443),
        "http" => (Purpose::Requests(Scheme::Http), 80),
        "ssh" | "git+ssh" | "ssh+git" => (Purpose::Ssh, 22),
        _ => return Err(unread()),
    };
    let target = Target::parse(authority, Some(port)).map_err(|_| unread())?;
    Ok(PlannedHost { target, purpose })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_urls_are_read_as_git_reads_them() {
        for (word, target, purpose) in [
            ("hf.co", "hf.co:443", Purpose::Requests(Scheme::Https)),
            ("hf.co:8443", "hf.co:8443", Purpose::Requests(Scheme::Https)),
            (
                "https://me:secret@hf.co/me/model.git",
                "hf.co:443",
                Purpose::Requests(Scheme::Https),
            ),
            (
                "http://hf.co/x",
                "hf.co:80",
                Purpose::Requests(Scheme::Http),
            ),
            ("ssh://git@hf.co/x", "hf.co:22", Purpose::Ssh),
        ] {
            let planned = host(word).unwrap();
            assert_eq!(planned.target.to_string(), target, "{word}");
            assert_eq!(planned.purpose, purpose, "{word}");
        }
        for word in ["ftp://hf.co/", "", "a b", "me@"] {
            assert!(host(word).is_err(), "{word}");
        }
    }
}
