//! A table of ours as DataFusion sees it; a scan becomes a leaf.

use super::{filter, sql_type, statement};
use crate::leaf::field::{self, Kind};
use crate::{
    Ask, Group, LeafExec, Limits, MeasureOf, OutColumn, QueryError, Question, Scope, SortKey,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use model::Table;
use std::fmt;
use std::sync::Arc;
use storage::Filter;

/// The scope that a session was opened for; plans find it in the session's configuration.
pub(super) struct Bound {
    /// What may be seen.
    pub(super) scope: Scope,
    /// What it may cost.
    pub(super) limits: Limits,
}

pub(super) fn bound(session: &dyn Session) -> Result<Arc<Bound>, DataFusionError> {
    session
        .config()
        .get_extension::<Bound>()
        .ok_or_else(|| QueryError::Internal("a scan without a permit".to_owned()).into())
}

/// Rows of a table.
pub(super) struct LeafTable {
    table: Arc<Table>,
    schema: SchemaRef,
    /// Only the first rows of this order are wanted.
    top: Option<(Vec<SortKey>, usize)>,
}

impl LeafTable {
    /// Every column of a table.
    pub(super) fn new(table: &Arc<Table>) -> LeafTable {
        let fields = statement::columns(table).into_iter().map(|name| {
            let ty =
                field::find(table, &name).map_or(DataType::Utf8View, |f| sql_type(Kind::of(f)));
            Field::new(name, ty, true)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        LeafTable { table: Arc::clone(table), schema, top: None }
    }

    /// The table.
    pub(super) fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The same table, of which only the first `limit` rows by `keys` are wanted.
    pub(super) fn top(&self, keys: Vec<SortKey>, limit: usize) -> LeafTable {
        LeafTable {
            table: Arc::clone(&self.table),
            schema: Arc::clone(&self.schema),
            top: Some((keys, limit)),
        }
    }

    /// Whether [`LeafTable::top`] was said.
    pub(super) fn has_top(&self) -> bool {
        self.top.is_some()
    }
}

impl fmt::Debug for LeafTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeafTable({})", self.table.name)
    }
}

#[async_trait]
impl TableProvider for LeafTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let bound = bound(session)?;
        let mut all = Filter::All;
        let mut exact = true;
        for expr in filters {
            match filter::truth(expr, &self.table) {
                Some(filter) => all = all.and(filter),
                None => {
                    exact = false;
                    if let Some(filter) = filter::at_least(expr, &self.table) {
                        all = all.and(filter);
                    }
                }
            }
        }
        let schema = match projection {
            Some(places) => Arc::new(self.schema.project(places)?),
            None => Arc::clone(&self.schema),
        };
        let column = |field: &Arc<Field>| match field.name().as_str() {
            "_id" => OutColumn::Id,
            name => OutColumn::Field(name.to_owned()),
        };
        let columns = schema.fields().iter().map(column).collect();
        let ask = match &self.top {
            Some((keys, limit)) if exact => {
                Ask::Top { keys: keys.clone(), limit: *limit, after: None, columns }
            }
            _ => Ask::Rows { columns, limit: limit.filter(|_| exact) },
        };
        let question = Question { filter: all, ask };
        let leaf = LeafExec::over(&bound.scope, question, &bound.limits, Some(self.table.id))?;
        Ok(Arc::new(leaf.typed(schema)))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        let support = |expr: &&Expr| {
            if filter::truth(expr, &self.table).is_some() {
                TableProviderFilterPushDown::Exact
            } else if filter::at_least(expr, &self.table).is_some() {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(support).collect())
    }
}

/// Grouped aggregates of a table: what the leaf folds instead of giving rows.
pub(super) struct FoldTable {
    table: Arc<Table>,
    filter: Filter,
    groups: Vec<Group>,
    measures: Vec<MeasureOf>,
    /// Groups, then measures, of the types that the plan expects.
    schema: SchemaRef,
}

impl FoldTable {
    /// A fold; `schema` has one column for each group and measure.
    pub(super) fn new(
        table: Arc<Table>,
        filter: Filter,
        groups: Vec<Group>,
        measures: Vec<MeasureOf>,
        schema: SchemaRef,
    ) -> FoldTable {
        FoldTable { table, filter, groups, measures, schema }
    }

    /// Which rows are folded.
    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }
}

impl fmt::Debug for FoldTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FoldTable({})", self.table.name)
    }
}

#[async_trait]
impl TableProvider for FoldTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let bound = bound(session)?;
        let ask = Ask::Fold { groups: self.groups.clone(), measures: self.measures.clone() };
        let question = Question { filter: self.filter.clone(), ask };
        let leaf = LeafExec::over(&bound.scope, question, &bound.limits, Some(self.table.id))?
            .typed(Arc::clone(&self.schema));
        let plan: Arc<dyn ExecutionPlan> = Arc::new(leaf);
        match projection {
            None => Ok(plan),
            Some(places) => project(plan, places),
        }
    }
}

/// Some columns of a plan.
pub(super) fn project(
    plan: Arc<dyn ExecutionPlan>,
    places: &[usize],
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    use datafusion::physical_expr::PhysicalExpr;
    use datafusion::physical_expr::expressions::Column;
    use datafusion::physical_plan::projection::ProjectionExec;
    let schema = plan.schema();
    let whole: Vec<usize> = (0..schema.fields().len()).collect();
    if places == whole {
        return Ok(plan);
    }
    let expressions = places.iter().map(|&place| {
        let name = schema.field(place).name().clone();
        (Arc::new(Column::new(&name, place)) as Arc<dyn PhysicalExpr>, name)
    });
    Ok(Arc::new(ProjectionExec::try_new(expressions.collect::<Vec<_>>(), plan)?))
}
