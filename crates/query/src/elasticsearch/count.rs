//! `_count`: how many rows match.

use super::bind::Binder;
use super::fields::Fields;
use super::hits;
use super::parse::{Parser, Query};
use super::uses::Uses;
use super::{EsError, json, params, shape};
use crate::{Limits, Question, Scope};
use model::{Field, Table, TableId, Timestamp};
use protection::{FieldUse, Pseudonyms};
use serde_json::{Value, json};
use std::sync::Arc;
use storage::Filter;

/// A `_count` request: body and URL parameters, read and checked.
#[derive(Clone, Debug)]
pub struct CountRequest {
    query: Option<Query>,
    shape: String,
}

impl CountRequest {
    /// Reads a request; see [`SearchRequest::parse`](super::SearchRequest::parse).
    ///
    /// # Errors
    /// Status 400 with Elasticsearch's type and reason.
    pub fn parse(body: &Value, params: &[(String, String)]) -> Result<CountRequest, EsError> {
        let from_url = params::source(params)?;
        let body = from_url.as_ref().filter(|_| body.is_null()).unwrap_or(body);
        let mut parser = Parser::default();
        let mut query = None;
        if !body.is_null() {
            for (key, value) in json::object(body, "_count")? {
                match key.as_str() {
                    "query" if value.is_null() => {}
                    "query" => query = Some(parser.query(value)?),
                    other => {
                        return Err(EsError::parsing(format!(
                            "request does not support [{other}]"
                        )));
                    }
                }
            }
        }
        for (name, value) in params {
            match name.as_str() {
                "source" => {}
                "min_score" => {
                    return Err(EsError::illegal(format!(
                        "[min_score] of [{value}] is not supported by Clerestory in [_count]"
                    )));
                }
                name if params::is_passed_over(name) => {}
                other => return Err(params::unrecognized("/_count", other)),
            }
        }
        if let Some(from_q) = params::query(&mut parser, params)? {
            query = Some(from_q);
        }
        Ok(CountRequest { query, shape: shape::of(body, params) })
    }

    /// The fields of `tables` that the request mentions, all as filters.
    pub fn uses(&self, tables: &[Arc<Table>]) -> Vec<(TableId, FieldUse)> {
        let mut uses = Uses::new(tables);
        self.query.iter().for_each(|query| uses.query(query));
        uses.finish()
    }

    /// The request's JSON with every literal replaced by `?`.
    pub fn shape(&self) -> String {
        self.shape.clone()
    }

    /// Counts. Blocks the calling thread as [`crate::run`] does.
    ///
    /// # Errors
    /// Status 400 if the request does not fit the fields, and those of [`crate::run`].
    pub fn run(
        &self,
        scope: &Scope,
        pseudonyms: &Pseudonyms,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Value, EsError> {
        let may_read = |table: TableId, field: &Field| scope.permit.may_read(table, field);
        let fields = Fields { tables: scope.snapshot.tables(), may_read: &may_read };
        let binder = Binder { fields, literals: pseudonyms, now };
        let filter = match &self.query {
            Some(query) => binder.condition(query)?,
            None => Filter::All,
        };
        let ask = |question: &Question| crate::run(scope, question, limits).map_err(EsError::from);
        Ok(json!({
            "count": hits::count(&ask, &filter)?,
            "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        }))
    }
}
