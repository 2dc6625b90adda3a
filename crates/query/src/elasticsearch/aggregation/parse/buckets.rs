//! Buckets other than terms: histograms, ranges, filters, composites.

use super::super::super::date_format::DateFormat;
use super::super::super::parse::{Literal, Parser, literal};
use super::super::super::zone::{UTC, Zone};
use super::super::super::{BUCKETS_MAX, EsError, json};
use super::super::calendar::Calendar;
use super::super::{Composite, Filters, Histogram, RangeOf, Ranges, Source, Step, interval};
use super::{Members, count, format, no_field, read_order, terms, unknown_member};
use serde_json::Value;

pub(super) fn histogram(name: &str, word: &str, body: &Members) -> Result<Histogram, EsError> {
    let dates = word == "date_histogram";
    let (mut field, mut order, mut keyed, mut written) = (None, Vec::new(), false, None);
    let (mut min_doc_count, mut extended, mut hard) = (0, (None, None), (None, None));
    let (mut dated, mut zone, mut offset_ms) = (None, UTC, 0);
    let (mut interval_of, mut offset) = (None, 0.0);
    for (key, value) in body {
        match key.as_str() {
            "field" => field = Some(json::text(value, key)?),
            "calendar_interval" | "fixed_interval" if dates => {
                if dated.is_some() {
                    return Err(EsError::illegal(
                        "Cannot use [fixed_interval] with [calendar_interval] configuration option.",
                    ));
                }
                let text = json::text(value, key)?;
                dated = Some(if key == "calendar_interval" {
                    interval::calendar(&text)?
                } else {
                    interval::fixed(&text)?
                });
            }
            "time_zone" if dates => zone = Zone::parse(&json::text(value, key)?)?,
            "offset" if dates => offset_ms = interval::offset(&json::text(value, key)?)?,
            "interval" if !dates => interval_of = Some(json::number(value, key)?),
            "offset" => offset = json::number(value, key)?,
            "min_doc_count" => min_doc_count = count(value, key, name, 0)? as u64,
            "extended_bounds" => extended = bounds(value, key)?,
            "hard_bounds" => hard = bounds(value, key)?,
            "order" => order = read_order(value)?,
            "keyed" => keyed = json::boolean(value, key)?,
            "format" => written = format(value)?,
            other => return Err(unknown_member(word, other)),
        }
    }
    let step = if dates {
        let interval = dated.ok_or_else(|| {
            EsError::illegal(
                "Invalid interval specified, must be non-null and non-empty: one of \
                 [calendar_interval, fixed_interval] is required",
            )
        })?;
        Step::Date(Calendar { interval, zone, offset_ms })
    } else {
        match interval_of {
            Some(interval) if interval > 0.0 => Step::Number { interval, offset },
            _ => {
                return Err(EsError::illegal(format!(
                    "[interval] must be >0 for histogram aggregation [{name}]"
                )));
            }
        }
    };
    let field = field.ok_or_else(no_field)?;
    Ok(Histogram { field, step, min_doc_count, extended, hard, order, keyed, format: written })
}

fn bounds(value: &Value, key: &str) -> Result<(Option<Literal>, Option<Literal>), EsError> {
    let (mut min, mut max) = (None, None);
    for (end, value) in json::object(value, key)? {
        let found = if value.is_null() { None } else { Some(literal(value, key)?) };
        match end.as_str() {
            "min" => min = found,
            "max" => max = found,
            other => return Err(unknown_member(key, other)),
        }
    }
    Ok((min, max))
}

pub(super) fn ranges(name: &str, word: &str, body: &Members) -> Result<Ranges, EsError> {
    let dates = word == "date_range";
    let (mut field, mut list, mut keyed, mut written) = (None, Vec::new(), false, None);
    let mut zone = UTC;
    for (key, value) in body {
        match (key.as_str(), value) {
            ("field", _) => field = Some(json::text(value, key)?),
            ("ranges", Value::Array(items)) if items.len() <= 1024 => {
                list = items.iter().map(range_of).collect::<Result<_, _>>()?;
            }
            ("keyed", _) => keyed = json::boolean(value, key)?,
            ("format", _) => written = format(value)?,
            ("time_zone", _) if dates => zone = Zone::parse(&json::text(value, key)?)?,
            (other, _) => return Err(unknown_member(word, other)),
        }
    }
    if list.is_empty() {
        return Err(EsError::illegal(format!(
            "No [ranges] specified for the [{name}] aggregation"
        )));
    }
    if let Some(text) = &written {
        DateFormat::parse(text)
            .map(drop)
            .or_else(|error| if dates { Err(error) } else { Ok(()) })?;
    }
    Ok(Ranges {
        field: field.ok_or_else(no_field)?,
        dates,
        ranges: list,
        keyed,
        format: written,
        zone,
    })
}

