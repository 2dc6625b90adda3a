//! From a condition in SQL to a filter of the store, where that is exactly the same.
//!
//! SQL has three truths. A row passes `WHERE c` if `c` is true, and `WHERE NOT c` if `c` is false,
//! never if it is unknown; so [`truth`] and [`falsehood`] are two translations, and a row without
//! a value is in neither. Of several values of a row any one can make a comparison true, as in
//! Elasticsearch.

use super::functions::{MATCH, MATCH_PHRASE};
use crate::leaf::field::{self, Kind};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{InList, Like, ScalarFunction};
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use model::{Table, Value};
use std::ops::Bound;
use storage::{Filter, Pattern, analyze};

/// The rows for which `expr` is true; `None` if no filter says exactly that.
pub(super) fn truth(expr: &Expr, table: &Table) -> Option<Filter> {
    match expr {
        Expr::Alias(alias) => truth(&alias.expr, table),
        Expr::Literal(ScalarValue::Boolean(value), _) => {
            Some(if *value == Some(true) { Filter::All } else { Filter::Nothing })
        }
        Expr::Column(_) => {
            let (name, kind) = column(expr, table)?;
            (kind == Kind::Bool).then_some(Filter::Term(name, Value::Bool(true)))
        }
        Expr::Not(inner) => falsehood(inner, table),
        Expr::IsTrue(inner) => truth(inner, table),
        Expr::IsFalse(inner) => falsehood(inner, table),
        Expr::IsNotTrue(inner) => Some(truth(inner, table)?.negate()),
        Expr::IsNotFalse(inner) => Some(falsehood(inner, table)?.negate()),
        Expr::IsNotNull(inner) => exists(inner, table),
        Expr::IsNull(inner) => Some(exists(inner, table)?.negate()),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            Some(truth(left, table)?.and(truth(right, table)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(either(truth(left, table)?, truth(right, table)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (column, op, literal) = match (literal(left), literal(right)) {
                (None, Some(literal)) => (left, *op, literal),
                (Some(literal), None) => (right, op.swap()?, literal),
                _ => return None,
            };
            compare(column, op, literal, table)
        }
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let low = compare(expr, Operator::GtEq, literal(low)?, table)?;
            Some(low.and(compare(expr, Operator::LtEq, literal(high)?, table)?))
        }
        Expr::Between(Between { expr, negated: true, low, high }) => {
            let below = compare(expr, Operator::Lt, literal(low)?, table)?;
            Some(either(below, compare(expr, Operator::Gt, literal(high)?, table)?))
        }
        Expr::InList(InList { expr, list, negated: false }) => in_list(expr, list, table),
        Expr::InList(InList { expr, list, negated: true }) => {
            if list.iter().any(|item| literal(item).is_some_and(ScalarValue::is_null)) {
                return Some(Filter::Nothing);
            }
            Some(exists(expr, table)?.and(in_list(expr, list, table)?.negate()))
        }
        Expr::Like(like) => {
            let found = like_filter(like, table)?;
            match like.negated {
                false => Some(found),
                true => Some(exists(&like.expr, table)?.and(found.negate())),
            }
        }
        Expr::ScalarFunction(function) => search(function, table),
        _ => None,
    }
}

/// The rows for which `expr` is false.
fn falsehood(expr: &Expr, table: &Table) -> Option<Filter> {
    match expr {
        Expr::Alias(alias) => falsehood(&alias.expr, table),
        Expr::Literal(ScalarValue::Boolean(value), _) => {
            Some(if *value == Some(false) { Filter::All } else { Filter::Nothing })
        }
        Expr::Column(_) => Some(exists(expr, table)?.and(truth(expr, table)?.negate())),
        Expr::Not(inner) => truth(inner, table),
        // These are never unknown.
        Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_) => Some(truth(expr, table)?.negate()),
        Expr::ScalarFunction(function) => Some(search(function, table)?.negate()),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            Some(either(falsehood(left, table)?, falsehood(right, table)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(falsehood(left, table)?.and(falsehood(right, table)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            // Not `op.negate()`: with several values `=` and `<>` are not each other's opposite.
            let compared = if literal(left).is_some() { right } else { left };
            let true_for = truth(expr, table)?;
            let is_null = |side| literal(side).is_some_and(ScalarValue::is_null);
            if is_null(left) || is_null(right) || *op == Operator::IsDistinctFrom {
                return None;
            }
            Some(exists(compared, table)?.and(true_for.negate()))
        }
        Expr::Between(between) => {
            let turned = Between { negated: !between.negated, ..between.clone() };
            truth(&Expr::Between(turned), table)
        }
        Expr::InList(list) => {
            let turned = InList { negated: !list.negated, ..list.clone() };
            truth(&Expr::InList(turned), table)
        }
        Expr::Like(like) => {
            let turned = Like { negated: !like.negated, ..like.clone() };
            truth(&Expr::Like(turned), table)
        }
        _ => None,
    }
}

/// A filter that lets through at least the rows for which `expr` is true, and far fewer than
/// all: the words of a text that has to be equal to a literal.
pub(super) fn at_least(expr: &Expr, table: &Table) -> Option<Filter> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
    let (compared, literal) = match (literal(left), literal(right)) {
        (None, Some(literal)) => (left, literal),
        (Some(literal), None) => (right, literal),
        _ => return None,
    };
    let (name, kind) = column(compared, table)?;
    if kind != Kind::Text {
        return None;
    }
    let terms: Vec<String> = distinct_terms(text(literal)?);
    (!terms.is_empty()).then_some(Filter::Words { field: name, at_least: terms.len(), terms })
}

fn either(left: Filter, right: Filter) -> Filter {
    match (left, right) {
        (Filter::Nothing, other) | (other, Filter::Nothing) => other,
        (Filter::Or { mut of, at_least: 1 }, right) => {
            of.push(right);
            Filter::any(of)
        }
        (left, right) => Filter::any(vec![left, right]),
    }
}

/// The column that an expression is, through casts that change no comparison.
fn column(expr: &Expr, table: &Table) -> Option<(String, Kind)> {
    match expr {
        Expr::Alias(alias) => column(&alias.expr, table),
        Expr::Column(column) if column.name == "_id" => Some(("_id".to_owned(), Kind::Keyword)),
        Expr::Column(column) => {
            let found = field::find(table, &column.name)?;
            Some((column.name.clone(), Kind::of(found)))
        }
        Expr::Cast(cast) => {
            use arrow::datatypes::DataType as T;
            let (name, kind) = column(&cast.expr, table)?;
            let same = match (kind, cast.field.data_type()) {
                (Kind::Keyword | Kind::Text, T::Utf8 | T::LargeUtf8 | T::Utf8View) => true,
                (Kind::Long, T::Int64 | T::Float64) => true,
                (Kind::Double, T::Float64) => true,
                (Kind::Date, T::Timestamp(_, zone)) => {
                    zone.as_deref().is_none_or(|zone| matches!(zone, "UTC" | "+00:00"))
                }
                _ => false,
            };
            same.then_some((name, kind))
        }
        _ => None,
    }
}

fn exists(expr: &Expr, table: &Table) -> Option<Filter> {
    let (name, _) = column(expr, table)?;
    Some(if name == "_id" { Filter::All } else { Filter::Exists(name) })
}

/// The literal that an expression is.
pub(super) fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        Expr::Alias(alias) => literal(&alias.expr),
        _ => None,
    }
}

/// The string that a literal is.
pub(super) fn text(literal: &ScalarValue) -> Option<&str> {
    literal.try_as_str().flatten()
}

fn compare(compared: &Expr, op: Operator, literal: &ScalarValue, table: &Table) -> Option<Filter> {
    let (name, kind) = column(compared, table)?;
    if literal.is_null() {
        let compares = matches!(
            op,
            Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
        );
        return compares.then_some(Filter::Nothing);
    }
    if name == "_id" {
        let ids = Filter::Ids(vec![text(literal)?.to_owned()]);
        return match op {
            Operator::Eq => Some(ids),
            Operator::NotEq => Some(ids.negate()),
            _ => None,
        };
    }
    if matches!(kind, Kind::Text | Kind::Sealed) {
        return None;
    }
    let (below, above) = neighbours(literal, kind)?;
    let exact = below == above;
    let equal = || match exact {
        true => Filter::Term(name.clone(), below.clone()),
        false => Filter::Nothing,
    };
    let range = |from, to| Filter::Range { field: name.clone(), from, to };
    Some(match op {
        Operator::Eq => equal(),
        Operator::NotEq => Filter::Exists(name.clone()).and(equal().negate()),
        Operator::Lt => range(Bound::Unbounded, Bound::Excluded(above)),
        Operator::LtEq => range(Bound::Unbounded, Bound::Included(below)),
        Operator::Gt => range(Bound::Excluded(below), Bound::Unbounded),
        Operator::GtEq => range(Bound::Included(above), Bound::Unbounded),
        _ => return None,
    })
}

/// The nearest values of the column's own type below and above a literal; the same value twice
/// if the type has it.
fn neighbours(literal: &ScalarValue, kind: Kind) -> Option<(Value, Value)> {
    let same = |value: Value| Some((value.clone(), value));
    match kind {
        Kind::Keyword => same(Value::Str(text(literal)?.to_owned())),
        Kind::Bool => match literal {
            ScalarValue::Boolean(Some(value)) => same(Value::Bool(*value)),
            _ => None,
        },
        Kind::Long => match number(literal)? {
            Number::Long(value) => same(Value::Long(value)),
            Number::Double(value) if value.abs() < 9e15 => {
                Some((Value::Long(value.floor() as i64), Value::Long(value.ceil() as i64)))
            }
            Number::Double(_) => None,
        },
        Kind::Double => match number(literal)? {
            Number::Long(value) => same(Value::Double(value as f64)),
            Number::Double(value) => same(Value::Double(value)),
        },
        Kind::Date => {
            let (value, per_ms) = match literal {
                ScalarValue::TimestampSecond(Some(value), _) => (value.checked_mul(1000)?, 1),
                ScalarValue::TimestampMillisecond(Some(value), _) => (*value, 1),
                ScalarValue::TimestampMicrosecond(Some(value), _) => (*value, 1_000),
                ScalarValue::TimestampNanosecond(Some(value), _) => (*value, 1_000_000),
                ScalarValue::Date32(Some(days)) => (i64::from(*days).checked_mul(86_400_000)?, 1),
                _ => return None,
            };
            let below = value.div_euclid(per_ms);
            let above = below + i64::from(value.rem_euclid(per_ms) != 0);
            Some((Value::Long(below), Value::Long(above)))
        }
        Kind::Text | Kind::Sealed => None,
    }
}

enum Number {
    Long(i64),
    Double(f64),
}

fn number(literal: &ScalarValue) -> Option<Number> {
    Some(match literal {
        ScalarValue::Int8(Some(value)) => Number::Long(i64::from(*value)),
        ScalarValue::Int16(Some(value)) => Number::Long(i64::from(*value)),
        ScalarValue::Int32(Some(value)) => Number::Long(i64::from(*value)),
        ScalarValue::Int64(Some(value)) => Number::Long(*value),
        ScalarValue::UInt8(Some(value)) => Number::Long(i64::from(*value)),
        ScalarValue::UInt16(Some(value)) => Number::Long(i64::from(*value)),
        ScalarValue::UInt32(Some(value)) => Number::Long(i64::from(*value)),
        ScalarValue::UInt64(Some(value)) => Number::Long(i64::try_from(*value).ok()?),
        ScalarValue::Float32(Some(value)) => Number::Double(f64::from(*value)),
        ScalarValue::Float64(Some(value)) if value.is_finite() => Number::Double(*value),
        _ => return None,
    })
}

fn in_list(expr: &Expr, list: &[Expr], table: &Table) -> Option<Filter> {
    let (name, kind) = column(expr, table)?;
    let literals = list.iter().map(literal).collect::<Option<Vec<_>>>()?;
    let literals = literals.into_iter().filter(|literal| !literal.is_null());
    if name == "_id" {
        let ids = literals.map(|literal| text(literal).map(str::to_owned));
        return Some(Filter::Ids(ids.collect::<Option<_>>()?));
    }
    let mut values = Vec::new();
    for literal in literals {
        let (below, above) = neighbours(literal, kind)?;
        if below == above {
            values.push(below);
        }
    }
    Some(Filter::Terms(name, values))
}

fn like_filter(like: &Like, table: &Table) -> Option<Filter> {
    let (field, kind) = column(&like.expr, table)?;
    if kind != Kind::Keyword || field == "_id" {
        return None;
    }
    let pattern = text(literal(&like.pattern)?)?;
    let escape = like.escape_char.unwrap_or('\\');
    let ignore_case = like.case_insensitive;
    let mut wildcard = String::new();
    let mut plain = String::new();
    // How the pattern ends: nowhere yet, in one `%`, or in something that is no prefix.
    let mut open_end = false;
    let mut is_prefix = true;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        is_prefix &= !open_end;
        match character {
            '%' => {
                wildcard.push('*');
                open_end = true;
            }
            '_' => {
                wildcard.push('?');
                is_prefix = false;
            }
            other => {
                let literal = if other == escape { characters.next()? } else { other };
                if matches!(literal, '*' | '?' | '\\') {
                    wildcard.push('\\');
                }
                wildcard.push(literal);
                plain.push(literal);
            }
        }
    }
    Some(match (is_prefix, open_end) {
        (true, true) if plain.is_empty() => Filter::Exists(field),
        (true, true) => Filter::Prefix { field, prefix: plain, ignore_case },
        (true, false) if !ignore_case => Filter::Term(field, Value::Str(plain)),
        _ => Filter::Pattern { field, pattern: Pattern::Wildcard(wildcard), ignore_case },
    })
}

fn distinct_terms(text: &str) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    for (_, term) in analyze(text) {
        if !terms.contains(&term) {
            terms.push(term);
        }
    }
    terms
}

fn search(function: &ScalarFunction, table: &Table) -> Option<Filter> {
    let [field, words] = function.args.as_slice() else { return None };
    let (field, kind) = column(field, table)?;
    let words = text(literal(words)?)?;
    match (function.name(), kind) {
        (MATCH, Kind::Text) => {
            let terms = distinct_terms(words);
            Some(match terms.is_empty() {
                true => Filter::Nothing,
                false => Filter::Words { field, terms, at_least: 1 },
            })
        }
        (MATCH_PHRASE, Kind::Text) => {
            let terms = analyze(words);
            Some(match terms.is_empty() {
                true => Filter::Nothing,
                false => Filter::Phrase { field, terms, slop: 0, last_is_prefix: false },
            })
        }
        (MATCH | MATCH_PHRASE, Kind::Keyword) => Some(match field.as_str() {
            "_id" => Filter::Ids(vec![words.to_owned()]),
            _ => Filter::Term(field, Value::Str(words.to_owned())),
        }),
        _ => None,
    }
}
