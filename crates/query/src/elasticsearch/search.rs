//! `_search`: the whole request and the whole answer.

use super::aggregation::{self, Aggregation, Kind, Runner};
use super::bind::Binder;
use super::fields::Fields;
use super::hits::{self, HitsSpec, Place};
use super::parse::{Parser, Query};
use super::uses::Uses;
use super::{EsError, TOTAL_EXACT_UP_TO, json, params, shape};
use crate::{Limits, Question, Scope};
use arrow::array::RecordBatch;
use model::{Field, Table, TableId, Timestamp};
use protection::{FieldUse, Pseudonyms};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::Filter;

/// A `_search` request: body and URL parameters, read and checked.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    query: Option<Query>,
    post_filter: Option<Query>,
    hits: HitsSpec,
    aggregations: Vec<Aggregation>,
    track: Track,
    min_score: Option<f64>,
    total_as_number: bool,
    typed_keys: bool,
    timeout: Option<Duration>,
    /// `scroll`: how long the next page is waited for.
    scroll: Option<String>,
    pit: Option<Pit>,
    shape: String,
}

/// `pit`: which point in time is asked.
#[derive(Clone, PartialEq)]
pub struct Pit {
    /// As it was given out.
    pub id: String,
    /// How long it is to be held from now.
    pub keep_alive: Option<String>,
}

impl std::fmt::Debug for Pit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pit(…)")
    }
}

/// How far the rows are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Track {
    Off,
    Exact,
    UpTo(u64),
}

/// Members that Elasticsearch has and Clerestory has not.
const UNSUPPORTED: [&str; 10] = [
    "collapse",
    "suggest",
    "knn",
    "rescore",
    "script_fields",
    "runtime_mappings",
    "indices_boost",
    "slice",
    "rank",
    "retriever",
];

impl SearchRequest {
    /// Reads a request. `body` is the JSON of the body, `null` if there is none; `params` are
    /// the decoded URL parameters, which win over the body.
    ///
    /// # Errors
    /// Status 400 with Elasticsearch's type and reason, naming what is wrong.
    pub fn parse(body: &Value, params: &[(String, String)]) -> Result<SearchRequest, EsError> {
        let from_url = params::source(params)?;
        let body = from_url.as_ref().filter(|_| body.is_null()).unwrap_or(body);
        let mut request = SearchRequest {
            query: None,
            post_filter: None,
            hits: HitsSpec::default(),
            aggregations: Vec::new(),
            track: Track::UpTo(TOTAL_EXACT_UP_TO),
            min_score: None,
            total_as_number: false,
            typed_keys: false,
            timeout: None,
            scroll: None,
            pit: None,
            shape: shape::of(body, params),
        };
        let mut parser = Parser::default();
        if !body.is_null() {
            let members = body.as_object().ok_or_else(|| {
                EsError::parsing(format!(
                    "Expected [START_OBJECT] but found [{}]",
                    json::token(body)
                ))
            })?;
            for (key, value) in members {
                request.take_member(&mut parser, key, value)?;
            }
        }
        let mut tracks = body.get("track_total_hits").is_some();
        for (name, value) in params {
            tracks |= name == "track_total_hits";
            request.take_param(name, value)?;
        }
        if let Some(query) = params::query(&mut parser, params)? {
            request.query = Some(query);
        }
        if request.total_as_number && !tracks {
            request.track = Track::Exact;
        }
        if request.pit.is_some() {
            hits::with_tiebreak(&mut request.hits.sort);
        }
        request.hits.check()?;
        request.check_scroll(body)?;
        if request.min_score.is_some() && !request.aggregations.is_empty() {
            return Err(EsError::illegal(
                "[min_score] together with aggregations is not supported by Clerestory",
            ));
        }
        Ok(request)
    }

