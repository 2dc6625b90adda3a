//! The rows of an answer: which, in what order, and what is shown of each.

mod highlight;
mod show;
mod sort;

pub(super) use highlight::Highlight;
pub(super) use sort::{SortField, parse_sort, with_tiebreak};

use super::bind::{Binder, same_score, unscored};
use super::columns::{Cell, CellColumn};
use super::{EsError, WINDOW_MAX, json};
use crate::{Ask, OutColumn, Question, SortBy, SortKey};
use arrow::array::RecordBatch;
use model::Value as Stored;
use serde_json::{Map, Value, json};
use show::Show;
use sort::Order;
use storage::Filter;

/// Which rows are shown, and what of them.
#[derive(Clone, Debug)]
pub(super) struct HitsSpec {
    pub(super) from: usize,
    pub(super) size: usize,
    pub(super) sort: Vec<SortField>,
    /// `None`: from the start.
    pub(super) search_after: Option<Vec<Value>>,
    pub(super) source: Source,
    pub(super) fields: Vec<FieldSpec>,
    pub(super) version: bool,
    pub(super) seq_no: bool,
    pub(super) track_scores: bool,
    pub(super) highlight: Option<Highlight>,
    /// `stored_fields: "_none_"`: neither `_id` nor `_source`.
    pub(super) bare: bool,
    /// A page of a scroll: ties are broken by arrival, and it goes on after a place.
    pub(super) scrolls: bool,
    pub(super) place: Option<Place>,
}

/// Where a page ended: the sort values of its last row, as they are stored.
#[derive(Clone)]
pub struct Place(Vec<Option<Stored>>);

impl std::fmt::Debug for Place {
    /// It holds values of a document.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Place(…)")
    }
}

/// `_source`: patterns of fields.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) on: bool,
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
}

/// One entry of `fields` or `docvalue_fields`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FieldSpec {
    pub(super) pattern: String,
    pub(super) format: Option<String>,
}

/// Rows as they are shown.
pub(super) struct Fetched {
    pub(super) hits: Vec<Value>,
    pub(super) max_score: Option<f64>,
    /// How many rows were found before `from` was cut off.
    pub(super) found: usize,
    /// Of a page of a scroll.
    pub(super) place: Option<Place>,
}

impl Default for HitsSpec {
    fn default() -> HitsSpec {
        HitsSpec {
            from: 0,
            size: 10,
            sort: Vec::new(),
            search_after: None,
            source: Source { on: true, include: Vec::new(), exclude: Vec::new() },
            fields: Vec::new(),
            version: false,
            seq_no: false,
            track_scores: false,
            highlight: None,
            bare: false,
            scrolls: false,
            place: None,
        }
    }
}

impl Fetched {
    fn nothing() -> Fetched {
        Fetched { hits: Vec::new(), max_score: None, found: 0, place: None }
    }
}

