//! The kinds of hop, one row each, which the parser, the dialler, the messages and the manual use. A new protocol also needs a codec in
//! `net::dial`.

/// The row of a [`HopKind`].
#[derive(Debug)]
pub(crate) struct HopKindRow {
    /// The scheme of its URL.
    pub scheme: &'static str,
    /// The port that the scheme implies; `None` for plain `http`, where clients disagree.
    pub default_port: Option<u16>,
    /// The protocol.
    pub protocol: HopProtocol,
    /// True where the protocol runs inside TLS.
    pub tls: bool,
    /// True where the hop resolves names.
    pub resolves: bool,
    /// The description, for the manual.
    pub meaning: &'static str,
}

/// The protocol spoken with a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HopProtocol {
    /// CONNECT (RFC 9110, section 9.3.6).
    Http,
    /// SOCKS5 (RFC 1928).
    Socks5,
}

macro_rules! upstream_kinds {
    ($(
        #[doc = $meaning:literal]
        $kind:ident { $($field:ident: $set:expr),+ $(,)? }
    )+) => {
        /// The kind of a hop.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum HopKind {
            $( #[doc = $meaning] $kind, )+
        }

        /// Every kind, in the order of the manual.
        pub(crate) const UPSTREAM_KINDS: &[HopKind] = &[$(HopKind::$kind),+];

        impl HopKind {
            /// Its row.
            pub(crate) const fn row(self) -> &'static HopKindRow {
                match self {
                    $( Self::$kind => &HopKindRow { meaning: $meaning, $($field: $set),+ }, )+
                }
            }
        }
    };
}

upstream_kinds! {
    /// CONNECT over TCP; names are looked up by the hop.
    Http { scheme: "http", default_port: None, protocol: HopProtocol::Http, tls: false, resolves: true }
    /// CONNECT over TLS; names are looked up by the hop.
    Https { scheme: "https", default_port: Some(443), protocol: HopProtocol::Http, tls: true, resolves: true }
    /// SOCKS5; names are looked up by gitferry.
    Socks5 { scheme: "socks5", default_port: Some(1080), protocol: HopProtocol::Socks5, tls: false, resolves: false }
    /// SOCKS5; names are looked up by the hop.
    Socks5h { scheme: "socks5h", default_port: Some(1080), protocol: HopProtocol::Socks5, tls: false, resolves: true }
}

impl HopKind {
    /// The kind for the scheme of a URL.
    pub(crate) fn of_scheme(scheme: &str) -> Option<Self> {
        let mut kinds = UPSTREAM_KINDS.iter().copied();
        kinds.find(|kind| kind.row().scheme == scheme)
    }

    /// All schemes, for messages.
    pub(crate) fn schemes() -> String {
        let schemes: Vec<&str> = UPSTREAM_KINDS
            .iter()
            .map(|kind| kind.row().scheme)
            .collect();
        schemes.join(", ")
    }
}
