//! Which hop the `*_PROXY` variables name for a target.

use std::sync::Arc;

use super::{Environment, Hop};
use crate::model::{Scheme, Target};

impl Environment {
    /// The hop for a target, unless `no_proxy` names it.
    pub fn hop_for(&self, scheme: Scheme, target: &Target) -> Option<&Arc<Hop>> {
        let host = target.host.to_string();
        let excepted = self.no_proxy.iter().any(|entry| {
            let name = entry.trim_start_matches('.');
            &**entry == "*"
                || host == name
                || host
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with('.'))
        });
        match scheme {
            _ if excepted => None,
            Scheme::Http => self.http.as_ref(),
            Scheme::Https => self.https.as_ref(),
        }
    }
}
