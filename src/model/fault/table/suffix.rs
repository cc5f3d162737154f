//! What a kind carries at the end of its code.

use std::borrow::Cow;

use super::{Denial, HopLogin, Verdict};

/// A kind's value as part of its code.
pub(super) trait Suffix {
    /// An example, for the manual.
    const SAMPLE: Self;
    fn suffix(&self) -> Option<Cow<'_, str>>;
}

impl Suffix for Verdict {
    const SAMPLE: Self = Self::NoAnswer;

    fn suffix(&self) -> Option<Cow<'_, str>> {
        Some(self.as_str().into())
    }
}

impl Suffix for Cow<'static, str> {
    const SAMPLE: Self = Cow::Borrowed("unknown-ca");

    fn suffix(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(self))
    }
}

impl Suffix for u16 {
    const SAMPLE: Self = 403;

    fn suffix(&self) -> Option<Cow<'_, str>> {
        Some(self.to_string().into())
    }
}

impl Suffix for u8 {
    const SAMPLE: Self = 2;

    fn suffix(&self) -> Option<Cow<'_, str>> {
        Some(self.to_string().into())
    }
}

/// What is wrong with the credentials stands in the cause.
impl Suffix for HopLogin {
    const SAMPLE: Self = Self::Missing;

    fn suffix(&self) -> Option<Cow<'_, str>> {
        None
    }
}

/// Which rule denied it stands in the cause.
impl Suffix for Denial {
    const SAMPLE: Self = Self::Route;

    fn suffix(&self) -> Option<Cow<'_, str>> {
        None
    }
}
