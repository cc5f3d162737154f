//! `[dial]`, and a route's own `dial`.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::section::Section;
use crate::model::{congestion::Congestion, unit};

/// The settings for dialling an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Dial {
    /// The timeout of the look-up and TCP together, per attempt.
    #[serde(serialize_with = "unit::as_duration")]
    pub connect_timeout: Duration,
    /// The timeout of the hop's response.
    #[serde(serialize_with = "unit::as_duration")]
    pub greet_timeout: Duration,
    /// The timeout of the TLS handshake.
    #[serde(serialize_with = "unit::as_duration")]
    pub handshake_timeout: Duration,
    /// Tries per upstream before the next one, at least 1.
    pub attempts: u32,
    /// The first wait between two tries; it doubles, with jitter.
    #[serde(serialize_with = "unit::as_duration")]
    pub backoff: Duration,
    /// The longest wait between two tries.
    #[serde(serialize_with = "unit::as_duration")]
    pub backoff_limit: Duration,
    /// How long an upstream that failed is tried last.
    #[serde(serialize_with = "unit::as_duration")]
    pub cooldown: Duration,
    /// How long requests wait for the only upstream of a host when it fails after a success.
    #[serde(serialize_with = "unit::as_duration")]
    pub patience: Duration,
    /// The largest TCP segment, in bytes; `None` for the kernel's choice.
    #[serde(serialize_with = "segment")]
    pub max_segment: Option<u32>,
    /// The congestion control of outgoing connections.
    pub congestion: Congestion,
}

impl Dial {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let dial = Self {
            connect_timeout: section.positive("connect_timeout", None),
            greet_timeout: section.positive("greet_timeout", None),
            handshake_timeout: section.positive("handshake_timeout", None),
            attempts: section.integer("attempts", 1..=100),
            backoff: section.duration("backoff"),
            backoff_limit: section.duration("backoff_limit"),
            cooldown: section.duration("cooldown"),
            patience: section.duration("patience"),
            max_segment: max_segment(&section),
            congestion: section
                .parsed("congestion", str::parse, CONGESTION)
                .unwrap_or(Congestion::Auto),
        };
        section.finish();
        dial
    }
}

const CONGESTION: &str =
    "\"auto\", \"system\", or a name of net.ipv4.tcp_available_congestion_control";

/// `max_segment`; 0 means no limit. No path of the Internet needs less than 536 (RFC 9293, section 3.7.1).
fn max_segment(section: &Section<'_, '_>) -> Option<u32> {
    let size = section.size("max_segment");
    if size != 0 && !(536..=65_000).contains(&size) {
        section.at("max_segment").problem(
            "a segment size is from 536 B to 65000 B",
            Some("\"1200 B\" gets through most tunnels; \"0 B\" is no limit"),
        );
    }
    u32::try_from(size).ok().filter(|size| *size > 0)
}

fn segment<S: Serializer>(size: &Option<u32>, to: S) -> Result<S::Ok, S::Error> {
    unit::as_size(&u64::from(size.unwrap_or(0)), to)
}
