//! Literals that are compared with personal fields become pseudonyms, before anything is planned
//! with them: pushed down or not, the plan never holds the real value.

use super::filter::text;
use super::functions::{MATCH, MATCH_PHRASE};
use super::lineage::{Origin, origin_of};
use crate::QueryError;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::expr::{InList, Like, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Between, BinaryExpr, Case, Expr, LogicalPlan, Operator};
use model::{Class, Field, Table, TableId};
use protection::Pseudonyms;
use std::sync::Arc;

/// Turns every literal of a plan.
pub(super) fn turn(
    plan: LogicalPlan,
    tables: &[Arc<Table>],
    pseudonyms: &Pseudonyms,
) -> Result<LogicalPlan, QueryError> {
    let turner = Turner { tables, pseudonyms };
    plan.transform_up_with_subqueries(|node| turner.node(node))
        .map(|turned| turned.data)
        .map_err(QueryError::from_planning)
}

struct Turner<'a> {
    tables: &'a [Arc<Table>],
    pseudonyms: &'a Pseudonyms,
}

impl Turner<'_> {
    fn node(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let names = NamePreserver::new(&node);
        let context = node.clone();
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let turned = expr.transform_up(|part| self.part(part, &context))?;
            Ok(turned.update_data(|expr| name.restore(expr)))
        })
    }

    /// The field whose values an expression is made of; the strictest if there are several.
    fn field(&self, expr: &Expr, node: &LogicalPlan) -> Option<Field> {
        let origin: Origin = origin_of(expr, node);
        let fields = origin.iter().filter_map(|(table, name)| self.find(*table, name));
        fields.max_by_key(|field| field.class.unwrap_or(Class::Open)).cloned()
    }

    fn find(&self, table: TableId, name: &str) -> Option<&Field> {
        let table = self.tables.iter().find(|known| known.id == table)?;
        crate::leaf::field::find(table, name).map(|found| found.field)
    }

    fn part(&self, part: Expr, node: &LogicalPlan) -> Result<Transformed<Expr>, DataFusionError> {
        match part {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.supports_propagation() => {
                let of_left = self.field(&left, node);
                let of_right = self.field(&right, node);
                let is_pattern = !matches!(
                    op,
                    Operator::Eq
                        | Operator::NotEq
                        | Operator::Lt
                        | Operator::LtEq
                        | Operator::Gt
                        | Operator::GtEq
                        | Operator::IsDistinctFrom
                        | Operator::IsNotDistinctFrom
                );
                if let Some(field) = of_left.iter().find(|field| is_pattern && is_turned(field)) {
                    return Err(no_patterns(field));
                }
                let left = self.literal(*left, of_right.as_ref());
                let right = self.literal(*right, of_left.as_ref());
                let changed = left.transformed || right.transformed;
                let compared =
                    BinaryExpr { left: Box::new(left.data), op, right: Box::new(right.data) };
                let go_on = TreeNodeRecursion::Continue;
                Ok(Transformed::new(Expr::BinaryExpr(compared), changed, go_on))
            }
            Expr::InList(InList { expr, list, negated }) => {
                let field = self.field(&expr, node);
                let list = list.into_iter().map(|item| self.literal(item, field.as_ref()).data);
                Ok(Transformed::yes(Expr::InList(InList { expr, list: list.collect(), negated })))
            }
            Expr::Between(Between { expr, negated, low, high }) => {
                let field = self.field(&expr, node);
                let low = Box::new(self.literal(*low, field.as_ref()).data);
                let high = Box::new(self.literal(*high, field.as_ref()).data);
                Ok(Transformed::yes(Expr::Between(Between { expr, negated, low, high })))
            }
            Expr::Like(like) => self.like(like, node),
            Expr::SimilarTo(like) => {
                let field = self.field(&like.expr, node);
                match field.filter(is_turned) {
                    Some(field) => Err(no_patterns(&field)),
                    None => Ok(Transformed::no(Expr::SimilarTo(like))),
                }
            }
            Expr::Case(case) => {
                let Some(compared) = &case.expr else {
                    return Ok(Transformed::no(Expr::Case(case)));
                };
                let field = self.field(compared, node);
                let when = |(when, then): (Box<Expr>, Box<Expr>)| {
                    (Box::new(self.literal(*when, field.as_ref()).data), then)
                };
                let when_then_expr = case.when_then_expr.into_iter().map(when).collect();
                Ok(Transformed::yes(Expr::Case(Case { when_then_expr, ..case })))
            }
            Expr::ScalarFunction(ScalarFunction { func, mut args })
                if matches!(func.name(), MATCH | MATCH_PHRASE) && args.len() == 2 =>
            {
                let field = self.field(&args[0], node);
                if let Some(words) = args.pop() {
                    args.push(self.literal(words, field.as_ref()).data);
                }
                let turned = ScalarFunction { func, args };
                Ok(Transformed::yes(Expr::ScalarFunction(turned)))
            }
            Expr::ScalarFunction(function)
                if matches!(
                    function.name(),
                    "starts_with" | "ends_with" | "contains" | "strpos"
                ) || function.name().starts_with("regexp") =>
            {
                let field = function.args.first().and_then(|expr| self.field(expr, node));
                match field.filter(is_turned) {
                    Some(field) => Err(no_patterns(&field)),
                    None => Ok(Transformed::no(Expr::ScalarFunction(function))),
                }
            }
            other => Ok(Transformed::no(other)),
        }
    }

    fn like(&self, like: Like, node: &LogicalPlan) -> Result<Transformed<Expr>, DataFusionError> {
        let Some(field) = self.field(&like.expr, node).filter(is_turned) else {
            return Ok(Transformed::no(Expr::Like(like)));
        };
        match super::filter::literal(&like.pattern).and_then(text) {
            Some(pattern) if !pattern.contains(['%', '_', '\\']) => {
                let pattern = Box::new(self.literal(*like.pattern, Some(&field)).data);
                Ok(Transformed::yes(Expr::Like(Like { pattern, ..like })))
            }
            // Everything that is there: no part of a value is compared.
            Some("%") => Ok(Transformed::no(Expr::Like(like))),
            _ => Err(no_patterns(&field)),
        }
    }

    /// A literal as it is stored in `field`; anything else as it is.
    fn literal(&self, expr: Expr, field: Option<&Field>) -> Transformed<Expr> {
        let Some(field) = field else { return Transformed::no(expr) };
        match expr {
            Expr::Literal(value, metadata) => {
                let turned = match text(&value) {
                    Some(text) => self.pseudonyms.literal(field, text),
                    // Numbers and dates of personal fields are stored as pseudonyms, too.
                    None if is_turned(field) && !value.is_null() => {
                        self.pseudonyms.literal(field, &value.to_string())
                    }
                    None => return Transformed::no(Expr::Literal(value, metadata)),
                };
                Transformed::yes(Expr::Literal(ScalarValue::Utf8(Some(turned)), metadata))
            }
            Expr::Cast(mut cast) => {
                let inner = self.literal(*cast.expr, Some(field));
                cast.expr = Box::new(inner.data);
                Transformed::new(Expr::Cast(cast), inner.transformed, inner.tnr)
            }
            other => Transformed::no(other),
        }
    }
}

/// Whether the stored value is something else than what people write.
fn is_turned(field: &Field) -> bool {
    matches!(field.class, Some(Class::Personal | Class::Secret))
}

fn no_patterns(field: &Field) -> DataFusionError {
    QueryError::Unsupported(format!(
        "field `{}` holds pseudonyms: compare it with whole values, not with parts or patterns",
        field.name
    ))
    .into()
}
