//! Dimensions that stand in another table: the plan of the account that a device belongs to.
//!
//! What is joined is what the entities table says **now**: it is updated in place and keeps no
//! history. What held when an event happened has to stand in the event itself, as a field.

use super::condition::Literal;
use super::model::find_table;
use crate::leaf::field::{self, Kind};
use crate::{Ask, Group, GroupBy, Limits, Mapping, QueryError, Question, Scope, leaf, uses};
use model::{Table, TableId, Value};
use protection::FieldUse;
use std::sync::Arc;
use storage::Filter;

/// How many keys a filter by a joined field may stand for.
const KEYS_MAX: usize = 1_000_000;

/// A table that rows are joined with, as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedTable {
    /// What its fields are called with: `account` makes `account.plan`.
    pub name: String,
    /// The entities table.
    pub table: String,
    /// The field of the measure's table …
    pub on: String,
    /// … that holds what this field of the entities table holds.
    pub key: String,
}

/// A dimension that comes from another table.
#[derive(Clone, Debug)]
pub(super) struct Join {
    /// The field of the measure's table.
    pub(super) on: String,
    table: Arc<Table>,
    key: String,
    field: String,
}

impl Join {
    /// The join that a dimension means, if its name begins with that of a joined table.
    pub(super) fn of(
        dimension: &str,
        joins: &[JoinedTable],
        from: &Arc<Table>,
        tables: &[Arc<Table>],
    ) -> Result<Option<Join>, QueryError> {
        let joined = joins.iter().find_map(|join| {
            let rest = dimension.strip_prefix(join.name.as_str())?.strip_prefix('.')?;
            Some((join, rest))
        });
        let Some((join, field)) = joined else { return Ok(None) };
        let table = find_table(tables, &join.table)?;
        if table.kind != model::TableKind::Entities {
            return Err(QueryError::Invalid(format!(
                "table `{}` holds events; only an entities table, with one row for each key, is \
                 joined",
                join.table
            )));
        }
        keyword(from, &join.on)?;
        keyword(table, &join.key)?;
        if field::column_kind(std::slice::from_ref(table), field)?.is_none() {
            return Err(field::unknown(std::slice::from_ref(table), field));
        }
        Ok(Some(Join {
            on: join.on.clone(),
            table: Arc::clone(table),
            key: join.key.clone(),
            field: field.to_owned(),
        }))
    }

    /// The entities table.
    pub(super) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// What it does with the fields of the entities table.
    pub(super) fn uses(&self) -> Vec<(TableId, FieldUse)> {
        let by = |name: &str| Group { by: GroupBy::Terms(name.to_owned()), keep_missing: false };
        let groups = vec![by(&self.key), by(&self.field)];
        let ask = Ask::Fold { groups, measures: Vec::new() };
        uses(std::slice::from_ref(&self.table), &Question { filter: Filter::All, ask })
    }

    /// What the table says about each key now.
    pub(super) fn mapping(
        &self,
        scope: &Scope,
        limits: &Limits,
    ) -> Result<Arc<Mapping>, QueryError> {
        leaf::mapping(scope, self.table.id, &self.key, &self.field, limits).map(Arc::new)
    }

    /// Rows whose joined value is one of these.
    pub(super) fn filter(
        &self,
        values: &[Literal],
        scope: &Scope,
        limits: &Limits,
    ) -> Result<Filter, QueryError> {
        let mapping = self.mapping(scope, limits)?;
        if mapping.least.is_some() {
            return Err(QueryError::NotPermitted {
                field: self.field.clone(),
                why: "is only told in groups of people: cut by it, do not filter by it",
            });
        }
        let wanted: Vec<u32> = (0..)
            .zip(&mapping.values)
            .filter(|(_, value)| values.iter().any(|literal| literal.text() == **value))
            .map(|(place, _)| place)
            .collect();
        let mut keys: Vec<&String> = mapping
            .of
            .iter()
            .filter(|(_, place)| wanted.contains(place))
            .map(|(key, _)| key)
            .collect();
        if keys.len() > KEYS_MAX {
            return Err(QueryError::Unsupported(format!(
                "the filter by `{}` stands for more than {KEYS_MAX} keys; cut by it instead",
                self.field
            )));
        }
        keys.sort_unstable();
        let keys = keys.into_iter().map(|key| Value::Str(key.clone())).collect();
        Ok(Filter::Terms(self.on.clone(), keys))
    }
}

fn keyword(table: &Arc<Table>, name: &str) -> Result<(), QueryError> {
    let tables = std::slice::from_ref(table);
    match field::column_kind(tables, name)? {
        Some(Kind::Keyword) => Ok(()),
        Some(_) => Err(QueryError::Invalid(format!(
            "field `{name}` of table `{}` holds no keywords; a join goes by one",
            table.name
        ))),
        None => Err(field::unknown(tables, name)),
    }
}
