//! Which grants cover a read, and what they leave of it.

use super::meter::Meter;
use super::{Denied, ReadIntent, Use, fields_meant};
use crate::caller::Caller;
use crate::grant::{Action, Grant, GrantId, Policy, Purpose, Quota, RowFilter};
use model::{Class, Field, Table, TableId, Timestamp};
use std::collections::BTreeSet;

/// The rows that a permit sees of a table: every one of the alternatives must be met, each by at
/// least one of its filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowScope(Vec<Vec<RowFilter>>);

impl RowScope {
    /// Whether every row is seen.
    pub fn is_all(&self) -> bool {
        self.0.iter().all(|filters| filters.iter().any(RowFilter::is_all))
    }

    /// All must hold; of each, one of the filters.
    pub fn alternatives(&self) -> &[Vec<RowFilter>] {
        &self.0
    }

    /// Whether every row that is seen certainly passes one of `filters`.
    fn is_within(&self, filters: &[&RowFilter]) -> bool {
        self.0.iter().any(|alternative| {
            alternative.iter().all(|own| filters.iter().any(|filter| filter.covers(own)))
        })
    }
}

/// What an answer depends on besides the question and the data: two permits with the same key may
/// share an answer, permits with different keys may not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CacheKey {
    policy: u64,
    action: Action,
    grants: Vec<(TableId, Vec<(GrantId, Action)>)>,
}

/// An action on the fields of one class; without a class: on rows as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    action: Action,
    class: Option<Class>,
}

impl Wanted {
    fn is_met_by(self, grant: &Grant) -> bool {
        grant.action.covers(self.action) && self.class.is_none_or(|class| grant.classes.has(class))
    }
}

/// What a question needs, and the grants chosen for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    wanted: Wanted,
    /// Their rows together are what is seen.
    chosen: Vec<(GrantId, Grant)>,
}

impl Need {
    /// Chooses among `grants`; `None` if none will do.
    fn choose(wanted: Wanted, grants: &[(GrantId, Grant)]) -> Option<Need> {
        let mut fitting: Vec<&(GrantId, Grant)> =
            grants.iter().filter(|(_, grant)| wanted.is_met_by(grant)).collect();
        // The best terms first; a grant whose rows are there already adds nothing.
        fitting.sort_by_key(|(id, grant)| (grant.least_group, tightness(&grant.quota), *id));
        let mut chosen: Vec<(GrantId, Grant)> = Vec::new();
        for (id, grant) in fitting {
            if !chosen.iter().any(|(_, chosen)| chosen.rows.covers(&grant.rows)) {
                chosen.push((*id, grant.clone()));
            }
        }
        (!chosen.is_empty()).then_some(Need { wanted, chosen })
    }

    fn rows(&self) -> Vec<RowFilter> {
        let rows = |grant: &Grant| grant.rows.clone();
        let widest = self.chosen.iter().map(|(_, grant)| grant).find(|grant| grant.rows.is_all());
        match widest {
            Some(grant) => vec![rows(grant)],
            None => self.chosen.iter().map(|(_, grant)| rows(grant)).collect(),
        }
    }

    /// The least group that holds for every row.
    fn least_group(&self) -> u32 {
        self.chosen.iter().map(|(_, grant)| grant.least_group).max().unwrap_or(u32::MAX)
    }
}

/// Smaller for the larger quota.
fn tightness(quota: &Quota) -> impl Ord + use<> {
    let limit = |limit: Option<u64>| std::cmp::Reverse(limit.unwrap_or(u64::MAX));
    (limit(quota.rows), limit(quota.bytes), limit(quota.queries))
}

/// What a permit covers of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Covered {
    pub(super) table: TableId,
    /// All grants that the caller may use here now.
    grants: Vec<(GrantId, Grant)>,
    needs: Vec<Need>,
    pub(super) rows: RowScope,
}

