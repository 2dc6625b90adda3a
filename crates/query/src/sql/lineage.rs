//! From which stored fields the columns of a plan come, and what is done with them.

use super::metric::MetricTable;
use super::table::LeafTable;
use crate::QueryError;
use crate::guard::Role;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DataFusionError};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan};
use model::TableId;
use std::collections::BTreeSet;

/// A field and what is done with it.
pub(super) type Mention = (String, Role);
/// The fields that a column is made from.
pub(super) type Origin = BTreeSet<(TableId, String)>;

/// What a plan does with which field, sorted, each once.
pub(super) fn mentions(plan: &LogicalPlan) -> Result<Vec<(TableId, Mention)>, QueryError> {
    let mut found = BTreeSet::new();
    let plan = match plan {
        LogicalPlan::Explain(explain) => explain.plan.as_ref(),
        LogicalPlan::Analyze(analyze) => analyze.input.as_ref(),
        other => other,
    };
    visit(plan, Role::Output, &mut found).map_err(QueryError::from_planning)?;
    Ok(found.into_iter().collect())
}

/// Whether no value of a single row comes out: every way from a table leads through an aggregate.
pub(super) fn only_aggregates(plan: &LogicalPlan) -> bool {
    let below = match plan {
        LogicalPlan::Aggregate(_) => true,
        // The rows of a metric are aggregates already.
        LogicalPlan::TableScan(scan) => source_as_provider(&scan.source)
            .is_ok_and(|provider| provider.downcast_ref::<MetricTable>().is_some()),
        LogicalPlan::Explain(explain) => return only_aggregates(&explain.plan),
        other => other.inputs().into_iter().all(only_aggregates),
    };
    let mut in_subqueries = true;
    let walked = plan.apply_expressions(|expr| {
        expr.apply(|part| {
            if let Expr::ScalarSubquery(inner) = part {
                in_subqueries &= only_aggregates(&inner.subquery);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    });
    below && in_subqueries && walked.is_ok()
}

type Found = BTreeSet<(TableId, Mention)>;

fn note(origin: Origin, role: Role, found: &mut Found) {
    found.extend(origin.into_iter().map(|(table, field)| (table, (field, role))));
}

/// Notes what `plan` and all below it do; its own columns are used as `output`.
fn visit(plan: &LogicalPlan, output: Role, found: &mut Found) -> Result<(), DataFusionError> {
    for origin in origins(plan) {
        note(origin, output, found);
    }
    plan.apply(|node| {
        let of = |expr: &Expr| origin_of(expr, node);
        match node {
            LogicalPlan::Filter(filter) => {
                note(of(&filter.predicate), Role::Filter, found);
            }
            LogicalPlan::Sort(sort) => {
                sort.expr.iter().for_each(|key| note(of(&key.expr), Role::Sort, found));
            }
            LogicalPlan::Aggregate(aggregate) => {
                aggregate.group_expr.iter().for_each(|expr| note(of(expr), Role::Group, found));
                for expr in &aggregate.aggr_expr {
                    note_aggregate(expr, node, found);
                }
            }
            LogicalPlan::Join(join) => {
                for (left, right) in &join.on {
                    note(of(left), Role::Filter, found);
                    note(of(right), Role::Filter, found);
                }
                join.filter.iter().for_each(|expr| note(of(expr), Role::Filter, found));
            }
            LogicalPlan::Window(window) => {
                window.window_expr.iter().for_each(|expr| note(of(expr), Role::Output, found));
            }
            LogicalPlan::TableScan(scan) => {
                scan.filters.iter().for_each(|expr| note(of(expr), Role::Filter, found));
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Union(_)
            | LogicalPlan::EmptyRelation(_)
            | LogicalPlan::Values(_) => {}
            // Whatever else a plan does counts as giving the values out.
            other => {
                for expr in other.expressions() {
                    note(of(&expr), Role::Output, found);
                }
                if let LogicalPlan::Distinct(_) = other {
                    origins(other).into_iter().for_each(|origin| note(origin, Role::Group, found));
                }
            }
        }
        // The columns of a subquery inside an expression decide about rows, or are given out.
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                match part {
                    Expr::ScalarSubquery(inner) => visit(&inner.subquery, Role::Output, found)?,
                    Expr::InSubquery(inner) => {
                        visit(&inner.subquery.subquery, Role::Filter, found)?;
                    }
                    Expr::Exists(inner) => visit(&inner.subquery.subquery, Role::Filter, found)?,
                    Expr::SetComparison(inner) => {
                        visit(&inner.subquery.subquery, Role::Filter, found)?;
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

fn note_aggregate(expr: &Expr, node: &LogicalPlan, found: &mut Found) {
    let inner = expr.clone().unalias();
    let Expr::AggregateFunction(AggregateFunction { func, params }) = &inner else {
        note(origin_of(&inner, node), Role::Measure, found);
        return;
    };
    let only_counts = func.name() == "count" && !params.distinct;
    let role = if only_counts { Role::Values } else { Role::Measure };
    params.args.iter().for_each(|expr| note(origin_of(expr, node), role, found));
    params.order_by.iter().for_each(|key| note(origin_of(&key.expr, node), Role::Measure, found));
    params.filter.iter().for_each(|expr| note(origin_of(expr, node), Role::Filter, found));
}

/// From which fields an expression of `node` is made.
pub(super) fn origin_of(expr: &Expr, node: &LogicalPlan) -> Origin {
    let mut origin = Origin::new();
    let inputs: Vec<_> = match node {
        LogicalPlan::TableScan(_) => vec![(node.schema(), origins(node))],
        _ => node.inputs().into_iter().map(|input| (input.schema(), origins(input))).collect(),
    };
    let mut see = |column: &Column| {
        let before = origin.len();
        for (schema, origins) in &inputs {
            if let Some(place) = schema.maybe_index_of_column(column) {
                origin.extend(origins[place].iter().cloned());
            }
        }
        if origin.len() == before {
            origin.extend(by_name(node, column));
        }
    };
    let walked = expr.apply(|part| {
        match part {
            Expr::Column(column) | Expr::OuterReferenceColumn(_, column) => see(column),
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "the walk itself never fails");
    origin
}

/// Filters that stand inside a scan name columns that it may not give: by their names.
fn by_name(node: &LogicalPlan, column: &Column) -> Origin {
    let mut origin = Origin::new();
    if let LogicalPlan::TableScan(scan) = node
        && let Ok(provider) = source_as_provider(&scan.source)
        && let Some(leaf) = provider.downcast_ref::<LeafTable>()
        && column.name != "_id"
    {
        origin.insert((leaf.table().id, column.name.clone()));
    }
    origin
}

/// For each column of a plan the fields that its values come from. What is aggregated has none:
/// it was noted as a measure.
fn origins(plan: &LogicalPlan) -> Vec<Origin> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let provider = source_as_provider(&scan.source).ok();
            let table = provider
                .as_ref()
                .and_then(|provider| provider.downcast_ref::<LeafTable>())
                .map(|leaf| leaf.table().id);
            let fields = scan.projected_schema.fields().iter();
            fields
                .map(|field| match table {
                    Some(table) if field.name() != "_id" => {
                        Origin::from([(table, field.name().clone())])
                    }
                    _ => Origin::new(),
                })
                .collect()
        }
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().map(|expr| origin_of(expr, plan)).collect()
        }
        LogicalPlan::Aggregate(aggregate) => {
            let mut origins: Vec<Origin> =
                aggregate.group_expr.iter().map(|expr| origin_of(expr, plan)).collect();
            origins.resize(aggregate.schema.fields().len(), Origin::new());
            origins
        }
        LogicalPlan::Filter(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Repartition(_) => match plan.inputs().first() {
            Some(input) => origins(input),
            None => Vec::new(),
        },
        LogicalPlan::Join(join) => {
            let mut left = origins(&join.left);
            let right = origins(&join.right);
            match join.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti => left,
                JoinType::RightSemi | JoinType::RightAnti => right,
                JoinType::LeftMark => {
                    left.push(Origin::new());
                    left
                }
                _ => {
                    left.extend(right);
                    left.resize(join.schema.fields().len(), Origin::new());
                    left
                }
            }
        }
        LogicalPlan::Window(window) => {
            let mut all = origins(&window.input);
            all.extend(window.window_expr.iter().map(|expr| origin_of(expr, plan)));
            all
        }
        LogicalPlan::Union(union) => {
            let mut all = vec![Origin::new(); union.schema.fields().len()];
            for input in &union.inputs {
                for (all, origin) in all.iter_mut().zip(origins(input)) {
                    all.extend(origin);
                }
            }
            all
        }
        other => {
            // Every column may come from every column below.
            let mut any = Origin::new();
            other.inputs().into_iter().flat_map(origins).for_each(|origin| any.extend(origin));
            vec![any; other.schema().fields().len()]
        }
    }
}