    fn take_member(
        &mut self,
        parser: &mut Parser,
        key: &str,
        value: &Value,
    ) -> Result<(), EsError> {
        match key {
            "query" if value.is_null() => {}
            "query" => self.query = Some(parser.query(value)?),
            "post_filter" => self.post_filter = Some(parser.query(value)?),
            "aggs" | "aggregations" => {
                self.aggregations = aggregation::parse(parser, value, 0)?;
            }
            "track_total_hits" => self.track = Track::parse(value)?,
            "min_score" => self.min_score = Some(json::number(value, key)?),
            "timeout" => self.timeout = read_timeout(&json::text(value, key)?)?,
            "search_after" => {
                let Value::Array(values) = value else {
                    return Err(EsError::parsing(format!(
                        "Expected [START_ARRAY] in [search_after] but found [{}]",
                        json::token(value)
                    )));
                };
                self.hits.search_after = Some(values.clone());
            }
            "pit" if value.is_null() => {}
            "pit" => self.pit = Some(Pit::parse(value)?),
            "profile" if json::boolean(value, key)? => {
                return Err(EsError::illegal("[profile] is not supported by Clerestory"));
            }
            "profile" | "terminate_after" | "stats" => {}
            _ if self.hits.take(key, value)? => {}
            _ if UNSUPPORTED.contains(&key) => {
                let empty = value.as_object().is_some_and(Map::is_empty)
                    || value.as_array().is_some_and(Vec::is_empty);
                if !empty {
                    return Err(EsError::parsing(format!(
                        "[{key}] is not supported by Clerestory"
                    )));
                }
            }
            other => {
                return Err(EsError::parsing(format!(
                    "Unknown key for a {} in [{other}].",
                    json::token(value)
                )));
            }
        }
        Ok(())
    }

    fn take_param(&mut self, name: &str, value: &str) -> Result<(), EsError> {
        match name {
            "track_total_hits" => self.track = Track::parse(&Value::from(value))?,
            "rest_total_hits_as_int" => self.total_as_number = json::flag(value)?,
            "typed_keys" => self.typed_keys = json::flag(value)?,
            "timeout" => self.timeout = read_timeout(value)?,
            "source" => {}
            "scroll" => self.scroll = Some(value.to_owned()),
            _ if params::is_passed_over(name) => {}
            _ if params::take_hits(&mut self.hits, name, value)? => {}
            other => return Err(params::unrecognized("/_search", other)),
        }
        Ok(())
    }

    /// Refuses what a scroll cannot have, in Elasticsearch's words.
    fn check_scroll(&mut self, body: &Value) -> Result<(), EsError> {
        if self.scroll.is_none() {
            return Ok(());
        }
        let mut wrong = Vec::new();
        if self.hits.from > 0 {
            wrong.push("using [from] is not allowed in a scroll context");
        }
        if self.hits.size == 0 {
            wrong.push("[size] cannot be [0] in a scroll context");
        }
        if self.hits.search_after.is_some() {
            wrong.push("`search_after` cannot be used in a scroll context.");
        }
        if self.pit.is_some() {
            wrong.push("using [point in time] is not allowed in a scroll context");
        }
        if self.min_score.is_some() {
            wrong.push("using [min_score] is not allowed in a scroll context by Clerestory");
        }
        if body.get("track_total_hits").is_some_and(|track| track != &json!(true)) {
            wrong.push("disabling [track_total_hits] is not allowed in a scroll context");
        }
        if !wrong.is_empty() {
            let numbered = wrong.iter().zip(1..).map(|(why, number)| format!(" {number}: {why};"));
            let reason = format!("Validation Failed:{}", numbered.collect::<String>());
            return Err(EsError::bad("action_request_validation_exception", reason));
        }
        self.track = Track::Exact;
        self.hits.scrolls = true;
        Ok(())
    }

    /// How long the next page of a scroll is waited for, if the request opens one.
    pub fn scroll(&self) -> Option<&str> {
        self.scroll.as_deref()
    }

    /// The point in time that is asked, if one is.
    pub fn pit(&self) -> Option<&Pit> {
        self.pit.as_ref()
    }

    /// The request of the next page of a scroll, after `place`: rows alone, without aggregations.
    #[must_use]
    pub fn after(&self, place: &Place) -> SearchRequest {
        let mut next = SearchRequest { aggregations: Vec::new(), ..self.clone() };
        next.hits.place = Some(place.clone());
        next
    }