fn range_of(value: &Value) -> Result<RangeOf, EsError> {
    let mut range = RangeOf { key: None, from: None, to: None };
    let end = |value: &Value| -> Result<Option<Literal>, EsError> {
        if value.is_null() { Ok(None) } else { literal(value, "range").map(Some) }
    };
    for (key, value) in json::object(value, "ranges")? {
        match key.as_str() {
            "key" => range.key = Some(json::text(value, key)?),
            "from" => range.from = end(value)?,
            "to" => range.to = end(value)?,
            other => return Err(unknown_member("range", other)),
        }
    }
    Ok(range)
}

pub(super) fn filters(parser: &mut Parser, body: &Members) -> Result<Filters, EsError> {
    let mut filters = Filters { names: None, queries: Vec::new(), other: None, keyed: true };
    let (mut other_key, mut other_on) = (None, None);
    for (key, value) in body {
        match (key.as_str(), value) {
            ("filters", Value::Object(named)) => {
                filters.names = Some(named.keys().cloned().collect());
                filters.queries =
                    named.values().map(|item| parser.query(item)).collect::<Result<_, _>>()?;
            }
            ("filters", Value::Array(list)) => {
                filters.queries =
                    list.iter().map(|item| parser.query(item)).collect::<Result<_, _>>()?;
            }
            ("other_bucket", _) => other_on = Some(json::boolean(value, key)?),
            ("other_bucket_key", _) => other_key = Some(json::text(value, key)?),
            ("keyed", _) => filters.keyed = json::boolean(value, key)?,
            (other, _) => return Err(unknown_member("filters", other)),
        }
    }
    if filters.queries.is_empty() {
        return Err(EsError::illegal("[filters] cannot be empty."));
    }
    if other_on.unwrap_or(other_key.is_some()) {
        filters.other = Some(other_key.unwrap_or_else(|| "_other_".to_owned()));
    }
    Ok(filters)
}

pub(super) fn composite(body: &Members) -> Result<Composite, EsError> {
    let (mut sources, mut size, mut after) = (Vec::new(), 10, None);
    for (key, value) in body {
        match (key.as_str(), value) {
            ("sources", Value::Array(list)) if list.len() <= 16 => {
                sources = list.iter().map(source).collect::<Result<_, _>>()?;
            }
            ("sources", Value::Object(_)) => sources = vec![source(value)?],
            ("size", _) => size = count(value, key, "composite", 1)?,
            ("after", Value::Object(members)) => after = Some(members.clone()),
            (other, _) => return Err(unknown_member("composite", other)),
        }
    }
    if sources.is_empty() {
        return Err(EsError::illegal("Composite [sources] cannot be null or empty"));
    }
    Ok(Composite { sources, size: size.min(BUCKETS_MAX), after })
}

fn source(value: &Value) -> Result<Source, EsError> {
    let single = |value: &Value| -> Option<(String, Value)> {
        let members = value.as_object()?;
        let (name, value) = members.iter().next()?;
        (members.len() == 1).then(|| (name.clone(), value.clone()))
    };
    let malformed = || EsError::parsing("[composite] a source is {\"name\": {\"type\": {…}}}");
    let (name, definition) = single(value).ok_or_else(malformed)?;
    let (word, body) = single(&definition).ok_or_else(malformed)?;
    let mut own = json::object(&body, &word)?.clone();
    let descending = match own.remove("order") {
        Some(order) => json::text(&order, "order")?.eq_ignore_ascii_case("desc"),
        None => false,
    };
    let missing_bucket = match own.remove("missing_bucket") {
        Some(value) => json::boolean(&value, "missing_bucket")?,
        None => false,
    };
    let (field, step, format) = match word.as_str() {
        "terms" => {
            let terms = terms(&name, &own)?;
            (terms.field, None, terms.format)
        }
        "date_histogram" | "histogram" => {
            let histogram = histogram(&name, &word, &own)?;
            (histogram.field, Some(histogram.step), histogram.format)
        }
        other => {
            return Err(EsError::parsing(format!("[composite] source [{other}] is not supported")));
        }
    };
    Ok(Source { name, field, step, descending, missing_bucket, format })
}
