//! An order with a limit over one table becomes an early top-k of the leaf.

use super::filter::truth;
use super::table::LeafTable;
use crate::leaf::field::{self, Kind};
use crate::{SortBy, SortKey};
use datafusion::common::DataFusionError;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr, TableScan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use model::Table;
use std::sync::Arc;

/// Larger limits are sorted by DataFusion.
const LIMIT_MAX: usize = 100_000;

/// Tells the scan below a limited sort which rows are wanted. The sort stays: it orders what
/// little comes.
#[derive(Debug)]
pub(super) struct TopRule;

impl OptimizerRule for TopRule {
    fn name(&self) -> &str {
        "clerestory_top"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let LogicalPlan::Sort(sort) = &plan else { return Ok(Transformed::no(plan)) };
        let Some(limit) = sort.fetch.filter(|limit| *limit <= LIMIT_MAX) else {
            return Ok(Transformed::no(plan));
        };
        let keys: Option<Vec<(String, &SortExpr)>> =
            sort.expr.iter().map(|key| Some((column_name(&key.expr)?, key))).collect();
        let Some(keys) = keys else { return Ok(Transformed::no(plan)) };
        let Some(input) = below(&sort.input, keys, limit)? else {
            return Ok(Transformed::no(plan));
        };
        let mut sort = sort.clone();
        sort.input = Arc::new(input);
        Ok(Transformed::yes(LogicalPlan::Sort(sort)))
    }
}

fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(column.name.clone()),
        Expr::Alias(alias) => column_name(&alias.expr),
        _ => None,
    }
}

/// The same plan with the order told to its scan.
fn below(
    plan: &LogicalPlan,
    keys: Vec<(String, &SortExpr)>,
    limit: usize,
) -> Result<Option<LogicalPlan>, DataFusionError> {
    match plan {
        LogicalPlan::TableScan(scan) => told(scan, keys, limit),
        LogicalPlan::SubqueryAlias(alias) => {
            let Some(input) = below(&alias.input, keys, limit)? else { return Ok(None) };
            let mut alias = alias.clone();
            alias.input = Arc::new(input);
            Ok(Some(LogicalPlan::SubqueryAlias(alias)))
        }
        LogicalPlan::Projection(projection) => {
            let through = |(name, key)| {
                let mut made = projection.expr.iter().zip(projection.schema.fields());
                let (expr, _) = made.find(|(_, field)| *field.name() == name)?;
                Some((column_name(expr)?, key))
            };
            let keys: Option<Vec<_>> = keys.into_iter().map(through).collect();
            let Some(keys) = keys else { return Ok(None) };
            let Some(input) = below(&projection.input, keys, limit)? else { return Ok(None) };
            let mut projection = projection.clone();
            projection.input = Arc::new(input);
            Ok(Some(LogicalPlan::Projection(projection)))
        }
        _ => Ok(None),
    }
}

fn told(
    scan: &TableScan,
    keys: Vec<(String, &SortExpr)>,
    limit: usize,
) -> Result<Option<LogicalPlan>, DataFusionError> {
    let provider = source_as_provider(&scan.source)?;
    let Some(leaf) = provider.downcast_ref::<LeafTable>() else { return Ok(None) };
    let table = leaf.table();
    let exact = scan.filters.iter().all(|expr| truth(expr, table).is_some());
    if leaf.has_top() || scan.fetch.is_some() || !exact || keys.is_empty() {
        return Ok(None);
    }
    let keys: Option<Vec<SortKey>> = keys
        .into_iter()
        .map(|(name, key)| {
            Some(SortKey {
                by: SortBy::Field(sortable(table, name)?),
                descending: !key.asc,
                missing_first: key.nulls_first,
            })
        })
        .collect();
    let Some(keys) = keys else { return Ok(None) };
    let mut scan = scan.clone();
    scan.source = provider_as_source(Arc::new(leaf.top(keys, limit)));
    Ok(Some(LogicalPlan::TableScan(scan)))
}

fn sortable(table: &Table, name: String) -> Option<String> {
    let kind = Kind::of(field::find(table, &name)?);
    (!matches!(kind, Kind::Text | Kind::Sealed)).then_some(name)
}