    /// The request of a page of a scroll behind its last row: how many rows there are, and none.
    #[must_use]
    pub fn without_rows(&self) -> SearchRequest {
        let mut last = SearchRequest { aggregations: Vec::new(), ..self.clone() };
        last.hits.size = 0;
        last
    }

    /// Whether rows are shown, not only counted and aggregated.
    pub fn shows_rows(&self) -> bool {
        let mut shows = self.hits.size > 0;
        for aggregation in &self.aggregations {
            aggregation.walk(&mut |inner| shows |= matches!(inner.kind, Kind::TopHits(_)));
        }
        shows
    }

    /// Whether something is aggregated.
    pub fn aggregates(&self) -> bool {
        !self.aggregations.is_empty()
    }

    /// The fields of `tables` that the request mentions, and how. A text field stands for its
    /// `.keyword` companion, and `*` for every field that may be read.
    pub fn uses(&self, tables: &[Arc<Table>]) -> Vec<(TableId, FieldUse)> {
        let mut uses = Uses::new(tables);
        self.query.iter().chain(&self.post_filter).for_each(|query| uses.query(query));
        uses.hits(&self.hits);
        for aggregation in &self.aggregations {
            aggregation.walk(&mut |inner| uses.aggregation(inner));
        }
        uses.finish()
    }

    /// The request's JSON with every literal replaced by `?`.
    pub fn shape(&self) -> String {
        self.shape.clone()
    }

    /// Answers the request over the tables of `scope`; `now` is what date math starts from.
    /// Blocks the calling thread as [`crate::run`] does.
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
        Ok(self.run_page(scope, pseudonyms, limits, now)?.0)
    }

    /// As [`SearchRequest::run`]; of a scroll also where its page ended, if it has a row.
    ///
    /// # Errors
    /// The same.
    pub fn run_page(
        &self,
        scope: &Scope,
        pseudonyms: &Pseudonyms,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<(Value, Option<Place>), EsError> {
        let mut limits = limits.clone();
        if let Some(timeout) = self.timeout {
            let end = Instant::now().checked_add(timeout).unwrap_or(limits.deadline);
            limits.deadline = limits.deadline.min(end);
        }
        let may_read = |table: TableId, field: &Field| scope.permit.may_read(table, field);
        let fields = Fields { tables: scope.snapshot.tables(), may_read: &may_read };
        let ask = |question: &Question| crate::run(scope, question, &limits).map_err(EsError::from);
        self.answer_page(Binder { fields, literals: pseudonyms, now }, &ask)
    }

    /// The answer, from whoever answers questions.
    #[cfg(test)]
    pub(super) fn answer(
        &self,
        binder: Binder<'_>,
        ask: &dyn Fn(&Question) -> Result<RecordBatch, EsError>,
    ) -> Result<Value, EsError> {
        Ok(self.answer_page(binder, ask)?.0)
    }

    fn answer_page(
        &self,
        binder: Binder<'_>,
        ask: &dyn Fn(&Question) -> Result<RecordBatch, EsError>,
    ) -> Result<(Value, Option<Place>), EsError> {
        let start = Instant::now();
        let query = match &self.query {
            Some(query) => binder.query(query)?,
            None => Filter::All,
        };
        let shown = match &self.post_filter {
            Some(filter) => {
                let filter = Filter::Score(Box::new(binder.condition(filter)?), 0.0);
                query.clone().and(filter)
            }
            None => query.clone(),
        };
        let (hits, place) = self.hits(&binder, ask, shown)?;
        let mut answer = Map::new();
        answer.insert("took".to_owned(), Value::Null);
        answer.insert("timed_out".to_owned(), json!(false));
        answer.insert(
            "_shards".to_owned(),
            json!({"total": 1, "successful": 1, "skipped": 0, "failed": 0}),
        );
        answer.insert("hits".to_owned(), Value::Object(hits));
        if !self.aggregations.is_empty() {
            let runner = Runner::new(binder, ask, self.typed_keys);
            let aggregations = runner.run(&self.aggregations, query)?;
            answer.insert("aggregations".to_owned(), Value::Object(aggregations));
        }
        let took = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        answer.insert("took".to_owned(), json!(took));
        Ok((Value::Object(answer), place))
    }

    fn hits(
        &self,
        binder: &Binder<'_>,
        ask: &dyn Fn(&Question) -> Result<RecordBatch, EsError>,
        filter: Filter,
    ) -> Result<(Map<String, Value>, Option<Place>), EsError> {
        let mut spec = self.hits.clone();
        let mut known = None;
        if let Some(least) = self.min_score {
            if !spec.sort.is_empty() {
                return Err(EsError::illegal(
                    "[min_score] together with [sort] is not supported by Clerestory",
                ));
            }
            let above = hits::count_above(ask, &filter, least)?;
            spec.size = spec.size.min(above.saturating_sub(spec.from));
            known = Some(above as u64);
        }
        let limit = spec.from + spec.size;
        let fetched = hits::fetch_rows(binder, ask, &spec, filter.clone())?;
        let from_the_start = spec.search_after.is_none() && spec.place.is_none();
        if known.is_none() && from_the_start && fetched.found < limit {
            known = Some(fetched.found as u64);
        }
        let mut out = Map::new();
        if self.track != Track::Off {
            let rows = match known {
                Some(rows) => rows,
                None => hits::count(ask, &filter)?,
            };
            out.insert("total".to_owned(), self.total(rows));
        }
        out.insert("max_score".to_owned(), json!(fetched.max_score));
        out.insert("hits".to_owned(), Value::Array(fetched.hits));
        Ok((out, fetched.place))
    }

    fn total(&self, rows: u64) -> Value {
        let (value, relation) = match self.track {
            Track::UpTo(most) if rows > most => (most, "gte"),
            _ => (rows, "eq"),
        };
        if self.total_as_number {
            json!(value)
        } else {
            json!({"value": value, "relation": relation})
        }
    }
}

