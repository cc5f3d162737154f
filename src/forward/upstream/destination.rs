//! The destination of one attempt's request: the site itself, or the mirror of the current upstream.
//!
//! A mirror is an origin of its own: it gets its own `Host` and path, and only those credentials of the client that the config permits.
//! Each attempt makes these decisions again, so site and mirror may be upstreams of one list.

use std::borrow::Cow;

use hyper::{
    HeaderMap, Response, StatusCode, Uri,
    header::{ACCEPT_ENCODING, HOST, HeaderValue},
    http::request::Parts,
};

use crate::forward::{
    request::{exchange_request::ExchangeRequest, outgoing::OutgoingRequest},
    upstream::withhold,
};
use crate::{
    config::{Mirror, MirrorCredentials, Route, Upstream},
    mirror::{mirror_path, table},
    model::{Denial, Fault, FaultKind, Leg, Scheme, Stage, Target},
};

/// The destination of a request.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    /// The scheme to use there.
    pub(crate) scheme: Scheme,
    /// The host to dial.
    pub(crate) target: Target,
    /// The mirror that replaces the site, if any.
    pub(crate) mirror: Option<Mirror>,
    /// The site that the client requested.
    site: (Scheme, Target),
}

impl Destination {
    /// The destination for the current upstream.
    pub(crate) fn of(scheme: Scheme, target: &Target, upstream: Option<&Upstream>) -> Self {
        let mirror = upstream.and_then(|upstream| upstream.mirror.clone());
        Self {
            scheme: mirror.as_ref().map_or(scheme, |mirror| mirror.scheme),
            target: mirror
                .as_ref()
                .map_or(target, |mirror| &mirror.target)
                .clone(),
            mirror,
            site: (scheme, target.clone()),
        }
    }

    /// The path to request.
    pub(crate) fn path<'p>(&self, uri: &'p Uri) -> Cow<'p, str> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        match &self.mirror {
            Some(mirror) => mirror_path(mirror, path).into(),
            None => path.into(),
        }
    }

    /// Reduces a request's fields to those that a mirror may see; a request to the site itself keeps all.
    pub(crate) fn set_destination_fields(&self, headers: &mut HeaderMap) {
        if self.mirror.is_none() {
            return;
        }
        if let Ok(host) = self.target.authority(self.scheme).parse() {
            headers.insert(HOST, host);
        }
        if self.withholds() {
            withhold::strip_request(headers);
        }
    }

    /// True where the client must not see the origin's own URLs.
    pub(crate) fn is_rewritten(&self, exchange_request: &ExchangeRequest) -> bool {
        exchange_request.base.is_some() || self.mirror.is_some()
    }

    /// Requests an uncompressed response where it will be rewritten. There are few such responses, and they are small.
    pub(crate) fn request_identity_coding(
        &self,
        headers: &mut HeaderMap,
        head: &Parts,
        exchange_request: &ExchangeRequest,
    ) {
        let rewrite = table::for_body(&head.method, head.uri.path());
        if self.is_rewritten(exchange_request) && rewrite.is_some() {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
    }

    /// True for a mirror that gets no credentials.
    pub(crate) fn withholds(&self) -> bool {
        self.mirror
            .as_ref()
            .is_some_and(|mirror| mirror.credentials == MirrorCredentials::Withhold)
    }

    /// The fault of a response to a request for `uri` with which the mirror would obtain withheld credentials.
    ///
    /// If a 401 were passed on, git would erase the user's credentials, which are valid (git-credential, "reject").
    pub(crate) fn withheld_credentials_fault<B>(
        &self,
        uri: &Uri,
        response: &Response<B>,
    ) -> Option<Fault> {
        if !self.withholds() {
            return None;
        }
        let kind = FaultKind::CredentialsWithheld;
        let fault = Fault::new(Leg::Origin, Stage::AwaitingHead, kind).peer(&self.target);
        if response.status() == StatusCode::UNAUTHORIZED {
            Some(fault)
        } else if withhold::redirects_git_elsewhere(uri, response.headers(), &self.own_hosts()) {
            Some(fault.detail(
                "the mirror redirects git to another host, and git would send its credentials there",
            ))
        } else {
            None
        }
    }

    /// Removes the fields of a mirror's response that would make the client send its credentials to it.
    pub(crate) fn strip_response(&self, headers: &mut HeaderMap) {
        if self.withholds() {
            withhold::strip_response(headers, &self.own_hosts());
        }
    }

    /// The mirror and the site.
    fn own_hosts(&self) -> [(Scheme, &Target); 2] {
        [(self.scheme, &self.target), (self.site.0, &self.site.1)]
    }
}

/// What an upstream must be to carry a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamNeeds {
    /// Any upstream will do.
    Any,
    /// The site, or a mirror that gets credentials; with the reason.
    Credentials(&'static str),
    /// The site itself: in a tunnel the client checks the certificate of the requested host.
    Site,
}

impl UpstreamNeeds {
    /// The needs of a request, from what it would disclose; `Any` where all upstreams of the route may see everything.
    pub(crate) fn of(outgoing: &OutgoingRequest, route: &Route) -> Self {
        if route.upstreams.iter().all(|upstream| !withholds(upstream)) {
            return Self::Any;
        }
        let payload = match &outgoing.held {
            Some(body) => withhold::Payload::Held(body),
            None if outgoing.bodiless => withhold::Payload::Empty,
            None => withhold::Payload::Streamed,
        };
        let objection = match outgoing.upgrade {
            Some(_) => Some("the request switches to another protocol"),
            None => withhold::objection(&outgoing.head, payload),
        };
        objection.map_or(Self::Any, Self::Credentials)
    }

