//! What watches a transfer and keeps it alive: `[stall]`, `[uploads]`, `[interim]`.

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
    /// For how long nothing may move.
    #[serde(flatten)]
    pub limits: StallLimits,
    /// What is done then.
    pub action: Action,
}

/// `[stall]`: where a route says nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct StallDefaults {
    /// For how long nothing may move.
    #[serde(flatten)]
    pub limits: StallLimits,
    /// What is done then; `None` where that follows the route's role.
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

    /// For a route: what sends to storage again on the next upstream is safe, and git-lfs waits for it.
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
    /// How many request bodies of a route may be on their way at once; `None` for any number.
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
    /// How long git-lfs waits for its answer before it gets an interim one.
    #[serde(serialize_with = "unit::as_duration")]
    pub every: Duration,
    /// How many of them one request gets; 0 for none.
    pub at_most: u32,
}

impl Interim {
    pub(super) fn read(section: Section<'_, '_>) -> Self {
        let hint = "`at_most = 0` switches interim answers off";
        let interim = Self {
            every: section.positive("every", Some(hint)),
            at_most: section.integer("at_most", 0..=1000),
        };
        section.finish();
        interim
    }
}
