//! `Location` and its kin on the reverse front: an absolute URL of a named host comes back as a path of this daemon.

use hyper::{
    HeaderMap, Uri,
    header::{CONTENT_LOCATION, HeaderName, HeaderValue, LOCATION},
};

use crate::model::{Scheme, Target};

/// How the client wrote the daemon's own address: what mapped URLs begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseBase {
    /// `http://127.0.0.1:4483`, without a final slash.
    origin: Box<str>,
}

impl ReverseBase {
    /// By the request's `Host`, which the caller has checked.
    pub fn new(host: &str) -> Self {
        Self {
            origin: format!("http://{host}").into(),
        }
    }

    /// Maps the URLs in an answer's head; `named` tells the hosts that have a route, others stay as they are.
    pub fn map_answer(
        &self,
        headers: &mut HeaderMap,
        asked: &Target,
        scheme: Scheme,
        named: impl Fn(&Target) -> bool,
    ) {
        const URLS: [HeaderName; 2] = [LOCATION, CONTENT_LOCATION];
        for name in URLS {
            let mapped = headers
                .get(&name)
                .and_then(|value| value.to_str().ok())
                .and_then(|url| self.map(url, asked, scheme, &named))
                .and_then(|url| HeaderValue::try_from(url).ok());
            if let Some(mapped) = mapped {
                headers.insert(name, mapped);
            }
        }
    }

    /// The URL by which the client reaches `url` through this daemon; `None` where it is not ours to map.
    pub fn map(
        &self,
        url: &str,
        asked: &Target,
        scheme: Scheme,
        named: impl Fn(&Target) -> bool,
    ) -> Option<String> {
        if let Some(rest) = url.strip_prefix("//") {
            return self.map(&format!("{scheme}://{rest}"), asked, scheme, named);
        }
        if url.starts_with('/') {
            return Some(format!("{}/{}{url}", self.origin, segment(asked, scheme)?));
        }
        let uri: Uri = url.parse().ok()?;
        let scheme = match uri.scheme_str()? {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        let target = Target::parse(uri.authority()?.as_str(), Some(scheme.default_port())).ok()?;
        if !named(&target) {
            return None;
        }
        // What follows the authority stays byte for byte, a fragment included.
        let rest = url.splitn(4, '/').nth(3).unwrap_or_default();
        Some(format!(
            "{}/{}/{rest}",
            self.origin,
            segment(&target, scheme)?
        ))
    }
}

/// The first path segment that stands for a target: the port only where https does not imply it.
///
/// Plain HTTP is written by its port 80; on any other port a segment means https.
fn segment(target: &Target, scheme: Scheme) -> Option<String> {
    match scheme {
        Scheme::Https => Some(target.authority(Scheme::Https)),
        Scheme::Http if target.port == 80 => Some(target.to_string()),
        Scheme::Http => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(url: &str) -> Option<String> {
        let asked = Target::parse("hf.co:443", None).unwrap();
        let named = |target: &Target| {
            target.to_string().contains("hf.co") || target.to_string().contains("huggingface")
        };
        ReverseBase::new("127.0.0.1:4483").map(url, &asked, Scheme::Https, named)
    }

    #[test]
    fn a_redirect_comes_back_as_a_path_of_this_daemon() {
        for (url, mapped) in [
            ("/user/repo", "http://127.0.0.1:4483/hf.co/user/repo"),
            (
                "https://huggingface.co/a?b=c#d",
                "http://127.0.0.1:4483/huggingface.co/a?b=c#d",
            ),
            (
                "https://cdn.hf.co:8443/x%2Fy",
                "http://127.0.0.1:4483/cdn.hf.co:8443/x%2Fy",
            ),
            ("//cdn.hf.co/x", "http://127.0.0.1:4483/cdn.hf.co/x"),
            ("http://hf.co/x", "http://127.0.0.1:4483/hf.co:80/x"),
            ("https://hf.co", "http://127.0.0.1:4483/hf.co/"),
        ] {
            assert_eq!(map(url).as_deref(), Some(mapped), "{url}");
        }
    }

    #[test]
    fn what_no_route_names_stays_as_it_is() {
        for url in [
            "https://elsewhere.example/x",
            "mailto:me@hf.co",
            "relative/path",
            "http://hf.co:8080/x",
            "https://",
        ] {
            assert_eq!(map(url), None, "{url}");
        }
    }
}