/// What each table of `intent` is covered by.
pub(super) fn cover(
    policy: &Policy,
    meter: &Meter,
    caller: &Caller,
    intent: &ReadIntent,
    now: Timestamp,
) -> Result<Vec<Covered>, Denied> {
    if caller.is_expired(now) {
        return Err(Denied::Expired);
    }
    let action = intent.action;
    let anywhere =
        || policy.grants_elsewhere(caller, now).any(|(_, grant)| grant.action.covers(action));
    if !action.is_reading() || !anywhere() {
        let roles = caller.roles().iter().map(|role| role.as_str());
        return Err(Denied::Action {
            action,
            caller: caller.name().to_owned(),
            roles: roles.collect::<Vec<_>>().join(","),
        });
    }
    for (id, _) in &intent.fields {
        if !intent.tables.iter().any(|table| table.id == *id) {
            return Err(Denied::NotFound { table: id.0.to_string() });
        }
    }
    intent
        .tables
        .iter()
        .map(|table| cover_table(policy, meter, caller, intent, table, now))
        .collect()
}

fn cover_table(
    policy: &Policy,
    meter: &Meter,
    caller: &Caller,
    intent: &ReadIntent,
    table: &Table,
    now: Timestamp,
) -> Result<Covered, Denied> {
    let action = intent.action;
    let mut used_up = None;
    let grants: Vec<(GrantId, Grant)> = policy
        .grants_for(caller, now)
        .filter(|(_, grant)| grant.action.is_reading() && grant.tables.has(&table.name))
        .filter(|(_, grant)| {
            let checked = meter.check(caller.name(), &grant.quota, now);
            let may = checked.is_ok();
            used_up = used_up.take().or(checked.err());
            may
        })
        .map(|(id, grant)| (id, grant.clone()))
        .collect();
    let on_rows = Wanted { action, class: None };
    if !grants.iter().any(|(_, grant)| on_rows.is_met_by(grant)) {
        return Err(used_up.unwrap_or_else(|| why_not(policy, caller, action, table, now)));
    }
    let mut wanted = BTreeSet::new();
    for (_, used) in intent.fields.iter().filter(|(id, _)| *id == table.id) {
        // Of "all fields" the permit hides what may not be read.
        if used.how == Use::Output && used.field.contains('*') {
            continue;
        }
        for field in fields_meant(table, &used.field) {
            for one in wanted_for(field, used.how, action)? {
                if !grants.iter().any(|(_, grant)| one.is_met_by(grant)) {
                    let field = field.name.as_str().to_owned();
                    let class = one.class.unwrap_or(Class::Open);
                    return Err(used_up.unwrap_or(Denied::Field { field, class }));
                }
                wanted.insert(one);
            }
        }
    }
    if wanted.is_empty() {
        wanted.insert(on_rows);
    }
    let needs: Vec<Need> =
        wanted.into_iter().filter_map(|wanted| Need::choose(wanted, &grants)).collect();
    let mut rows: Vec<Vec<RowFilter>> = needs.iter().map(Need::rows).collect();
    rows.dedup();
    Ok(Covered { table: table.id, grants, needs, rows: RowScope(rows) })
}

/// What a use of `field` asks for.
fn wanted_for(field: &Field, how: Use, action: Action) -> Result<Vec<Wanted>, Denied> {
    if field.withheld {
        return Err(Denied::Withheld { field: field.name.as_str().to_owned() });
    }
    let class = field.class.unwrap_or(Class::Open);
    let only_counts = matches!(how, Use::Filter | Use::Measure)
        && matches!(action, Action::Count | Action::Aggregate);
    let mut wanted = vec![Wanted { action, class: Some(class) }];
    // Values come out of groups, orders and outputs: that is reading. Open values are facts of
    // the business, which whoever counts may name.
    if !only_counts && class != Class::Open {
        wanted.push(Wanted { action: Action::Read, class: Some(class) });
    }
    Ok(wanted)
}

