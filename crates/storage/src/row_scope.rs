//! Rows that a permit does not see do not exist for it: they are taken out of every view before
//! the snapshot is handed over, exactly as deleted rows are. So no question, of whatever kind,
//! has to think of them.

use crate::Filter;
use crate::read::{ReadError, Selection, View};
use model::{Table, Value};
use protection::RowScope;
use protection::grant::{Condition, Literal, RowFilter, Test};
use roaring::RoaringBitmap;
use std::ops::Bound;
use std::sync::Arc;

/// The views with only those rows alive that `scope` lets through.
pub(crate) fn restrict(
    table: &Arc<Table>,
    views: Vec<Arc<View>>,
    scope: &RowScope,
) -> Result<Vec<Arc<View>>, ReadError> {
    if scope.is_all() {
        return Ok(views);
    }
    let filter = filter_of(scope);
    views.iter().map(|view| restrict_view(table, view, &filter).map(Arc::new)).collect()
}

fn restrict_view(table: &Arc<Table>, view: &View, filter: &Filter) -> Result<View, ReadError> {
    let mut hidden = RoaringBitmap::new();
    hidden.insert_range(0..view.rows());
    match &view.segment.select(table, filter, &view.dead)? {
        Selection::All(_) => hidden.clear(),
        Selection::Run(run) => {
            hidden.remove_range(run.clone());
        }
        Selection::Rows(rows) => {
            hidden -= rows.iter().copied().collect::<RoaringBitmap>();
        }
    }
    Ok(View::restricted(Arc::clone(table), Arc::clone(&view.segment), Arc::new(hidden)))
}

fn filter_of(scope: &RowScope) -> Filter {
    let one_of = |filters: &Vec<RowFilter>| Filter::any(filters.iter().map(all_of).collect());
    scope.alternatives().iter().map(one_of).fold(Filter::All, Filter::and)
}

fn all_of(filter: &RowFilter) -> Filter {
    filter.conditions().iter().map(condition).fold(Filter::All, Filter::and)
}

fn condition(condition: &Condition) -> Filter {
    let field = condition.field.clone();
    match &condition.test {
        Test::Among(values) => Filter::Terms(field, values.iter().map(value).collect()),
        Test::Between { from: None, to: None } => Filter::Exists(field),
        Test::Between { from, to } => {
            let end = |end: &Option<Literal>| {
                end.as_ref().map_or(Bound::Unbounded, |literal| Bound::Included(value(literal)))
            };
            Filter::Range { field, from: end(from), to: end(to) }
        }
    }
}

fn value(literal: &Literal) -> Value {
    match literal {
        Literal::Text(text) => Value::Str(text.clone()),
        Literal::Number(number) => Value::Long(*number),
        Literal::Bool(truth) => Value::Bool(*truth),
    }
}
