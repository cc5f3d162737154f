//! The result of a rewrite: what changed, and which hosts have no route.

use super::MappedUrl;

/// What was found in a response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// How many fields or URLs were changed.
    pub changed: usize,
    /// Hosts without a route that the response links to.
    pub unserved: Vec<Box<str>>,
}

impl Findings {
    pub(super) fn map(&mut self, mapped: MappedUrl) -> Option<String> {
        match mapped {
            MappedUrl::Same => None,
            MappedUrl::To(url) => {
                self.changed += 1;
                Some(url)
            }
            MappedUrl::Away { host, url } => {
                if !self.unserved.contains(&host) && self.unserved.len() < MOST_AWAY {
                    self.unserved.push(host);
                }
                self.changed += usize::from(url.is_some());
                url
            }
        }
    }
}

/// The most hosts that are recorded: as many as fit in one log line.
const MOST_AWAY: usize = 8;
