use super::ExposureQuestion;
use crate::grant::{Action, PolicyHistory};
use model::{Class, TableName, Timestamp};
use std::collections::BTreeSet;

/// Who may do what, over time: the history of the policy.
pub trait PolicyPast {
    /// Everybody who ever had an account.
    fn people(&self) -> Vec<String>;

    /// How `person` reached fields of `class` in `table` between `from` and `to` (not included):
    /// in the order of time, without overlap, and nothing where nothing was reached.
    fn reached(
        &self,
        person: &str,
        table: &TableName,
        class: Class,
        from: Timestamp,
        to: Timestamp,
    ) -> Vec<Reached>;
}

/// A time in which somebody reached something in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// From when on.
    pub from: Timestamp,
    /// Until when; not included.
    pub to: Timestamp,
    /// The strongest action.
    pub action: Action,
    /// The version of the policy when it began.
    pub policy: u64,
}

impl PolicyPast for PolicyHistory {
    fn people(&self) -> Vec<String> {
        PolicyHistory::people(self).into_iter().map(str::to_owned).collect()
    }

    fn reached(
        &self,
        person: &str,
        table: &TableName,
        class: Class,
        from: Timestamp,
        to: Timestamp,
    ) -> Vec<Reached> {
        let intervals = self.reach_intervals(person, table, class, from, to).into_iter();
        let reached = intervals.filter_map(|interval| {
            let (from, to, policy) = (interval.from, interval.to, interval.version);
            interval.reach.action().map(|action| Reached { from, to, action, policy })
        });
        reached.collect()
    }
}

/// Who could read, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CouldRead {
    /// The account.
    pub who: String,
    /// When and how, in the order of time.
    pub times: Vec<Reached>,
}

/// Everybody who could read any of the fields in question, by name.
pub fn could_read(past: &dyn PolicyPast, question: &ExposureQuestion) -> Vec<CouldRead> {
    let ExposureQuestion { table, fields, from, to } = question;
    // Fields with the same past are reached alike.
    let mut periods: BTreeSet<(Timestamp, Timestamp, Class)> = BTreeSet::new();
    periods.extend(fields.iter().flat_map(|field| field.periods(*from, *to)));
    let of_person = |who: String| {
        let reached = periods
            .iter()
            .flat_map(|(from, to, class)| past.reached(&who, table, *class, *from, *to));
        let times = strongest(reached.collect());
        (!times.is_empty()).then_some(CouldRead { who, times })
    };
    let mut people: Vec<CouldRead> = past.people().into_iter().filter_map(of_person).collect();
    people.sort_by(|one, other| one.who.cmp(&other.who));
    people
}

/// Times that overlap become times that do not, each with the strongest action.
fn strongest(all: Vec<Reached>) -> Vec<Reached> {
    let edges: BTreeSet<Timestamp> = all.iter().flat_map(|one| [one.from, one.to]).collect();
    let edges: Vec<Timestamp> = edges.into_iter().collect();
    let mut times: Vec<Reached> = Vec::new();
    for edge in edges.windows(2) {
        let there = all.iter().filter(|one| one.from <= edge[0] && edge[1] <= one.to);
        let Some(best) = there.max_by_key(|one| (one.action, std::cmp::Reverse(one.policy))) else {
            continue;
        };
        match times.last_mut() {
            Some(last) if last.to == edge[0] && last.action == best.action => last.to = edge[1],
            _ => times.push(Reached { from: edge[0], to: edge[1], ..*best }),
        }
    }
    times
}