impl Pit {
    fn parse(value: &Value) -> Result<Pit, EsError> {
        let mut pit = Pit { id: String::new(), keep_alive: None };
        for (key, value) in json::object(value, "pit")? {
            match key.as_str() {
                "id" => pit.id = json::text(value, key)?,
                "keep_alive" => pit.keep_alive = Some(json::text(value, key)?),
                other => {
                    return Err(EsError::parsing(format!(
                        "[point_in_time] unknown field [{other}]"
                    )));
                }
            }
        }
        match pit.id.is_empty() {
            false => Ok(pit),
            true => Err(EsError::illegal("point in time id is not provided")),
        }
    }
}

impl Track {
    fn parse(value: &Value) -> Result<Track, EsError> {
        match value {
            Value::Bool(true) => Ok(Track::Exact),
            Value::Bool(false) => Ok(Track::Off),
            Value::String(text) if text == "true" || text.is_empty() => Ok(Track::Exact),
            Value::String(text) if text == "false" => Ok(Track::Off),
            other => match json::integer(other, "track_total_hits")? {
                -1 => Ok(Track::Exact),
                number => u64::try_from(number).map(Track::UpTo).map_err(|_| {
                    EsError::illegal(format!(
                        "[track_total_hits] parameter must be positive or equals to -1, got {number}"
                    ))
                }),
            },
        }
    }
}

/// `30s`, `500ms`; `-1` is none.
fn read_timeout(text: &str) -> Result<Option<Duration>, EsError> {
    if text == "-1" {
        return Ok(None);
    }
    aggregation::length(text)
        .and_then(|millis| u64::try_from(millis).ok())
        .map(|millis| Some(Duration::from_millis(millis)))
        .ok_or_else(|| {
            EsError::illegal(format!(
                "failed to parse setting [timeout] with value [{text}] as a time value: unit is \
                 missing or unrecognized"
            ))
        })
}

#[cfg(test)]
mod tests;
