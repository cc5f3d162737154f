//! `[stall]`, `[uploads]` and `[interim]`: monitoring transfers, limiting uploads, and keeping clients connected.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::section::Section;
use crate::model::{
    Role,
    stall::{Action, StallLimits},
    unit,
};

/// A route's `stall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StallConfig {
    /// The limits on time without movement.
    #[serde(flatten)]
    pub limits: StallLimits,
    /// The action on a stall.
    pub action: Action,
}

/// `[stall]`: for routes without their own values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StallDefaults {
    /// The limits on time without movement.
    #[serde(flatten)]
    pub limits: StallLimits,
    /// The action on a stall; `None` where it depends on the route's role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
}

impl StallDefaults {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let stall = Self {
            limits: limits(&section),
            action: section.optional_choice("action", &Action::NAMES),
        };
        section.finish();
        stall
    }

    /// The values for a route. By default, only storage fails over: its requests may be repeated, and git-lfs waits for that.
    pub(super) fn for_role(self, role: Role) -> StallConfig {
        let by_role = match role {
            Role::LfsStorage => Action::Failover,
            Role::MainSite | Role::Other => Action::Report,
        };
        StallConfig {
            limits: self.limits,
            action: self.action.unwrap_or(by_role),
        }
    }
}

fn limits(section: &Section<'_, '_>) -> StallLimits {
    let limits = StallLimits {
        after: section.duration("after"),
        connect_after: section.duration("connect_after"),
        answer_after: section.duration("answer_after"),
        client_after: section.duration("client_after"),
        floor: section.size("floor"),
        floor_over: section.duration("floor_over"),
    };
    let over = section.optional_duration("floor_over");
    if over.is_some_and(|over| over.is_zero()) && limits.floor > 0 {
        section.at("floor_over").problem(
            "`floor_over` must be greater than 0 where `floor` is set",
            Some("such as `floor_over = \"60s\"`; `floor = \"0 B\"` switches it off"),
        );
    }
    limits
}

/// `[uploads]`, and a route's own `uploads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UploadsConfig {
    /// The largest number of request bodies of a route that are sent at once; `None` for no limit.
    #[serde(serialize_with = "or_zero")]
    pub at_once: Option<usize>,
}

impl UploadsConfig {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let at_once = section.integer("at_once", 0..=1000) as usize;
        section.finish();
        Self {
            at_once: (at_once > 0).then_some(at_once),
        }
    }
}

fn or_zero<S: Serializer>(number: &Option<usize>, to: S) -> Result<S::Ok, S::Error> {
    number.unwrap_or(0).serialize(to)
}

/// `[interim]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Interim {
    /// The time between interim responses to git-lfs while it waits for its response.
    #[serde(serialize_with = "unit::as_duration")]
    pub every: Duration,
    /// The largest number of interim responses to one request; 0 for none.
    pub at_most: u32,
}

impl Interim {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let hint = "`at_most = 0` switches interim responses off";
        let interim = Self {
            every: section.positive("every", Some(hint)),
            at_most: section.integer("at_most", 0..=1000),
        };
        section.finish();
        interim
    }
}