    /// True where `upstream` meets it.
    pub(crate) fn is_met_by(self, upstream: &Upstream) -> bool {
        match (self, &upstream.mirror) {
            (_, None) | (Self::Any, Some(_)) => true,
            (Self::Credentials(_), Some(_)) => !withholds(upstream),
            (Self::Site, Some(_)) => false,
        }
    }

    /// The fault where no upstream meets it.
    pub(crate) fn unmet_fault(self, target: &Target, route: &str) -> Fault {
        let (kind, detail) = match self {
            Self::Any => (
                FaultKind::Denied(Denial::Upstream),
                format!("route {route} has no upstream"),
            ),
            Self::Credentials(why) => (
                FaultKind::CredentialsWithheld,
                format!("{why}, and route {route} has only mirrors that get no credentials"),
            ),
            Self::Site => (
                FaultKind::Denied(Denial::Upstream),
                format!("route {route} has only mirrors, which cannot serve a tunnel"),
            ),
        };
        let leg = match kind {
            FaultKind::CredentialsWithheld => Leg::Origin,
            _ => Leg::Client,
        };
        Fault::new(leg, Stage::Accepted, kind)
            .peer(target)
            .detail(detail)
    }
}

/// True for a mirror that gets no credentials.
fn withholds(upstream: &Upstream) -> bool {
    let mirror = upstream.mirror.as_ref();
    mirror.is_some_and(|mirror| mirror.credentials == MirrorCredentials::Withhold)
}

#[cfg(test)]
mod tests {
    use hyper::header::{ACCEPT, AUTHORIZATION, COOKIE, HeaderValue};

    use super::*;

    fn upstream(credentials: Option<MirrorCredentials>) -> Upstream {
        Upstream {
            label: "test".into(),
            via: crate::config::Via::Direct,
            mirror: credentials.map(|credentials| Mirror {
                scheme: Scheme::Https,
                target: Target::parse("hf-mirror.com:443", None).unwrap(),
                base_path: "/hub".into(),
                credentials,
            }),
        }
    }

    fn to(credentials: Option<MirrorCredentials>) -> Destination {
        let target = Target::parse("huggingface.co:443", None).unwrap();
        Destination::of(Scheme::Https, &target, Some(&upstream(credentials)))
    }

    fn sent_fields(credentials: Option<MirrorCredentials>) -> Vec<String> {
        let mut headers: HeaderMap = [AUTHORIZATION, COOKIE, HOST, ACCEPT]
            .into_iter()
            .map(|name| (name, HeaderValue::from_static("huggingface.co")))
            .collect();
        to(credentials).set_destination_fields(&mut headers);
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn a_mirror_gets_credentials_only_with_credentials_pass() {
        let withheld = sent_fields(Some(MirrorCredentials::Withhold));
        assert_eq!(withheld.len(), 2, "{withheld:?}");
        let passed = sent_fields(Some(MirrorCredentials::Pass));
        assert_eq!(passed.len(), 4, "{passed:?}");
        for seen in [withheld, passed] {
            assert!(seen.contains(&"host: hf-mirror.com".to_owned()), "{seen:?}");
        }
        let site = sent_fields(None);
        assert_eq!(site.len(), 4);
        assert!(
            site.contains(&"host: huggingface.co".to_owned()),
            "{site:?}"
        );
    }

    #[test]
    fn a_mirrors_base_path_precedes_the_path() {
        let uri: Uri = "/u/r?x=%2F".parse().unwrap();
        assert_eq!(
            to(Some(MirrorCredentials::Pass)).path(&uri),
            "/hub/u/r?x=%2F"
        );
        assert_eq!(to(None).path(&uri), "/u/r?x=%2F");
    }

    #[test]
    fn needs_exclude_mirrors_that_do_not_meet_them() {
        let [site, withholds, passes] = [
            None,
            Some(MirrorCredentials::Withhold),
            Some(MirrorCredentials::Pass),
        ];
        for (needs, met) in [
            (UpstreamNeeds::Any, [true, true, true]),
            (UpstreamNeeds::Credentials("it acts"), [true, false, true]),
            (UpstreamNeeds::Site, [true, false, false]),
        ] {
            let of = [site, withholds, passes].map(|kind| needs.is_met_by(&upstream(kind)));
            assert_eq!(of, met, "{needs:?}");
        }
    }

    #[test]
    fn a_401_of_a_mirror_without_credentials_is_credentials_withheld() {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let uri = Uri::from_static("/");
        let fault =
            to(Some(MirrorCredentials::Withhold)).withheld_credentials_fault(&uri, &response);
        assert_eq!(
            fault.unwrap().code(),
            "origin/awaiting-head/credentials-withheld"
        );
        assert!(
            to(Some(MirrorCredentials::Pass))
                .withheld_credentials_fault(&uri, &response)
                .is_none()
        );
        assert!(
            to(None)
                .withheld_credentials_fault(&uri, &response)
                .is_none()
        );
    }
}
