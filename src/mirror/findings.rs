//! The result of a rewrite: what changed, and which hosts have no route.

use super::{MappedUrl, Mapping, mapping::UrlUse};
use crate::model::credential_memory::CredentialOrigin;

/// What was found in a response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// How many fields or URLs were changed.
    pub changed: usize,
    /// Hosts without a route that the response links to.
    pub unserved: Vec<Box<str>>,
    /// On the reverse front, the other origins that the client reaches through this daemon if it follows the response's URLs.
    pub links: Vec<CredentialOrigin>,
}

impl Findings {
    /// Maps a URL and records the origin that it leads to: a URL is never mapped without the record.
    pub(super) fn map(&mut self, mapping: &Mapping, text: &str, usage: UrlUse) -> Option<String> {
        match mapping.map(text, usage) {
            MappedUrl::Unchanged => None,
            MappedUrl::Mapped(url) => {
                self.changed += 1;
                if usage != UrlUse::Realm {
                    self.link(mapping, mapping.origin(text, usage));
                }
                Some(url)
            }
            MappedUrl::Unserved { host, url } => {
                if !self.unserved.contains(&host) && self.unserved.len() < MAX_UNSERVED {
                    self.unserved.push(host);
                }
                self.changed += usize::from(url.is_some());
                url
            }
        }
    }

    fn link(&mut self, mapping: &Mapping, to: CredentialOrigin) {
        let own = to.0 == mapping.scheme && to.1 == mapping.target;
        let known = || self.links.last() == Some(&to) || self.links.contains(&to);
        if mapping.is_reverse() && !own && self.links.len() < MAX_LINKS && !known() {
            self.links.push(to);
        }
    }
}

/// The most origins that are recorded. A batch has up to 100 objects; a response with more origins is meant to displace others from the
/// memory.
const MAX_LINKS: usize = 256;

/// The most hosts that are recorded: as many as fit in one log line.
const MAX_UNSERVED: usize = 8;
