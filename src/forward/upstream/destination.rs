//! Where one attempt's request goes: to the site itself, or to the mirror of the upstream whose turn it is.
//!
//! A mirror is an origin of its own: it gets its own `Host` and path, and of the client's credentials only what the config
//! lets through. Whatever is decided here is decided anew for each attempt, so that site and mirror may stand in one list.

use std::borrow::Cow;

use hyper::{
    HeaderMap, Method, Response, StatusCode, Uri,
    header::{AUTHORIZATION, COOKIE, HOST, HeaderName, REFERER, SET_COOKIE},
    http::request::Parts,
};

use crate::forward::ExchangeRequest;
use crate::{
    config::{Mirror, ToMirror, Upstream},
    mirror::mirror_path,
    model::{Denial, Fault, FaultKind, Leg, Scheme, Stage, Target},
};

/// What a mirror does not see unless `credentials = "pass"`: whatever lets its bearer act as the user, and where the user was.
const WITHHELD: [HeaderName; 7] = [
    AUTHORIZATION,
    COOKIE,
    REFERER,
    // GitLab (docs.gitlab.com/api/rest/authentication).
    HeaderName::from_static("private-token"),
    HeaderName::from_static("job-token"),
    HeaderName::from_static("deploy-token"),
    // huggingface_hub: utils/_xet.py.
    HeaderName::from_static("x-xet-access-token"),
];

/// Where a request goes.
#[derive(Clone, Debug)]
pub(crate) struct Destination {
    /// The scheme that is spoken there.
    pub(crate) scheme: Scheme,
    /// The host that is dialled.
    pub(crate) target: Target,
    /// The mirror that stands for the site, where one does.
    pub(crate) mirror: Option<Mirror>,
}

impl Destination {
    /// By the upstream whose turn it is.
    pub(crate) fn of(asked: &ExchangeRequest, upstream: Option<&Upstream>) -> Self {
        let mirror = upstream.and_then(|upstream| upstream.mirror.clone());
        Self {
            scheme: mirror.as_ref().map_or(asked.scheme, |mirror| mirror.scheme),
            target: mirror
                .as_ref()
                .map_or(&asked.target, |mirror| &mirror.target)
                .clone(),
            mirror,
        }
    }

    /// The path to ask for.
    pub(crate) fn path<'p>(&self, uri: &'p Uri) -> Cow<'p, str> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        match &self.mirror {
            Some(mirror) => mirror_path(mirror, path).into(),
            None => path.into(),
        }
    }

    /// Makes a request's fields those that a mirror may see; the site itself gets them as they are.
    pub(crate) fn dress(&self, headers: &mut HeaderMap) {
        if self.mirror.is_none() {
            return;
        }
        if let Ok(host) = self.target.authority(self.scheme).parse() {
            headers.insert(HOST, host);
        }
        if self.withholds() {
            for name in WITHHELD {
                headers.remove(name);
            }
        }
    }

    /// True for a mirror that does not get credentials.
    pub(crate) fn withholds(&self) -> bool {
        self.mirror
            .as_ref()
            .is_some_and(|mirror| mirror.credentials == ToMirror::Withhold)
    }

    /// The fault of an answer that asks for what is withheld.
    ///
    /// Passed on, such a 401 would make git throw away the user's credentials, which are right (git-credential, "reject").
    pub(crate) fn asks_for_credentials<B>(&self, response: &Response<B>) -> Option<Fault> {
        (self.withholds() && response.status() == StatusCode::UNAUTHORIZED).then(|| {
            Fault::new(
                Leg::Origin,
                Stage::AwaitingHead,
                FaultKind::CredentialsWithheld,
            )
            .peer(&self.target)
        })
    }

    /// A mirror without the user's credentials has no business with the user's cookies either: what it sets would go to the
    /// site itself.
    pub(crate) fn strip_answer(&self, headers: &mut HeaderMap) {
        if self.withholds() {
            headers.remove(SET_COOKIE);
        }
    }
}