impl HitsSpec {
    /// Takes a member that a search and `top_hits` share; false: it is none of those.
    pub(super) fn take(&mut self, key: &str, value: &Value) -> Result<bool, EsError> {
        match key {
            "from" => self.from = not_negative(value, key)?,
            "size" => self.size = not_negative(value, key)?,
            "sort" => self.sort = parse_sort(value)?,
            "_source" => self.source = Source::parse(value)?,
            "fields" | "docvalue_fields" => self.fields.extend(parse_fields(value, key)?),
            "stored_fields" => {
                let names = json::texts(value, key)?;
                self.bare = names.iter().any(|name| name == "_none_");
                if names.is_empty() || !names.iter().any(|name| name == "_source" || name == "*") {
                    self.source.on = false;
                }
            }
            "version" => self.version = json::boolean(value, key)?,
            "seq_no_primary_term" => self.seq_no = json::boolean(value, key)?,
            "track_scores" => self.track_scores = json::boolean(value, key)?,
            "highlight" => self.highlight = Some(Highlight::parse(value)?),
            "explain" if json::boolean(value, key)? => {
                return Err(EsError::illegal("[explain] is not supported by Clerestory"));
            }
            "explain" => {}
            "script_fields" if value.as_object().is_some_and(Map::is_empty) => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `top_hits`.
    pub(super) fn parse_top_hits(body: &Map<String, Value>) -> Result<HitsSpec, EsError> {
        let mut spec = HitsSpec { size: 3, ..HitsSpec::default() };
        for (key, value) in body {
            if !spec.take(key, value)? {
                return Err(EsError::parsing(format!(
                    "Unknown key for a {} in [top_hits]: [{key}].",
                    json::token(value)
                )));
            }
        }
        if spec.from.saturating_add(spec.size) > 100 {
            return Err(EsError::illegal(format!(
                "Top hits result window is too large, the top hits aggregator's from + size must be \
                 less than or equal to: [100] but was [{}]. This limit can be set by changing the \
                 [index.max_inner_result_window] index level setting.",
                spec.from.saturating_add(spec.size)
            )));
        }
        Ok(spec)
    }

    /// Refuses what cannot be paged.
    pub(super) fn check(&self) -> Result<(), EsError> {
        let window = self.from.saturating_add(self.size);
        if window > WINDOW_MAX {
            return Err(EsError::illegal(format!(
                "Result window is too large, from + size must be less than or equal to: \
                 [{WINDOW_MAX}] but was [{window}]. See the scroll api for a more efficient way to \
                 request large data sets. This limit can be set by changing the \
                 [index.max_result_window] index level setting."
            )));
        }
        let Some(after) = &self.search_after else { return Ok(()) };
        if self.sort.is_empty() {
            return Err(EsError::illegal("Sort must contain at least one field."));
        }
        if self.from > 0 {
            return Err(EsError::illegal(
                "`from` parameter must be set to 0 when `search_after` is used.",
            ));
        }
        if after.len() != self.sort.len() {
            return Err(EsError::illegal(format!(
                "search_after has {} value(s) but sort has {}.",
                after.len(),
                self.sort.len()
            )));
        }
        Ok(())
    }
}

fn not_negative(value: &Value, key: &str) -> Result<usize, EsError> {
    let number = json::integer(value, key)?;
    usize::try_from(number).map_err(|_| {
        EsError::illegal(match key {
            "from" => format!("[from] parameter cannot be negative but was [{number}]"),
            _ => format!("[{key}] parameter cannot be negative, found [{number}]"),
        })
    })
}

impl Source {
    fn parse(value: &Value) -> Result<Source, EsError> {
        let mut source = Source { on: true, include: Vec::new(), exclude: Vec::new() };
        match value {
            Value::Bool(on) => source.on = *on,
            Value::String(text) if text == "true" || text == "false" => source.on = text == "true",
            Value::String(_) | Value::Array(_) => source.include = json::texts(value, "_source")?,
            Value::Object(members) => {
                for (key, value) in members {
                    match key.as_str() {
                        "includes" | "include" => source.include = json::texts(value, key)?,
                        "excludes" | "exclude" => source.exclude = json::texts(value, key)?,
                        other => {
                            return Err(EsError::parsing(format!(
                                "Unknown key for a {} in [{other}].",
                                json::token(value)
                            )));
                        }
                    }
                }
            }
            other => {
                return Err(EsError::parsing(format!(
                    "Expected one of [VALUE_BOOLEAN, VALUE_STRING, START_ARRAY, START_OBJECT] but \
                     found [{}]",
                    json::token(other)
                )));
            }
        }
        if source.include.len() + source.exclude.len() > 1024 {
            return Err(EsError::illegal("[_source] may have at most 1024 patterns"));
        }
        Ok(source)
    }
}

fn parse_fields(value: &Value, key: &str) -> Result<Vec<FieldSpec>, EsError> {
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    if list.len() > 100 {
        return Err(EsError::illegal(format!(
            "Trying to retrieve too many {key}. Must be less than or equal to: [100] but was [{}].",
            list.len()
        )));
    }
    list.iter()
        .map(|item| {
            let Value::Object(members) = item else {
                return Ok(FieldSpec { pattern: json::text(item, key)?, format: None });
            };
            let mut spec = FieldSpec { pattern: String::new(), format: None };
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("field", _) => spec.pattern = json::text(value, name)?,
                    ("format", Value::Null) => {}
                    ("format", _) => spec.format = Some(json::text(value, name)?),
                    ("include_unmapped", _) => {}
                    (other, _) => {
                        return Err(EsError::parsing(format!("[{key}] unknown field [{other}]")));
                    }
                }
            }
            if let Some(format) =
                spec.format.as_ref().filter(|format| *format != "use_field_mapping")
            {
                super::date_format::DateFormat::parse(format)?;
            }
            Ok(spec)
        })
        .collect()
}

/// The `hits` object of a `top_hits` bucket with `rows` rows, if that is known.
pub(super) fn fetch(
    binder: &Binder<'_>,
    ask: &dyn Fn(&Question) -> Result<RecordBatch, EsError>,
    spec: &HitsSpec,
    filter: Filter,
    rows: Option<u64>,
) -> Result<Value, EsError> {
    let rows = match rows {
        Some(rows) => rows,
        None => count(ask, &filter)?,
    };
    let fetched =
        if rows == 0 { Fetched::nothing() } else { fetch_rows(binder, ask, spec, filter)? };
    Ok(json!({
        "total": {"value": rows, "relation": "eq"},
        "max_score": fetched.max_score,
        "hits": fetched.hits,
    }))
}

/// How many rows match.
pub(super) fn count(
    ask: &dyn Fn(&Question) -> Result<RecordBatch, EsError>,
    filter: &Filter,
) -> Result<u64, EsError> {
    match unscored(filter.clone()) {
        Filter::Nothing => Ok(0),
        filter => {
            let batch = ask(&Question { filter, ask: Ask::Count })?;
            Ok(CellColumn::at(&batch, 0)?.cell(0).count())
        }
    }
}

