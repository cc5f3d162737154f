//! What to do about a fault or a stall: one sentence that names a key or a command. It is separate from the cause.

use crate::model::named::named;

/// What to do about a fault or a stall.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// The sentence.
    pub text: String,
    /// What kind of remedy it is, for programs.
    pub remedy: Remedy,
}

named! {
/// The kind of remedy that an advice names.
pub(crate) enum Remedy {
    /// Use another upstream for the route; a report that knows a working one names it.
    OtherUpstream = "other-upstream",
    /// Do what the sentence says.
    Other = "other",
}
}

impl Advice {
    /// `begin`, then the advice to use another upstream for this route.
    pub(crate) fn other_upstream(begin: &str, route: &str) -> Self {
        let place = place(route);
        let text = format!(
            "{begin}add another upstream to `upstreams` of {place}, such as a hop of `[hops]`"
        );
        Self {
            text,
            remedy: Remedy::OtherUpstream,
        }
    }
}

impl<T: Into<String>> From<T> for Advice {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            remedy: Remedy::Other,
        }
    }
}

/// The circumstances of a fault.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AdviceContext<'a> {
    /// The requested host.
    pub host: &'a str,
    /// The requested port.
    pub port: u16,
    /// The route's name.
    pub route: &'a str,
    /// The upstream's label.
    pub upstream: &'a str,
    /// `max_segment` of the route, where it is set.
    pub max_segment: Option<u32>,
}

/// The section of the config that has the keys of a route.
pub(crate) fn place(route: &str) -> String {
    match route {
        "other_hosts" => "`[other_hosts]`".into(),
        route => format!("route `{route}`"),
    }
}

impl AdviceContext<'_> {
    /// The section of the config that has the keys of this route.
    pub(super) fn place(&self) -> String {
        place(self.route)
    }

    /// `begin`, then the usual remedy.
    pub(super) fn other_upstream(&self, begin: impl AsRef<str>) -> Advice {
        Advice::other_upstream(begin.as_ref(), self.route)
    }

    /// The hop as the subject of a sentence.
    pub(super) fn hop(&self) -> String {
        match self.is_environment() {
            true => "the proxy of the environment".into(),
            false => self.upstream.to_owned(),
        }
    }

    /// True for the upstream from the daemon's environment, which no `[hops]` entry describes.
    pub(super) fn is_environment(&self) -> bool {
        self.upstream.split(' ').next() == Some("environment")
    }

    /// Where the hop's URL is configured.
    pub(super) fn hop_url(&self) -> String {
        if self.is_environment() {
            "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY of the daemon's environment (`gitferry check` shows it)".into()
        } else {
            format!("`url` of `{}` in `[hops]`", self.upstream)
        }
    }
}
