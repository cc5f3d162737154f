//! What a kind carries at the end of its code.

use std::borrow::Cow;

use super::{Denial, HopLogin, Verdict};

/// A kind's value as part of its code.
pub(super) trait Suffix {
    /// An example of the kind named, for the manual.
    fn sample(kind: &str) -> Self;
    fn suffix(&self) -> Option<Cow<'_, str>>;
}

impl Suffix for Verdict {
    fn sample(_: &str) -> Self {
        Self::NoAnswer
    }

    fn suffix(&self) -> Option<Cow<'_, str>> {
        Some(self.as_str().into())
    }
}

impl Suffix for Cow<'static, str> {
    fn sample(kind: &str) -> Self {
        Cow::Borrowed(match kind {
            "Http2" => "refused-stream",
            _ => "unknown-ca",
        })
    }

    fn suffix(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl Suffix for u16 {
    fn sample(kind: &str) -> Self {
        match kind {
            "Answered" => 503,
            _ => 403,
        }
    }

    fn suffix(&self) -> Option<Cow<'_, str>> {
        Some(self.to_string().into())
    }
}

impl Suffix for u8 {
    fn sample(_: &str) -> Self {
        2
    }

    fn suffix(&self) -> Option<Cow<'_, str>> {
        Some(self.to_string().into())
    }
}

/// What is wrong with the credentials stands in the cause.
impl Suffix for HopLogin {
    fn sample(_: &str) -> Self {
        Self::Missing
    }

    fn suffix(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// Which rule denied it stands in the cause.
impl Suffix for Denial {
    fn sample(_: &str) -> Self {
        Self::Route
    }

    fn suffix(&self) -> Option<Cow<'_, str>> {
        None
    }
}
