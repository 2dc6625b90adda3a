//! `bool`, `constant_score`, `dis_max`, `boosting`, `wrapper`.

use super::super::{EsError, json};
use super::{AtLeast, Bool, Node, Parser, Query, unknown_option};
use serde_json::Value;

pub(super) fn bool(parser: &mut Parser, body: &Value) -> Result<Query, EsError> {
    let (mut all, mut boost) = (Bool::default(), 1.0);
    for (key, value) in json::object(body, "bool")? {
        match key.as_str() {
            "must" => all.must = queries(parser, value, "must")?,
            "should" => all.should = queries(parser, value, "should")?,
            "must_not" | "mustNot" => all.must_not = queries(parser, value, "must_not")?,
            "filter" => all.filter = queries(parser, value, "filter")?,
            "minimum_should_match" => all.at_least = AtLeast::from_json(value)?,
            "boost" => boost = json::boost(value)?,
            "_name" | "adjust_pure_negative" => {}
            other => return Err(EsError::parsing(format!("[bool] unknown field [{other}]"))),
        }
    }
    Ok(Query { node: Node::Bool(Box::new(all)), boost })
}

/// One query or a list of queries.
fn queries(parser: &mut Parser, value: &Value, key: &str) -> Result<Vec<Query>, EsError> {
    match value {
        Value::Array(list) => list.iter().map(|item| parser.query(item)).collect(),
        Value::Object(_) => Ok(vec![parser.query(value)?]),
        Value::Null => Ok(Vec::new()),
        other => Err(EsError::parsing(format!(
            "[bool] {key} doesn't support values of type: {}",
            json::token(other)
        ))),
    }
}

pub(super) fn constant_score(parser: &mut Parser, body: &Value) -> Result<Query, EsError> {
    let (mut inner, mut boost) = (None, 1.0);
    for (key, value) in json::object(body, "constant_score")? {
        match key.as_str() {
            "filter" if value.is_array() => {
                return Err(EsError::parsing("unexpected token [START_ARRAY]"));
            }
            "filter" => inner = Some(parser.query(value)?),
            "boost" => boost = json::boost(value)?,
            "_name" => {}
            other => return Err(unknown_option("constant_score", other)),
        }
    }
    let inner =
        inner.ok_or_else(|| EsError::parsing("[constant_score] requires a 'filter' element"))?;
    Ok(Query { node: Node::Constant(Box::new(inner)), boost })
}

pub(super) fn dis_max(parser: &mut Parser, body: &Value) -> Result<Query, EsError> {
    let (mut inner, mut boost, mut tie_breaker) = (None, 1.0, 0.0);
    for (key, value) in json::object(body, "dis_max")? {
        match key.as_str() {
            "queries" => inner = Some(queries(parser, value, "queries")?),
            "tie_breaker" => tie_breaker = json::boost(value)?,
            "boost" => boost = json::boost(value)?,
            "_name" => {}
            other => return Err(unknown_option("dis_max", other)),
        }
    }
    match inner {
        Some(queries) if !queries.is_empty() => {
            Ok(Query { node: Node::Best { queries, tie_breaker }, boost })
        }
        _ => Err(EsError::parsing("[dis_max] requires 'queries' field with at least one clause")),
    }
}

pub(super) fn boosting(parser: &mut Parser, body: &Value) -> Result<Query, EsError> {
    let (mut positive, mut negative, mut factor, mut boost) = (None, None, None, 1.0);
    for (key, value) in json::object(body, "boosting")? {
        match key.as_str() {
            "positive" => positive = Some(Box::new(parser.query(value)?)),
            "negative" => negative = Some(Box::new(parser.query(value)?)),
            "negative_boost" => factor = Some(json::boost(value)?),
            "boost" => boost = json::boost(value)?,
            "_name" => {}
            other => return Err(unknown_option("boosting", other)),
        }
    }
    let missing =
        |part: &str| EsError::parsing(format!("[boosting] query requires '{part}' to be set"));
    let node = Node::Boosting {
        positive: positive.ok_or_else(|| missing("positive' query"))?,
        negative: negative.ok_or_else(|| missing("negative' query"))?,
        factor: factor.ok_or_else(|| missing("negative_boost"))?,
    };
    Ok(Query { node, boost })
}

/// A query as base64 of its JSON.
pub(super) fn wrapper(_: &mut Parser, _: &Value) -> Result<Query, EsError> {
    Err(EsError::parsing("query [wrapper] is not supported by Clerestory; send the query as JSON"))
}
