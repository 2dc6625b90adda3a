//! The `aggs` of a body as typed values.

use super::super::date_format::DateFormat;
use super::super::hits::HitsSpec;
use super::super::parse::{Literal, Parser, literal};
use super::super::zone::{UTC, Zone};
use super::super::{BUCKETS_MAX, DEPTH_MAX, EsError, json};
use super::calendar::Calendar;
use super::{
    Aggregation, Choice, Composite, Filters, Histogram, Kind, Metric, MetricKind, Order, OrderBy,
    RangeOf, Ranges, Source, Step, Terms, interval,
};
use serde_json::{Map, Value};

const KNOWN: [&str; 21] = [
    "terms",
    "date_histogram",
    "histogram",
    "range",
    "date_range",
    "filter",
    "filters",
    "missing",
    "global",
    "min",
    "max",
    "avg",
    "sum",
    "stats",
    "extended_stats",
    "value_count",
    "cardinality",
    "percentiles",
    "percentile_ranks",
    "top_hits",
    "composite",
];

/// Aggregations that Elasticsearch has and Clerestory has not.
const UNSUPPORTED: [&str; 48] = [
    "adjacency_matrix",
    "auto_date_histogram",
    "avg_bucket",
    "boxplot",
    "bucket_correlation",
    "bucket_count_ks_test",
    "bucket_script",
    "bucket_selector",
    "bucket_sort",
    "categorize_text",
    "change_point",
    "children",
    "cumulative_cardinality",
    "cumulative_sum",
    "derivative",
    "diversified_sampler",
    "extended_stats_bucket",
    "frequent_item_sets",
    "geo_bounds",
    "geo_centroid",
    "geo_distance",
    "geo_line",
    "geohash_grid",
    "geohex_grid",
    "geotile_grid",
    "inference",
    "ip_prefix",
    "ip_range",
    "matrix_stats",
    "max_bucket",
    "median_absolute_deviation",
    "min_bucket",
    "moving_fn",
    "moving_percentiles",
    "multi_terms",
    "nested",
    "normalize",
    "parent",
    "percentiles_bucket",
    "random_sampler",
    "rare_terms",
    "rate",
    "reverse_nested",
    "sampler",
    "scripted_metric",
    "significant_terms",
    "significant_text",
    "string_stats",
];

type Members = Map<String, Value>;

/// Reads the object behind `aggs`.
pub(in super::super) fn parse(
    parser: &mut Parser,
    value: &Value,
    depth: usize,
) -> Result<Vec<Aggregation>, EsError> {
    if depth > DEPTH_MAX {
        return Err(EsError::illegal(format!("aggregations may nest at most {DEPTH_MAX} deep")));
    }
    json::object(value, "aggs")?
        .iter()
        .map(|(name, body)| {
            parser.count(1)?;
            named(parser, name, body, depth)
        })
        .collect()
}

fn named(
    parser: &mut Parser,
    name: &str,
    body: &Value,
    depth: usize,
) -> Result<Aggregation, EsError> {
    if name.is_empty() || name.contains(['[', ']', '>']) {
        return Err(EsError::parsing(format!(
            "Invalid aggregation name [{name}]. Aggregation names can contain any character except \
             '[', ']', and '>'"
        )));
    }
    let Some(members) = body.as_object() else {
        return Err(EsError::parsing(format!(
            "Aggregation definition for [{name} starts with a [{}], expected a [START_OBJECT].",
            json::token(body)
        )));
    };
    let (mut kind, mut below, mut meta) = (None, Vec::new(), None);
    for (key, value) in members {
        match key.as_str() {
            "aggs" | "aggregations" => below = parse(parser, value, depth + 1)?,
            "meta" => meta = Some(value.clone()),
            word => {
                if let Some((before, _)) = kind {
                    return Err(EsError::parsing(format!(
                        "Found two aggregation type definitions in [{name}]: [{before}] and [{word}]"
                    )));
                }
                kind = Some((word, value));
            }
        }
    }
    let Some((word, value)) = kind else {
        return Err(EsError::parsing(format!("Missing definition for aggregation [{name}]")));
    };
    let kind = kind_of(parser, name, word, value, depth)?;
    if !below.is_empty() && matches!(kind, Kind::Metric(_) | Kind::TopHits(_)) {
        return Err(EsError::bad(
            "aggregation_initialization_exception",
            format!("Aggregator [{name}] of type [{word}] cannot accept sub-aggregations"),
        ));
    }
    Ok(Aggregation { name: name.to_owned(), kind, below, meta })
}