/// The rows that are shown.
pub(super) fn fetch_rows(
    binder: &Binder<'_>,
    ask: &dyn Fn(&Question) -> Result<RecordBatch, EsError>,
    spec: &HitsSpec,
    filter: Filter,
) -> Result<Fetched, EsError> {
    let limit = spec.from.saturating_add(spec.size);
    let mut order = Order::plan(binder, &spec.sort)?;
    let after = match (&spec.search_after, &spec.place) {
        (Some(values), _) => Some(order.after(binder, values)?),
        (None, Some(Place(place))) => Some(place.clone()),
        (None, None) => None,
    };
    if limit == 0 || filter == Filter::Nothing {
        return Ok(Fetched::nothing());
    }
    let constant = same_score(&filter);
    let by_score = spec.sort.is_empty() || order.has_score();
    let scored = by_score || spec.track_scores;
    if spec.sort.is_empty() {
        let by = if constant.is_some() { SortBy::Seq } else { SortBy::Score };
        let descending = by == SortBy::Score;
        order.keys = vec![SortKey { by, descending, missing_first: false }];
    }
    if spec.scrolls {
        order.break_ties();
    }
    let mut show = Show::plan(binder, spec, &filter)?;
    let score_column = (scored && constant.is_none()).then(|| show.add(OutColumn::Score));
    let asked = if scored { filter.clone() } else { unscored(filter.clone()) };
    let keys = order.keys.clone();
    let columns = show.columns.clone();
    let batch = ask(&Question { filter: asked, ask: Ask::Top { keys, limit, after, columns } })?;

    let scores = score_column.map(|place| CellColumn::at(&batch, place)).transpose()?;
    let score = |row: usize| -> Option<f64> {
        match &scores {
            Some(column) => column.cell(row).number().map(short),
            None => constant.filter(|_| scored).map(|score| short(f64::from(score))),
        }
    };
    let found = batch.num_rows();
    let max_score = if !scored || found == 0 {
        None
    } else if spec.sort.is_empty() || constant.is_some() {
        score(0)
    } else {
        best_score(ask, filter)?
    };
    let sort_values = if spec.sort.is_empty() { None } else { Some(order.columns(&batch)?) };
    let place = match (spec.scrolls, found.checked_sub(1)) {
        (true, Some(last)) => Some(Place(order.place(&order.columns(&batch)?, last))),
        _ => None,
    };
    let rows = show.rows(&batch, spec.from..found)?;
    let hits = rows
        .into_iter()
        .zip(spec.from..found)
        .map(|(mut hit, row)| {
            hit.put_score(score(row));
            if let Some(columns) = &sort_values {
                hit.put_sort(order.values(columns, row, score(row)));
            }
            hit.finish()
        })
        .collect();
    Ok(Fetched { hits, max_score, found, place })
}

/// The largest score there is.
fn best_score(
    ask: &dyn Fn(&Question) -> Result<RecordBatch, EsError>,
    filter: Filter,
) -> Result<Option<f64>, EsError> {
    let keys = vec![SortKey { by: SortBy::Score, descending: true, missing_first: false }];
    let columns = vec![OutColumn::Score];
    let ask_for = Ask::Top { keys, limit: 1, after: None, columns };
    let batch = ask(&Question { filter, ask: ask_for })?;
    Ok(CellColumn::at(&batch, 0)?.cell(0).number().map(short))
}

/// How many of the best rows score at least `least`, among as many as may be paged through.
pub(super) fn count_above(
    ask: &dyn Fn(&Question) -> Result<RecordBatch, EsError>,
    filter: &Filter,
    least: f64,
) -> Result<usize, EsError> {
    if let Some(score) = same_score(filter) {
        let all = usize::try_from(count(ask, filter)?).unwrap_or(usize::MAX);
        return Ok(if f64::from(score) >= least { all } else { 0 });
    }
    let keys = vec![SortKey { by: SortBy::Score, descending: true, missing_first: false }];
    let columns = vec![OutColumn::Score];
    let ask_for = Ask::Top { keys, limit: WINDOW_MAX, after: None, columns };
    let batch = ask(&Question { filter: filter.clone(), ask: ask_for })?;
    let scores = CellColumn::at(&batch, 0)?;
    Ok((0..batch.num_rows())
        .filter(|row| scores.cell(*row).number().is_some_and(|score| score >= least))
        .count())
}

/// A score with the digits that a 32-bit float has.
fn short(score: f64) -> f64 {
    (score as f32).to_string().parse().unwrap_or(score)
}

/// The text of a cell; nothing is the empty text.
fn text(cell: Cell) -> String {
    match cell {
        Cell::Text(text) => text,
        _ => String::new(),
    }
}
