//! Every field that a question mentions, in whatever role, needs the permit: a filter is a read.

use crate::leaf::field;
use crate::{Ask, GroupBy, Measure, MeasureOf, OutColumn, QueryError, Question, Scope, SortBy};
use model::{StoredType, Table, TableId};
use protection::{FieldUse, Use};
use std::sync::Arc;
use storage::Filter;

/// How a question mentions a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Whether there is a value: all that is allowed on a special field, with [`Role::Values`].
    Exists,
    /// How many values there are.
    Values,
    /// Which rows.
    Filter,
    /// In which order.
    Sort,
    /// In which group.
    Group,
    /// Computed from.
    Measure,
    /// Given out.
    Output,
}

impl Role {
    /// The word of the audit trail for it.
    pub(crate) fn as_use(self) -> Use {
        match self {
            Role::Exists | Role::Filter => Use::Filter,
            Role::Values | Role::Measure => Use::Measure,
            Role::Sort => Use::Sort,
            Role::Group => Use::Group,
            Role::Output => Use::Output,
        }
    }
}

/// What a question does with the fields of `tables`, for the audit record. A name that a table
/// does not have is left out for that table; `*` stands for every field that may be read.
pub fn uses(tables: &[Arc<Table>], question: &Question) -> Vec<(TableId, FieldUse)> {
    let mut found = Vec::new();
    for table in tables {
        mentions(question, &mut |name, role| {
            if name == "*" || field::find(table, name).is_some() {
                found.push((table.id, name.to_owned(), role));
            }
        });
    }
    found.sort();
    found.dedup();
    found
        .into_iter()
        .map(|(table, field, role)| (table, FieldUse { field, how: role.as_use() }))
        .collect()
}

/// Refuses a question that mentions a field which the permit does not cover.
pub(crate) fn check(
    scope: &Scope,
    tables: &[Arc<Table>],
    question: &Question,
) -> Result<(), QueryError> {
    for table in tables {
        if !scope.permit.covers_table(table.id) {
            return Err(QueryError::UnknownTable {
                name: table.name.as_str().to_owned(),
                hint: String::new(),
            });
        }
        let mut refused = None;
        mentions(question, &mut |name, role| {
            if refused.is_none() && name != "*" {
                refused = check_mention(scope, table, name, role).err();
            }
        });
        if let Some(refused) = refused {
            return Err(refused);
        }
    }
    Ok(())
}

fn check_mention(scope: &Scope, table: &Table, name: &str, role: Role) -> Result<(), QueryError> {
    let Some(found) = field::find(table, name) else { return Ok(()) };
    let refuse = |why| Err(QueryError::NotPermitted { field: name.to_owned(), why });
    if found.field.withheld {
        return refuse("is withheld until a guardian rules on it");
    }
    if found.field.stored() == StoredType::Sealed && !matches!(role, Role::Exists | Role::Values) {
        return refuse("is special: its values are only counted, with count or exists");
    }
    match scope.permit.may_use(table.id, found.field, role.as_use()) {
        true => Ok(()),
        false => refuse("is not covered by the permit of this question"),
    }
}

/// Calls `see` for every field that the question mentions.
pub(crate) fn mentions(question: &Question, see: &mut dyn FnMut(&str, Role)) {
    mentions_of_filter(&question.filter, see);
    match &question.ask {
        Ask::Count => {}
        Ask::Rows { columns, limit: _ } => mentions_of_columns(columns, see),
        Ask::Top { keys, limit: _, after: _, columns } => {
            for key in keys {
                match &key.by {
                    SortBy::Field(field) => see(field, Role::Sort),
                    SortBy::Score | SortBy::Seq => {}
                }
            }
            mentions_of_columns(columns, see);
        }
        Ask::Fold { groups, measures } => {
            for group in groups {
                mentions_of_group(&group.by, see);
            }
            for MeasureOf { measure, filter } in measures {
                mentions_of_measure(measure, see);
                if let Some(filter) = filter {
                    mentions_of_filter(filter, see);
                }
            }
        }
        Ask::Funnel(funnel) => {
            see(&funnel.entity, Role::Measure);
            see(&funnel.time, Role::Measure);
            funnel.groups.iter().for_each(|group| mentions_of_group(&group.by, see));
            mentions_of_filter(&funnel.first, see);
            funnel.then.iter().for_each(|filter| mentions_of_filter(filter, see));
        }
        Ask::Retention(retention) => {
            see(&retention.entity, Role::Measure);
            see(&retention.time, Role::Measure);
            retention.groups.iter().for_each(|group| mentions_of_group(&group.by, see));
            for filter in [&retention.born, &retention.among, &retention.active] {
                mentions_of_filter(filter, see);
            }
        }
    }
}