fn kind_of(
    parser: &mut Parser,
    name: &str,
    word: &str,
    value: &Value,
    depth: usize,
) -> Result<Kind, EsError> {
    let Some(&known) = KNOWN.iter().find(|known| **known == word) else {
        return Err(unknown(word));
    };
    if known == "filter" {
        return parser.query(value).map(Kind::Filter);
    }
    let Some(body) = value.as_object() else {
        return Err(EsError::parsing(format!(
            "Expected [START_OBJECT] under [{word}], but got a [{}] in [{name}]",
            json::token(value)
        )));
    };
    match known {
        "terms" => terms(name, body).map(|terms| Kind::Terms(Box::new(terms))),
        "date_histogram" | "histogram" => {
            histogram(name, known, body).map(|histogram| Kind::Histogram(Box::new(histogram)))
        }
        "range" | "date_range" => {
            ranges(name, known, body).map(|ranges| Kind::Ranges(Box::new(ranges)))
        }
        "filters" => filters(parser, body).map(|filters| Kind::Filters(Box::new(filters))),
        "missing" => {
            let mut field = None;
            for (key, value) in body {
                match key.as_str() {
                    "field" => field = Some(json::text(value, key)?),
                    other => return Err(unknown_member("missing", other)),
                }
            }
            field.ok_or_else(no_field).map(Kind::Missing)
        }
        "global" if depth > 0 => Err(EsError::bad(
            "aggregation_execution_exception",
            format!(
                "Aggregation [{name}] cannot have a global sub-aggregation. Global aggregations can \
                 only be defined as top level aggregations"
            ),
        )),
        "global" => Ok(Kind::Global),
        "composite" if depth > 0 => Err(EsError::illegal(
            "[composite] aggregation cannot be used below another aggregation",
        )),
        "composite" => composite(body).map(|composite| Kind::Composite(Box::new(composite))),
        "top_hits" => HitsSpec::parse_top_hits(body).map(|spec| Kind::TopHits(Box::new(spec))),
        metric_word => metric(metric_word, body).map(Kind::Metric),
    }
}

fn unknown(word: &str) -> EsError {
    if UNSUPPORTED.contains(&word) {
        return EsError::parsing(format!("aggregation [{word}] is not supported by Clerestory"));
    }
    match json::nearest(word, &KNOWN) {
        Some(near) => {
            EsError::parsing(format!("Unknown aggregation type [{word}] did you mean [{near}]?"))
        }
        None => EsError::parsing(format!("Unknown aggregation type [{word}]")),
    }
}

fn unknown_member(word: &str, key: &str) -> EsError {
    if key == "script" {
        return EsError::parsing(format!(
            "[{word}] with a [script] is not supported by Clerestory"
        ));
    }
    EsError::parsing(format!("[{word}] unknown field [{key}]"))
}

fn no_field() -> EsError {
    EsError::illegal("Required one of fields [field, script], but none were specified. ")
}

fn count(value: &Value, key: &str, name: &str, least: i64) -> Result<usize, EsError> {
    let number = json::integer(value, key)?;
    if number < least {
        return Err(EsError::illegal(if least > 0 {
            format!("[{key}] must be greater than 0. Found [{number}] in [{name}]")
        } else {
            format!("[{key}] must be greater than or equal to 0. Found [{number}] in [{name}]")
        }));
    }
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
}

fn format(value: &Value) -> Result<Option<String>, EsError> {
    if value.is_null() { Ok(None) } else { json::text(value, "format").map(Some) }
}

fn terms(name: &str, body: &Members) -> Result<Terms, EsError> {
    let (mut field, mut order) = (None, Vec::new());
    let (mut size, mut min_doc_count, mut missing) = (10, 1, None);
    let (mut include, mut exclude, mut written, mut show_error) = (None, None, None, false);
    for (key, value) in body {
        match key.as_str() {
            "field" => field = Some(json::text(value, key)?),
            "size" => size = count(value, key, name, 1)?,
            "order" => order = read_order(value)?,
            "min_doc_count" => min_doc_count = count(value, key, name, 0)? as u64,
            "missing" => missing = Some(literal(value, "terms")?),
            "include" => include = Some(choice(value, key)?),
            "exclude" => exclude = Some(choice(value, key)?),
            "format" => written = format(value)?,
            "show_term_doc_count_error" => show_error = json::boolean(value, key)?,
            "shard_size"
            | "shard_min_doc_count"
            | "execution_hint"
            | "collect_mode"
            | "value_type" => {}
            other => return Err(unknown_member("terms", other)),
        }
    }
    let by_count = Order { by: OrderBy::Count, descending: true };
    if order.is_empty() {
        order.push(by_count);
    }
    Ok(Terms {
        field: field.ok_or_else(no_field)?,
        size: size.min(BUCKETS_MAX),
        order,
        min_doc_count,
        missing,
        include,
        exclude,
        format: written,
        show_error,
    })
}

