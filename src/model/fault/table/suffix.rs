//! The value that a kind appends to its code.

use std::borrow::Cow;

use super::{Denial, HopLogin, Verdict};

/// A kind's value as part of its code.
pub(super) trait Suffix {
    /// An example value for the named kind, for the manual.
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

/// Not part of the code: the fault's detail says what is wrong with the credentials.
impl Suffix for HopLogin {
    fn sample(_: &str) -> Self {
        Self::Missing
    }

    fn suffix(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// Not part of the code: the fault's detail says which rule denied the request.
impl Suffix for Denial {
    fn sample(_: &str) -> Self {
        Self::Route
    }

    fn suffix(&self) -> Option<Cow<'_, str>> {
        None
    }
}