/// True where the query itself is a credential: GitLab's `private_token`, `job_token` and `access_token` (docs.gitlab.com/api/rest/authentication),
/// and presigned URLs of S3, Google, Azure and CloudFront, which a mirror could use as well as the user.
fn has_token(query: Option<&str>) -> bool {
    let mut pairs = query.unwrap_or_default().split('&');
    pairs.any(|pair| {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        let name = name.to_ascii_lowercase();
        matches!(
            name.as_str(),
            "private_token" | "job_token" | "access_token" | "signature" | "sig"
        ) || name.ends_with("-signature")
    })
}

/// What an upstream must be, to carry something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamNeeds {
    /// Any upstream will do.
    Any,
    /// The site, or a mirror that gets credentials.
    Credentials,
    /// The site itself: in a tunnel the client checks the certificate of the host it asked for.
    Site,
}

impl UpstreamNeeds {
    /// A push, and whatever else acts with the user's rights, is nothing that a mirror can do without them.
    pub(crate) fn of(head: &Parts) -> Self {
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&head.method);
        let acts = !safe && !crate::forward::request::outgoing::only_asks(head);
        let path = head.uri.path();
        let pushes = path.ends_with("/git-receive-pack")
            || path.ends_with("/info/refs")
                && head
                    .uri
                    .query()
                    .is_some_and(|query| query.contains("service=git-receive-pack"));
        let given = || {
            WITHHELD
                .iter()
                .any(|name| *name != REFERER && head.headers.contains_key(name))
        };
        if pushes || acts && given() || has_token(head.uri.query()) {
            Self::Credentials
        } else {
            Self::Any
        }
    }

    /// True where `upstream` is so.
    pub(crate) fn fits(self, upstream: &Upstream) -> bool {
        match (self, &upstream.mirror) {
            (_, None) | (Self::Any, Some(_)) => true,
            (Self::Credentials, Some(mirror)) => mirror.credentials == ToMirror::Pass,
            (Self::Site, Some(_)) => false,
        }
    }

    /// The fault where no upstream is so.
    pub(crate) fn unmet(self, target: &Target, route: &str) -> Fault {
        let (kind, detail) = match self {
            Self::Any => (
                FaultKind::Denied(Denial::Upstream),
                format!("route {route} has no upstream"),
            ),
            Self::Credentials => (
                FaultKind::CredentialsWithheld,
                format!("route {route} has only mirrors that get no credentials"),
            ),
            Self::Site => (
                FaultKind::Denied(Denial::Upstream),
                format!("route {route} has only mirrors, and a tunnel cannot end at one"),
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

#[cfg(test)]
mod tests {
    use hyper::{Request, header::HeaderValue};

    use super::*;

    fn upstream(credentials: Option<ToMirror>) -> Upstream {
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

    fn to(credentials: Option<ToMirror>) -> Destination {
        let asked = ExchangeRequest {
            front: crate::track::Front::Intercept,
            client: "127.0.0.1:1".parse().unwrap(),
            scheme: Scheme::Https,
            target: Target::parse("huggingface.co:443", None).unwrap(),
            base: None,
        };
        Destination::of(&asked, Some(&upstream(credentials)))
    }

    fn dressed(credentials: Option<ToMirror>) -> HeaderMap {
        let mut headers: HeaderMap = WITHHELD
            .into_iter()
            .map(|name| (name, HeaderValue::from_static("secret")))
            .collect();
        headers.insert(HOST, HeaderValue::from_static("huggingface.co"));
        headers.insert("accept", HeaderValue::from_static("*/*"));
        to(credentials).dress(&mut headers);
        headers
    }

    #[test]
    fn a_mirror_sees_no_credentials_unless_the_config_says_so() {
        let withheld = dressed(Some(ToMirror::Withhold));
        assert_eq!(withheld.len(), 2, "{withheld:?}");
        assert_eq!(withheld[HOST], "hf-mirror.com");
        let passed = dressed(Some(ToMirror::Pass));
        assert_eq!(passed.len(), WITHHELD.len() + 2);
        assert_eq!(passed[HOST], "hf-mirror.com");
        let site = dressed(None);
        assert_eq!(site.len(), WITHHELD.len() + 2);
        assert_eq!(site[HOST], "huggingface.co");
    }

    #[test]
    fn a_mirror_is_asked_below_its_base_path() {
        let uri: Uri = "/u/r?x=%2F".parse().unwrap();
        assert_eq!(to(Some(ToMirror::Pass)).path(&uri), "/hub/u/r?x=%2F");
        assert_eq!(to(None).path(&uri), "/u/r?x=%2F");
    }

    #[test]
    fn what_needs_the_users_rights_goes_only_where_they_are_passed() {
        let wants = |method: &str, uri: &str, authorized: bool| {
            let mut request = Request::builder().method(method).uri(uri);
            if authorized {
                request = request.header(AUTHORIZATION, "Basic x");
            }
            UpstreamNeeds::of(&request.body(()).unwrap().into_parts().0)
        };
        for (method, uri, authorized, expected) in [
            ("GET", "/u/r/resolve/main/x", true, UpstreamNeeds::Any),
            ("POST", "/r.git/git-upload-pack", true, UpstreamNeeds::Any),
            (
                "POST",
                "/r.git/info/lfs/objects/batch",
                true,
                UpstreamNeeds::Any,
            ),
            (
                "GET",
                "/r.git/info/refs?service=git-upload-pack",
                true,
                UpstreamNeeds::Any,
            ),
            ("POST", "/api/telemetry", false, UpstreamNeeds::Any),
            (
                "GET",
                "/r.git/info/refs?service=git-receive-pack",
                false,
                UpstreamNeeds::Credentials,
            ),
            (
                "POST",
                "/r.git/git-receive-pack",
                false,
                UpstreamNeeds::Credentials,
            ),
            (
                "POST",
                "/api/models/u/r/commit/main",
                true,
                UpstreamNeeds::Credentials,
            ),
            ("PUT", "/x", true, UpstreamNeeds::Credentials),
            (
                "GET",
                "/x?private_token=p",
                false,
                UpstreamNeeds::Credentials,
            ),
            (
                "GET",
                "/x?a=1&X-Amz-Signature=s",
                false,
                UpstreamNeeds::Credentials,
            ),
            ("GET", "/x?signed=1", false, UpstreamNeeds::Any),
        ] {
            assert_eq!(wants(method, uri, authorized), expected, "{method} {uri}");
        }
        for name in ["cookie", "private-token", "x-xet-access-token"] {
            let request = Request::builder()
                .method("POST")
                .uri("/x")
                .header(name, "x");
            let head = request.body(()).unwrap().into_parts().0;
            assert_eq!(
                UpstreamNeeds::of(&head),
                UpstreamNeeds::Credentials,
                "{name}"
            );
        }
        let [site, withholds, passes] = [None, Some(ToMirror::Withhold), Some(ToMirror::Pass)];
        for (wants, fits) in [
            (UpstreamNeeds::Any, [true, true, true]),
            (UpstreamNeeds::Credentials, [true, false, true]),
            (UpstreamNeeds::Site, [true, false, false]),
        ] {
            let of = [site, withholds, passes].map(|kind| wants.fits(&upstream(kind)));
            assert_eq!(of, fits, "{wants:?}");
        }
    }

    #[test]
    fn a_mirror_that_asks_for_what_is_withheld_has_a_fault_of_its_own() {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let fault = to(Some(ToMirror::Withhold)).asks_for_credentials(&response);
        assert_eq!(
            fault.unwrap().code(),
            "origin/awaiting-head/credentials-withheld"
        );
        assert!(
            to(Some(ToMirror::Pass))
                .asks_for_credentials(&response)
                .is_none()
        );
        assert!(to(None).asks_for_credentials(&response).is_none());
    }
}