fn choice(value: &Value, key: &str) -> Result<Choice, EsError> {
    match value {
        Value::String(pattern) if pattern.chars().count() > 1_000 => Err(EsError::illegal(
            format!("the pattern of [{key}] may have at most 1000 characters"),
        )),
        Value::String(pattern) => Ok(Choice::Regexp(pattern.clone())),
        Value::Array(list) => list
            .iter()
            .map(|item| literal(item, key))
            .collect::<Result<Vec<Literal>, EsError>>()
            .map(Choice::Values),
        _ => Err(EsError::parsing(format!(
            "[{key}] takes a regular expression or a list of values; partitions are not supported \
             by Clerestory"
        ))),
    }
}

fn read_order(value: &Value) -> Result<Vec<Order>, EsError> {
    match value {
        Value::Array(list) if list.len() <= 32 => {
            let each: Vec<Vec<Order>> = list.iter().map(read_order).collect::<Result<_, _>>()?;
            Ok(each.into_iter().flatten().collect())
        }
        Value::Object(members) => members
            .iter()
            .map(|(path, direction)| {
                let direction = json::text(direction, "order")?;
                let descending = match direction.to_ascii_lowercase().as_str() {
                    "asc" => false,
                    "desc" => true,
                    _ => {
                        return Err(EsError::parsing(format!(
                            "Unknown order direction [{direction}]"
                        )));
                    }
                };
                let by = match path.as_str() {
                    "_count" => OrderBy::Count,
                    "_key" | "_term" | "_time" => OrderBy::Key,
                    _ => OrderBy::Path(path.clone()),
                };
                Ok(Order { by, descending })
            })
            .collect(),
        other => Err(EsError::parsing(format!(
            "Expected [START_OBJECT] for [order] but found [{}]",
            json::token(other)
        ))),
    }
}

fn histogram(name: &str, word: &str, body: &Members) -> Result<Histogram, EsError> {
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

fn ranges(name: &str, word: &str, body: &Members) -> Result<Ranges, EsError> {
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

fn filters(parser: &mut Parser, body: &Members) -> Result<Filters, EsError> {
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

fn composite(body: &Members) -> Result<Composite, EsError> {
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

fn metric(word: &'static str, body: &Members) -> Result<Metric, EsError> {
    let (mut field, mut missing, mut written, mut keyed) = (None, None, None, true);
    let (mut sigma, mut percents, mut values) =
        (2.0, vec![1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0], Vec::new());
    for (key, value) in body {
        match key.as_str() {
            "field" => field = Some(json::text(value, key)?),
            "missing" => missing = Some(json::number(value, key)?),
            "format" => written = format(value)?,
            "sigma" if word == "extended_stats" => sigma = json::number(value, key)?,
            "percents" if word == "percentiles" => percents = numbers(value, key)?,
            "values" if word == "percentile_ranks" => values = numbers(value, key)?,
            "keyed" if word.starts_with("percentile") => keyed = json::boolean(value, key)?,
            "tdigest" | "hdr" if word.starts_with("percentile") => {}
            "precision_threshold" | "execution_hint" if word == "cardinality" => {}
            other => return Err(unknown_member(word, other)),
        }
    }
    let what = match word {
        "min" => MetricKind::Min,
        "max" => MetricKind::Max,
        "avg" => MetricKind::Avg,
        "sum" => MetricKind::Sum,
        "stats" => MetricKind::Stats,
        "extended_stats" => MetricKind::ExtendedStats { sigma },
        "value_count" => MetricKind::ValueCount,
        "cardinality" => MetricKind::Cardinality,
        "percentiles" => {
            if percents.iter().any(|percent| !(0.0..=100.0).contains(percent)) {
                return Err(EsError::illegal("[percents] must be between 0 and 100"));
            }
            MetricKind::Percentiles { percents, keyed }
        }
        _ if values.is_empty() => {
            return Err(EsError::illegal("[values] must not be an empty array"));
        }
        _ => MetricKind::PercentileRanks { values, keyed },
    };
    let derived = matches!(
        what,
        MetricKind::Cardinality
            | MetricKind::Percentiles { .. }
            | MetricKind::PercentileRanks { .. }
    );
    if missing.is_some() && derived {
        return Err(EsError::illegal(format!(
            "[missing] is not supported by Clerestory in [{word}]"
        )));
    }
    Ok(Metric { word, what, field: field.ok_or_else(no_field)?, missing, format: written })
}

fn numbers(value: &Value, key: &str) -> Result<Vec<f64>, EsError> {
    match value {
        Value::Array(list) if !list.is_empty() && list.len() <= 1024 => {
            let mut numbers: Vec<f64> =
                list.iter().map(|item| json::number(item, key)).collect::<Result<_, _>>()?;
            numbers.sort_by(f64::total_cmp);
            numbers.dedup();
            Ok(numbers)
        }
        Value::Number(_) => Ok(vec![json::number(value, key)?]),
        _ => Err(EsError::illegal(format!("[{key}] must be an array of 1 to 1024 numbers"))),
    }
}
