//! The `aggs` of a body as typed values.

mod buckets;
mod metric;

use super::super::hits::HitsSpec;
use super::super::parse::{Literal, Parser, literal};
use super::super::{BUCKETS_MAX, DEPTH_MAX, EsError, json};
use super::pipeline::{Pipeline, WORDS};
use super::{Aggregation, Choice, Kind, Order, OrderBy, Terms};
use buckets::{composite, filters, histogram, ranges};
use metric::metric;
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
const UNSUPPORTED: [&str; 41] = [
    "adjacency_matrix",
    "auto_date_histogram",
    "boxplot",
    "bucket_correlation",
    "bucket_count_ks_test",
    "bucket_script",
    "bucket_selector",
    "categorize_text",
    "change_point",
    "children",
    "cumulative_cardinality",
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
    "median_absolute_deviation",
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
    check_pipelines(&kind, &below, depth)?;
    if !below.is_empty() && matches!(kind, Kind::Metric(_) | Kind::TopHits(_) | Kind::Pipeline(_)) {
        return Err(EsError::bad(
            "aggregation_initialization_exception",
            format!("Aggregator [{name}] of type [{word}] cannot accept sub-aggregations"),
        ));
    }
    Ok(Aggregation { name: name.to_owned(), kind, below, meta })
}

/// Pipelines stand where there are buckets for them.
fn check_pipelines(kind: &Kind, below: &[Aggregation], depth: usize) -> Result<(), EsError> {
    let misplaced = |name: &str, wanted: &str| {
        EsError::bad(
            "action_request_validation_exception",
            format!("Validation Failed: 1: aggregation [{name}] must be declared {wanted};"),
        )
    };
    if let Kind::Pipeline(pipeline) = kind
        && pipeline.stands_below()
        && depth == 0
    {
        return Err(misplaced("of a pipeline", "inside of another aggregation"));
    }
    for one in below {
        if let Kind::Pipeline(pipeline) = &one.kind
            && pipeline.needs_histogram()
            && !matches!(kind, Kind::Histogram(_))
        {
            return Err(misplaced(&one.name, "in a histogram or date_histogram"));
        }
    }
    Ok(())
}

fn kind_of(
    parser: &mut Parser,
    name: &str,
    word: &str,
    value: &Value,
    depth: usize,
) -> Result<Kind, EsError> {
    let mut all = KNOWN.iter().chain(&WORDS);
    let Some(&known) = all.find(|known| **known == word) else {
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
        pipeline if WORDS.contains(&pipeline) => {
            Pipeline::parse(pipeline, body).map(Kind::Pipeline)
        }
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