fn mentions_of_columns(columns: &[OutColumn], see: &mut dyn FnMut(&str, Role)) {
    for column in columns {
        match column {
            OutColumn::Field(field) => see(field, Role::Output),
            OutColumn::Fields(fields) => fields.iter().for_each(|field| see(field, Role::Output)),
            OutColumn::Source { .. } => see("*", Role::Output),
            OutColumn::Id
            | OutColumn::Table
            | OutColumn::Score
            | OutColumn::Version
            | OutColumn::Seq => {}
        }
    }
}

fn mentions_of_group(by: &GroupBy, see: &mut dyn FnMut(&str, Role)) {
    match by {
        GroupBy::Terms(field)
        | GroupBy::Date { field, .. }
        | GroupBy::Number { field, .. }
        | GroupBy::Ranges { field, .. }
        | GroupBy::Mapped { field, .. } => see(field, Role::Group),
        GroupBy::Filters(filters) => {
            filters.iter().for_each(|filter| mentions_of_filter(filter, see));
        }
    }
}

fn mentions_of_measure(measure: &Measure, see: &mut dyn FnMut(&str, Role)) {
    match measure {
        Measure::Rows => {}
        Measure::Values(field) => see(field, Role::Values),
        Measure::Sum(field)
        | Measure::Min(field)
        | Measure::Max(field)
        | Measure::Mean(field)
        | Measure::SumOfSquares(field)
        | Measure::Distinct(field)
        | Measure::DistinctApprox(field)
        | Measure::Quantiles(field, _) => see(field, Role::Measure),
    }
}

fn mentions_of_filter(filter: &Filter, see: &mut dyn FnMut(&str, Role)) {
    match filter {
        Filter::All | Filter::Nothing | Filter::Ids(_) => {}
        Filter::Exists(field) => see(field, Role::Exists),
        Filter::Term(field, _)
        | Filter::Terms(field, _)
        | Filter::Range { field, .. }
        | Filter::Prefix { field, .. }
        | Filter::Pattern { field, .. }
        | Filter::Words { field, .. }
        | Filter::Phrase { field, .. } => see(field, Role::Filter),
        Filter::And(of) | Filter::Or { of, .. } | Filter::Best { of, .. } => {
            of.iter().for_each(|filter| mentions_of_filter(filter, see));
        }
        Filter::Not(inner) | Filter::Boost(inner, _) | Filter::Score(inner, _) => {
            mentions_of_filter(inner, see);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Group, Interval};
    use model::Value;

    #[test]
    fn every_part_of_a_question_is_a_mention() {
        let question = Question {
            filter: Filter::Exists("a".into())
                .and(Filter::Term("b".into(), Value::Long(1)).negate()),
            ask: Ask::Fold {
                groups: vec![Group {
                    by: GroupBy::Date {
                        field: "c".into(),
                        interval: Interval::Day,
                        time_zone: chrono_tz::UTC,
                        offset_ms: 0,
                    },
                    keep_missing: false,
                }],
                measures: vec![MeasureOf {
                    measure: Measure::Distinct("d".into()),
                    filter: Some(Filter::any(vec![Filter::Exists("e".into())])),
                }],
            },
        };
        let mut seen = Vec::new();
        mentions(&question, &mut |name, role| seen.push((name.to_owned(), role)));
        let expected = [
            ("a", Role::Exists),
            ("b", Role::Filter),
            ("c", Role::Group),
            ("d", Role::Measure),
            ("e", Role::Exists),
        ];
        assert_eq!(seen, expected.map(|(name, role)| (name.to_owned(), role)));
    }
}
