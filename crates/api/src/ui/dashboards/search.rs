//! A panel of a saved search: how many hits over time, the newest of them, or how many there are.

use super::panel::{head, nothing, width};
use super::view::View;
use crate::backend;
use crate::drawing::{Chart, DrawnSeries};
use crate::error::ApiError;
use crate::route::Call;
use crate::ui::badge;
use crate::ui::number;
use crate::ui::saved::Kept;
use crate::ui::time_range::{DAY, HOUR, MINUTE, at_step};
use engine::{Caller, Panel, SavedKind};
use maud::{Markup, html};
use model::{Table, Timestamp};
use serde_json::{Value, json};

/// At most so many bars.
const BARS_MAX: i64 = 60;
/// So many rows.
const ROWS: u64 = 10;
/// So many columns, where the search names none.
const COLUMNS: usize = 4;
const STEPS: [i64; 8] = [MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY];

/// Asks and draws.
pub(super) fn panel(
    call: &Call<'_>,
    caller: &Caller,
    panel: &Panel,
    (id, show): (&str, &str),
    view: &View,
) -> Result<Markup, ApiError> {
    let engine = &call.app.engine;
    let saved = backend::saved_object(engine, caller, SavedKind::Search, id, None)?;
    let kept = Kept::of(&saved);
    let param = |name: &str| kept.param(name);
    if kept.is_sql() {
        let reason = "a search in SQL is no panel yet; save it from the search page";
        return Err(ApiError::illegal_argument(reason));
    }
    let index = param("table");
    let tables = backend::tables(engine, caller, index)?;
    let table = tables.first().ok_or_else(|| ApiError::not_found("There is no such table."))?;
    let step = view.range.span.map(step);
    let body = body(table, param("q"), view, show, step);
    let answer = backend::search(engine, caller, index, Some(body), &[])?;
    let total = answer["hits"]["total"]["value"].as_u64().unwrap_or(0);
    let title = if panel.title.is_empty() { &saved.name } else { &panel.title };
    let link = view.range.put_into(kept.link().without("from").without("to"));
    Ok(html! {
        (head(title, &link))
        @if total == 0 { (nothing("No hits in this range", &link)) }
        @else if show == "rows" { (rows(table, param("columns"), &answer)) p.hint { (number::of(total, "hit", "hits")) } }
        @else if let (true, Some(step)) = (show == "histogram", step) {
            (histogram(&answer, step, width(panel)))
            p.hint { (number::of(total, "hit", "hits")) }
        }
        @else { div.big-numbers { div { strong.big-number { (number::count(total)) } span.hint { "hits" } } } }
    })
}

fn step((start, end): (i64, i64)) -> i64 {
    let fits = |step: &i64| (end - start) / step < BARS_MAX;
    STEPS.into_iter().find(fits).unwrap_or((end - start) / BARS_MAX + 1)
}

fn body(table: &Table, q: &str, view: &View, show: &str, step: Option<i64>) -> Value {
    let mut filters = Vec::new();
    if let Some((field, (start, end))) = table.time_field.as_ref().zip(view.range.span) {
        let (start, end) = (Timestamp(start).to_rfc3339(), Timestamp(end).to_rfc3339());
        filters.push(json!({ "range": { field: { "gte": start, "lt": end } } }));
    }
    for (name, value) in view.variables.iter().filter(|(_, value)| !value.is_empty()) {
        if table.schema.find(name).is_some() {
            filters.push(json!({ "term": { name: value } }));
        }
    }
    let must = match q {
        "" => json!({ "match_all": {} }),
        q => json!({ "query_string": { "query": q, "default_operator": "AND" } }),
    };
    let mut body = json!({
        "size": if show == "rows" { ROWS } else { 0 },
        "track_total_hits": true,
        "query": { "bool": { "must": [must], "filter": filters } },
    });
    if let Some(field) = &table.time_field {
        if show == "rows" {
            body["sort"] = json!([{ field: "desc" }]);
        } else if let Some(step) = step.filter(|_| show == "histogram") {
            let every = json!({ "field": field, "fixed_interval": format!("{step}ms") });
            body["aggs"] = json!({ "over_time": { "date_histogram": every } });
        }
    }
    body
}

fn histogram(answer: &Value, step: i64, width: f64) -> Markup {
    let buckets = answer["aggregations"]["over_time"]["buckets"].as_array();
    let buckets = buckets.map(Vec::as_slice).unwrap_or_default();
    let at = |bucket: &Value| bucket["key"].as_f64().unwrap_or(0.0) as i64;
    let times: Vec<String> = buckets.iter().map(|bucket| at_step(at(bucket), step)).collect();
    let values: Vec<Option<f64>> =
        buckets.iter().map(|bucket| bucket["doc_count"].as_f64()).collect();
    let series = [DrawnSeries { name: "hits", values: &values }];
    let written = |value: f64| number::plain(value);
    let chart =
        Chart { label: "Hits over time", width, times: &times, series: &series, written: &written };
    html! { div.scroll-x { (chart.bars()) } }
}

/// The newest hits. What they hold is as the engine released it: pseudonyms, never more.
fn rows(table: &Table, columns: &str, answer: &Value) -> Markup {
    let named: Vec<&str> =
        columns.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let fields = table.schema.fields().iter().map(|field| field.name.as_str());
    let columns: Vec<&str> = match named.as_slice() {
        [] => fields.take(COLUMNS).collect(),
        named => named.to_vec(),
    };
    let hits = answer["hits"]["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
    html! {
        div.scroll-x {
            table.grid {
                thead { tr { @for name in &columns { th scope="col" { (name) @if let Some((_, field)) = table.schema.find(name) { " " (badge::field_if_protected(field)) } } } } }
                tbody { @for hit in hits { tr {
                    @for name in &columns { td { (cell(&hit["_source"], name)) } }
                } } }
            }
        }
    }
}

/// A value at a path with dots, as nested or as flat members.
fn cell(source: &Value, name: &str) -> String {
    let nested = || name.split('.').try_fold(source, |at, part| at.get(part));
    match source.get(name).or_else(nested) {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_nested_and_flat() {
        let source = json!({ "a": { "b": 1 }, "c.d": "x", "e": null });
        assert_eq!(cell(&source, "a.b"), "1");
        assert_eq!(cell(&source, "c.d"), "x");
        assert_eq!((cell(&source, "e"), cell(&source, "f")), ("–".to_owned(), "–".to_owned()));
        assert_eq!(step((0, 30 * DAY)), DAY);
        assert_eq!(step((0, HOUR)), 10 * MINUTE);
    }
}