/// What to say to somebody without a grant for this table, here and now.
fn why_not(
    policy: &Policy,
    caller: &Caller,
    action: Action,
    table: &Table,
    now: Timestamp,
) -> Denied {
    let name = table.name.as_str().to_owned();
    let elsewhere: Vec<&Grant> = policy
        .grants_elsewhere(caller, now)
        .map(|(_, grant)| grant)
        .filter(|grant| grant.action.covers(action) && grant.tables.has(&table.name))
        .collect();
    let here: Vec<&&Grant> =
        elsewhere.iter().filter(|grant| grant.networks.has(caller.address())).collect();
    if elsewhere.is_empty() {
        return Denied::NotFound { table: name };
    }
    if here.is_empty() {
        return Denied::Network { table: name };
    }
    let purposes: BTreeSet<&Purpose> = here.iter().map(|grant| &grant.purpose).collect();
    let purposes: Vec<String> = purposes
        .into_iter()
        .map(|purpose| match purpose {
            Purpose::OneOf(_) => purpose.to_string(),
            _ => format!("for {purpose}"),
        })
        .collect();
    Denied::Purpose { table: name, purposes: purposes.join(" or ") }
}

impl Covered {
    /// Whether this may be done with `field` in every row that is seen.
    pub(super) fn may_use(&self, field: &Field, how: Use, action: Action) -> bool {
        let Ok(wanted) = wanted_for(field, how, action) else { return false };
        wanted.into_iter().all(|wanted| self.is_met(wanted))
    }

    fn is_met(&self, wanted: Wanted) -> bool {
        // Of a grant that was not chosen no quota is counted.
        let counted = |id: GrantId, grant: &Grant| {
            let mut chosen = self.needs.iter().flat_map(|need| &need.chosen);
            grant.quota == Quota::NONE || chosen.any(|(chosen, _)| *chosen == id)
        };
        let fitting =
            self.grants.iter().filter(|(id, grant)| wanted.is_met_by(grant) && counted(*id, grant));
        let filters: Vec<&RowFilter> = fitting.map(|(_, grant)| &grant.rows).collect();
        self.rows.is_within(&filters)
    }

    /// The fewest subjects that a group may have which tells about `class`; `None`: any number,
    /// the caller may read that class in every row that is seen.
    pub(super) fn least_group(&self, class: Option<Class>, action: Action) -> Option<u32> {
        if self.is_met(Wanted { action: Action::Read, class }) {
            return None;
        }
        let wanted = Wanted { action, class };
        let chosen = self.needs.iter().find(|need| need.wanted == wanted).cloned();
        let need = chosen.or_else(|| Need::choose(wanted, &self.grants));
        let least = need.map_or(u32::MAX, |need| need.least_group());
        (least > 1).then_some(least)
    }

    /// Whether every grant that this may stand on still stands in `other`, made of the same
    /// question later, or a wider one does.
    pub(super) fn is_within(&self, other: &Covered) -> bool {
        let lasts = |own: &Grant| other.grants.iter().any(|(_, other)| other.terms_cover(own));
        self.table == other.table && self.grants.iter().all(|(_, grant)| lasts(grant))
    }

    /// The quotas of all grants that were chosen: each must be kept.
    pub(super) fn quotas(covered: &[Covered]) -> Vec<Quota> {
        let chosen =
            covered.iter().flat_map(|covered| &covered.needs).flat_map(|need| &need.chosen);
        let quotas: BTreeSet<Quota> = chosen.map(|(_, grant)| grant.quota).collect();
        quotas.into_iter().filter(|quota| *quota != Quota::NONE).collect()
    }

    /// When the first of the grants ends that it may stand on.
    pub(super) fn until(covered: &[Covered]) -> Option<Timestamp> {
        let grants = covered.iter().flat_map(|covered| &covered.grants);
        grants.filter_map(|(_, grant)| grant.until).min()
    }

    pub(super) fn cache_key(covered: &[Covered], policy: u64, action: Action) -> CacheKey {
        let grants = covered.iter().map(|covered| {
            // What is hidden of "all fields" hangs on all grants, not only on those chosen.
            let grants = covered.grants.iter().map(|(id, grant)| (*id, grant.action));
            (covered.table, grants.collect())
        });
        CacheKey { policy, action, grants: grants.collect() }
    }
}
