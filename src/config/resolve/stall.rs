//! `[stall]`, `[uploads]`, `[interim]`, and what a route has of its own.

use super::or_base;
use crate::{
    config::{Interim, Route, Stall, Uploads, section::Section},
    model::stall::{Action, Limits},
};

const ACTIONS: [(&str, Action); 3] = [
    ("report", Action::Report),
    ("fail", Action::Fail),
    ("failover", Action::Failover),
];

/// What routes that say nothing themselves go by.
#[derive(Clone, Copy)]
pub(super) struct Watched {
    pub(super) stall: Option<Stall>,
    pub(super) uploads: Option<Uploads>,
    /// True where the file itself says so: then it is said to the default's routes too.
    action: bool,
    at_once: bool,
}

impl Watched {
    pub(super) fn read(root: &Section<'_, '_>, base: Option<(Stall, Uploads)>) -> Self {
        let (section, at_once) = (root.section("stall"), root.section("uploads"));
        let watched = Self {
            stall: stall(&section, base.map(|base| base.0)),
            uploads: uploads(&at_once, base.map(|base| base.1)),
            action: section.has("action"),
            at_once: at_once.has("at_once"),
        };
        section.finish();
        at_once.finish();
        watched
    }

    /// What a route of the embedded default goes by under this file.
    pub(super) fn renewed(&self, route: &Route) -> Option<(Stall, Uploads)> {
        let (mut stall, mut uploads) = (self.stall?, self.uploads?);
        if !self.action {
            stall.action = route.stall.action;
        }
        if !self.at_once {
            uploads = route.uploads;
        }
        Some((stall, uploads))
    }

    /// What a route of this file goes by; what it does not say is as in `like`, where there is such a route.
    pub(super) fn of_route(
        &self,
        route: &Section<'_, '_>,
        like: Option<&Route>,
    ) -> Option<(Stall, Uploads)> {
        let (section, at_once) = (route.section("stall"), route.section("uploads"));
        let stall = stall(&section, like.map(|like| like.stall).or(self.stall));
        let uploads = uploads(&at_once, like.map(|like| like.uploads).or(self.uploads));
        section.finish();
        at_once.finish();
        Some((stall?, uploads?))
    }
}

fn stall(section: &Section<'_, '_>, base: Option<Stall>) -> Option<Stall> {
    let limits = base.map(|base| base.limits);
    let time = |key, base| or_base(section, key, section.duration(key), base);
    let after = time("after", limits.map(|limits| limits.after));
    let connect_after = time("connect_after", limits.map(|limits| limits.connect_after));
    let answer_after = time("answer_after", limits.map(|limits| limits.answer_after));
    let client_after = time("client_after", limits.map(|limits| limits.client_after));
    let floor = section.size("floor").map(|floor| floor as u64);
    let floor = or_base(section, "floor", floor, limits.map(|limits| limits.floor));
    let floor_over = time("floor_over", limits.map(|limits| limits.floor_over));
    let written = section.has("floor") || section.has("floor_over");
    if written
        && floor_over.is_some_and(|over| over.is_zero())
        && floor.is_some_and(|floor| floor > 0)
    {
        section.source.problem(
            section.place("floor_over"),
            &section.key("floor_over"),
            "a rate over no time is none",
            Some("such as `floor_over = \"60s\"`; `floor = \"0 B\"` switches it off"),
        );
    }
    let action = or_base(
        section,
        "action",
        section.one_of("action", &ACTIONS),
        base.map(|base| base.action),
    );
    Some(Stall {
        limits: Limits {
            after: after?,
            connect_after: connect_after?,
            answer_after: answer_after?,
            client_after: client_after?,
            floor: floor?,
            floor_over: floor_over?,
        },
        action: action?,
    })
}

fn uploads(section: &Section<'_, '_>, base: Option<Uploads>) -> Option<Uploads> {
    let at_once = section.integer("at_once", 0..=1000).map(|n| n as usize);
    // As it is written: nothing is no limit.
    let base = base.map(|base| base.at_once.unwrap_or(0));
    let at_once = or_base(section, "at_once", at_once, base)?;
    Some(Uploads {
        at_once: (at_once > 0).then_some(at_once),
    })
}

pub(super) fn interim(section: Section<'_, '_>, base: Option<Interim>) -> Option<Interim> {
    let every = or_base(
        &section,
        "every",
        section.duration("every"),
        base.map(|base| base.every),
    );
    let at_most = or_base(
        &section,
        "at_most",
        section.integer("at_most", 0..=1000),
        base.map(|base| base.at_most),
    );
    if every.is_some_and(|every| every.is_zero()) {
        section.source.problem(
            section.place("every"),
            "interim.every",
            "`interim.every` must be longer than nothing",
            Some("`at_most = 0` switches interim answers off"),
        );
    }
    section.finish();
    Some(Interim {
        every: every?,
        at_most: at_most?,
    })
}
