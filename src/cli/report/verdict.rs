//! The verdicts: for each host, leg and upstream one sentence and one advice.

use serde::Serialize;

use super::{
    counts::{FaultCounts, HostCounts, OTHERS, Roles, UpstreamCounts, safe},
    summary::LogSummary,
};
use crate::model::Role;

/// A verdict.
#[derive(Debug, Serialize)]
pub(super) struct HostVerdict {
    pub(super) host: String,
    pub(super) role: Role,
    pub(super) leg: String,
    pub(super) upstream: Option<String>,
    /// The most frequent code.
    pub(super) code: String,
    pub(super) times: u64,
    /// All attempts through the upstream, also successful ones.
    pub(super) attempts: u64,
    pub(super) sentence: String,
    pub(super) advice: String,
    /// The faults that were not rescued, then the lost time.
    #[serde(skip)]
    cost: (u64, u64),
}

/// All verdicts, those with the highest cost first.
pub(super) fn verdicts(summary: &LogSummary, roles: &Roles) -> Vec<HostVerdict> {
    let mut verdicts = Vec::new();
    for (name, host) in summary.hosts.iter().filter(|(name, _)| ***name != *OTHERS) {
        let mut cases: Vec<VerdictInput<'_>> = Vec::new();
        for (code, row) in host.rows.iter().filter(|(code, _)| ***code != *OTHERS) {
            for (upstream, times) in &row.upstreams {
                let leg = code.split('/').next().unwrap_or_default();
                let case = VerdictInput {
                    summary,
                    roles,
                    name,
                    host,
                    leg,
                    upstream,
                    code,
                    row,
                    times: *times,
                };
                // One for each leg and upstream: that of the most frequent code.
                match cases
                    .iter_mut()
                    .find(|other| other.leg == leg && other.upstream == &**upstream)
                {
                    Some(other) if other.times < case.times => *other = case,
                    Some(_) => {}
                    None => cases.push(case),
                }
            }
        }
        verdicts.extend(cases.iter().map(VerdictInput::verdict));
    }
    verdicts.sort_by(|a, b| {
        b.rank()
            .cmp(&a.rank())
            .then_with(|| a.sentence.cmp(&b.sentence))
    });
    verdicts
}

impl HostVerdict {
    fn rank(&self) -> (u64, u64, u64) {
        (self.cost.0, self.cost.1, self.times)
    }
}

struct VerdictInput<'a> {
    summary: &'a LogSummary,
    roles: &'a Roles,
    name: &'a str,
    host: &'a HostCounts,
    leg: &'a str,
    upstream: &'a str,
    code: &'a str,
    row: &'a FaultCounts,
    times: u64,
}

impl VerdictInput<'_> {
    fn verdict(&self) -> HostVerdict {
        let mut sentence = self.fact();
        match (self.row.rescued, self.row.times) {
            (0, _) => {}
            (rescued, all) if rescued >= all => sentence.push_str(", rescued"),
            (rescued, all) => sentence.push_str(&format!(", {rescued} of {all} rescued")),
        }
        if self.leg != "client" && !self.upstream.is_empty() {
            for more in [self.comparison(), self.alternatives()]
                .into_iter()
                .flatten()
            {
                sentence.push_str("; ");
                sentence.push_str(&more);
            }
        }
        let all = self.row.upstreams.values().sum::<u64>().max(1);
        let share = |of: u64| of.saturating_mul(self.times) / all;
        HostVerdict {
            host: safe(self.name),
            role: self.role(self.host),
            leg: safe(self.leg),
            upstream: (!self.upstream.is_empty()).then(|| safe(self.upstream)),
            code: safe(self.code),
            times: self.times,
            attempts: self.attempts(),
            sentence,
            advice: self.advice(),
            cost: (
                share(self.row.times - self.row.rescued.min(self.row.times)),
                share(self.row.lost_ms),
            ),
        }
    }

    fn fact(&self) -> String {
        let who = self.called(self.name, self.host);
        let verb = if self.code.contains("/stalled-") {
            "stalls"
        } else {
            "fails"
        };
        let code = safe(self.code);
        let times = times(self.times);
        if self.leg == "client" {
            return format!("{who}: the client side {verb} at {code}, {times}");
        }
        if self.upstream.is_empty() {
            return format!("{who} {verb} at {code}, {times}");
        }
        let share = match (self.times, self.attempts()) {
            (1, 1) => "the only attempt".to_owned(),
            (failed, all) if failed == all => format!("all {all} attempts"),
            (failed, all) => format!("{failed} of {all} attempts"),
        };
        format!(
            "{who} {verb} over upstream {} at {code}, {share}",
            safe(self.upstream)
        )
    }

    /// The results of other hosts through the same upstream: for a main site its storage first, and the reverse.
    fn comparison(&self) -> Option<String> {
        let own = self.role(self.host);
        let mut others: Vec<_> = self
            .summary
            .hosts
            .iter()
            .filter(|(name, _)| ***name != *self.name)
            .collect();
        others.sort_by_key(|(_, host)| {
            let role = self.role(host);
            (role == Role::Other || role == own, role == own)
        });
        let through = |fits: fn(UpstreamCounts) -> bool| {
            let mut found = others.iter().filter(move |(_, host)| {
                host.upstreams
                    .get(self.upstream)
                    .is_some_and(|counts| fits(*counts))
            });
            let (name, host) = found.next()?;
            let more = match found.count() {
                0 => String::new(),
                1 => " and 1 more host".to_owned(),
                more => format!(" and {more} more hosts"),
            };
            Some((self.called(name, host), more))
        };
        if let Some((who, more)) = through(works) {
            let verb = if more.is_empty() { "works" } else { "work" };
            return Some(format!("{who}{more} {verb} through the same upstream"));
        }
        let (who, more) = through(|counts| counts.succeeded == 0)?;
        let verb = if more.is_empty() { "fails" } else { "fail" };
        Some(format!("{who}{more} {verb} through it too"))
    }

    /// The upstreams that work for this host.
    fn alternatives(&self) -> Option<String> {
        let upstreams: Vec<String> = self.working_upstreams().map(safe).collect();
        (!upstreams.is_empty())
            .then(|| format!("the same host works through {}", upstreams.join(", ")))
    }

    fn working_upstreams(&self) -> impl Iterator<Item = &str> {
        let upstreams = self.host.upstreams.iter();
        upstreams
            .filter(|(name, counts)| {
                works(**counts)
                    && ***name != *self.upstream
                    && !name.is_empty()
                    && ***name != *OTHERS
            })
            .map(|(name, _)| &**name)
    }

    /// The advice in the log. Where that is to use another upstream, it names one that works.
    fn advice(&self) -> String {
        let route = safe(&self.host.route);
        let own = self
            .row
            .advices
            .get(self.upstream)
            .filter(|own| !own.is_empty());
        let said = own.or(self.row.advice.as_ref()).map(|said| &**said);
        let never = self
            .host
            .upstreams
            .get(self.upstream)
            .is_some_and(|counts| counts.succeeded == 0);
        if self.leg != "client"
            && never
            && (said.is_none() || self.row.other_upstream)
            && let Some(better) = self.working_upstreams().next()
        {
            let (better, upstream) = (safe(better), safe(self.upstream));
            return format!("put `{better}` before `{upstream}` in `upstreams` of route `{route}`");
        }
        match (said, self.leg) {
            (Some(said), _) => safe(said),
            (None, "client") => {
                "check what the client does; `gitferry status` shows its transfer while it runs"
                    .into()
            }
            (None, _) => format!(
                "add another upstream to `upstreams` of route `{route}`; `gitferry check` shows those in force"
            ),
        }
    }

    fn attempts(&self) -> u64 {
        let counts = self
            .host
            .upstreams
            .get(self.upstream)
            .copied()
            .unwrap_or_default();
        (counts.succeeded + counts.failed).max(self.times)
    }

    fn role(&self, host: &HostCounts) -> Role {
        host.role(self.roles)
    }

    fn called(&self, name: &str, host: &HostCounts) -> String {
        let what = match self.role(host) {
            Role::MainSite => "main site",
            Role::LfsStorage => "storage host",
            Role::Other => "host",
        };
        format!("{what} {}", safe(name))
    }
}

/// True where more attempts succeeded than failed.
fn works(counts: UpstreamCounts) -> bool {
    counts.succeeded > counts.failed
}

fn times(times: u64) -> String {
    match times {
        1 => "once".to_owned(),
        times => format!("{times} times"),
    }
}
