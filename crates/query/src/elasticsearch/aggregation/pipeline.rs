//! Pipeline aggregations: computed from the buckets of others, as they are about to be shown. So
//! they tell nothing that these buckets do not tell, and see only those that are not held back.

use super::super::{EsError, json};
use super::{Aggregation, Kind};
use serde_json::{Map, Value, json};

/// One pipeline aggregation.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Pipeline {
    /// A number for each bucket of the histogram that it stands in.
    EachBucket { what: Each, path: Vec<String> },
    /// The buckets that it stands in, in another order and fewer.
    BucketSort { keys: Vec<(Vec<String>, bool)>, from: usize, size: Option<usize> },
    /// One result beside the buckets that it is about.
    AllBuckets { what: All, path: Vec<String> },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Each {
    CumulativeSum,
    Derivative,
    /// The numbers of so many buckets before, moved by so many.
    Moving {
        of: Moved,
        window: usize,
        shift: i64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Moved {
    Min,
    Max,
    Sum,
    Mean,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum All {
    Min,
    Max,
    Sum,
    Avg,
    Stats,
}

/// The words that are pipelines.
pub(super) const WORDS: [&str; 9] = [
    "cumulative_sum",
    "derivative",
    "moving_fn",
    "bucket_sort",
    "avg_bucket",
    "sum_bucket",
    "min_bucket",
    "max_bucket",
    "stats_bucket",
];

impl Pipeline {
    pub(super) fn parse(word: &str, body: &Map<String, Value>) -> Result<Pipeline, EsError> {
        if word == "bucket_sort" {
            return bucket_sort(body);
        }
        let (mut path, mut window, mut shift, mut script) = (None, None, 0, None);
        for (key, value) in body {
            match key.as_str() {
                "buckets_path" => path = Some(read_path(&json::text(value, key)?)),
                "window" if word == "moving_fn" => window = Some(json::integer(value, key)?),
                "shift" if word == "moving_fn" => shift = json::integer(value, key)?,
                "script" if word == "moving_fn" => script = Some(moved(value)?),
                // Buckets without a value are skipped.
                "gap_policy" if value == "skip" => {}
                "format" if value.is_null() => {}
                other => {
                    return Err(EsError::parsing(format!(
                        "[{word}] with [{other}] is not supported by Clerestory"
                    )));
                }
            }
        }
        let path = path.ok_or_else(|| {
            EsError::parsing(format!("Missing required field [buckets_path] for [{word}]"))
        })?;
        let each = |what| Ok(Pipeline::EachBucket { what, path: path.clone() });
        let all = |what| Ok(Pipeline::AllBuckets { what, path: path.clone() });
        match word {
            "cumulative_sum" => each(Each::CumulativeSum),
            "derivative" => each(Each::Derivative),
            "moving_fn" => {
                let window = window.and_then(|window| usize::try_from(window).ok());
                let window = window.filter(|window| *window > 0).ok_or_else(|| {
                    EsError::illegal(
                        "[window] of [moving_fn] must be a positive, non-zero integer.",
                    )
                })?;
                let of = script.ok_or_else(|| {
                    EsError::parsing("Missing required field [script] for [moving_fn]")
                })?;
                each(Each::Moving { of, window, shift })
            }
            "avg_bucket" => all(All::Avg),
            "sum_bucket" => all(All::Sum),
            "min_bucket" => all(All::Min),
            "max_bucket" => all(All::Max),
            _ => all(All::Stats),
        }
    }

    /// Whether it stands among buckets of a histogram and nowhere else.
    pub(super) fn needs_histogram(&self) -> bool {
        matches!(self, Pipeline::EachBucket { .. })
    }

    /// Whether it stands below buckets, not beside them.
    pub(super) fn stands_below(&self) -> bool {
        !matches!(self, Pipeline::AllBuckets { .. })
    }

    fn type_word(&self) -> &'static str {
        match self {
            Pipeline::EachBucket { what: Each::Derivative, .. } => "derivative",
            Pipeline::AllBuckets { what: All::Min | All::Max, .. } => "bucket_metric_value",
            Pipeline::AllBuckets { what: All::Stats, .. } => "stats_bucket",
            _ => "simple_value",
        }
    }
}

fn bucket_sort(body: &Map<String, Value>) -> Result<Pipeline, EsError> {
    let (mut keys, mut from, mut size) = (Vec::new(), 0, None);
    let whole = |value: &Value, key: &str| {
        usize::try_from(json::integer(value, key)?)
            .map_err(|_| EsError::illegal(format!("[{key}] of [bucket_sort] cannot be negative")))
    };
    for (key, value) in body {
        match key.as_str() {
            "from" => from = whole(value, key)?,
            "size" => size = Some(whole(value, key)?),
            "gap_policy" if value == "skip" => {}
            "sort" => {
                let list = match value {
                    Value::Array(list) => list.as_slice(),
                    one => std::slice::from_ref(one),
                };
                for item in list {
                    keys.extend(sort_key(item)?);
                }
            }
            other => {
                return Err(EsError::parsing(format!(
                    "[bucket_sort] with [{other}] is not supported by Clerestory"
                )));
            }
        }
    }
    Ok(Pipeline::BucketSort { keys, from, size })
}

fn sort_key(item: &Value) -> Result<Vec<(Vec<String>, bool)>, EsError> {
    if let Value::String(path) = item {
        return Ok(vec![(read_path(path), false)]);
    }
    let each = json::object(item, "sort")?.iter().map(|(path, options)| {
        let order = options.get("order").unwrap_or(options);
        match order.as_str() {
            Some("desc") => Ok((read_path(path), true)),
            Some("asc") => Ok((read_path(path), false)),
            _ => Err(EsError::parsing("[order] of [bucket_sort] is [asc] or [desc]")),
        }
    });
    each.collect()
}

/// Of scripts those that everybody writes.
fn moved(script: &Value) -> Result<Moved, EsError> {
    let text = script.as_str().or_else(|| script["source"].as_str()).unwrap_or("");
    match text.trim().trim_end_matches(';').trim() {
        "MovingFunctions.unweightedAvg(values)" => Ok(Moved::Mean),
        "MovingFunctions.min(values)" => Ok(Moved::Min),
        "MovingFunctions.max(values)" => Ok(Moved::Max),
        "MovingFunctions.sum(values)" => Ok(Moved::Sum),
        _ => Err(EsError::illegal(
            "the [script] of [moving_fn] is one of MovingFunctions.unweightedAvg(values), min, max \
             and sum; others are not supported by Clerestory",
        )),
    }
}

/// `a>b.c`, `_count`
fn read_path(text: &str) -> Vec<String> {
    text.split('>').map(|part| part.trim().to_owned()).collect()
}

/// Adds to an answer what the pipelines among `aggregations`, and below them, say.
pub(super) fn apply(
    aggregations: &[Aggregation],
    answer: &mut Map<String, Value>,
    typed_keys: bool,
) -> Result<(), EsError> {
    for aggregation in aggregations.iter().filter(|one| !matches!(one.kind, Kind::Pipeline(_))) {
        if let Some(found) = member_mut(answer, &aggregation.name) {
            apply_below(aggregation, found, typed_keys)?;
        }
    }
    for aggregation in aggregations {
        if let Kind::Pipeline(Pipeline::AllBuckets { what, path }) = &aggregation.kind {
            let numbers = numbers_of(answer, path)?;
            put(answer, aggregation, all_of(*what, &numbers), typed_keys);
        }
    }
    Ok(())
}

fn apply_below(
    aggregation: &Aggregation,
    found: &mut Value,
    typed_keys: bool,
) -> Result<(), EsError> {
    let Some(buckets) = found.get_mut("buckets") else {
        return match found.as_object_mut() {
            Some(members) => apply(&aggregation.below, members, typed_keys),
            None => Ok(()),
        };
    };
    for bucket in each_bucket(buckets) {
        apply(&aggregation.below, bucket, typed_keys)?;
    }
    for below in &aggregation.below {
        match &below.kind {
            Kind::Pipeline(Pipeline::EachBucket { what, path }) => {
                let mut buckets = each_bucket(buckets);
                let values: Vec<Option<f64>> = buckets
                    .iter()
                    .map(|bucket| number_at(bucket, path))
                    .collect::<Result<_, _>>()?;
                for (bucket, value) in buckets.iter_mut().zip(each_of(*what, &values)) {
                    if let Some(value) = value {
                        put(bucket, below, value, typed_keys);
                    }
                }
            }
            Kind::Pipeline(Pipeline::BucketSort { keys, from, size }) => {
                let Value::Array(list) = buckets else {
                    return Err(EsError::illegal(
                        "[bucket_sort] over keyed buckets is not supported by Clerestory",
                    ));
                };
                sort(list, keys)?;
                let end = size.map_or(list.len(), |size| from.saturating_add(size).min(list.len()));
                *list = list.drain(..end).skip(*from).collect();
            }
            _ => {}
        }
    }
    Ok(())
}

fn each_bucket(buckets: &mut Value) -> Vec<&mut Map<String, Value>> {
    match buckets {
        Value::Array(list) => list.iter_mut().filter_map(Value::as_object_mut).collect(),
        Value::Object(keyed) => keyed.values_mut().filter_map(Value::as_object_mut).collect(),
        _ => Vec::new(),
    }
}

fn put(answer: &mut Map<String, Value>, aggregation: &Aggregation, value: Value, typed_keys: bool) {
    let Kind::Pipeline(pipeline) = &aggregation.kind else { return };
    let name = match typed_keys {
        true => format!("{}#{}", pipeline.type_word(), aggregation.name),
        false => aggregation.name.clone(),
    };
    let mut value = value;
    if let (Some(meta), Some(members)) = (&aggregation.meta, value.as_object_mut()) {
        members.insert("meta".to_owned(), meta.clone());
    }
    answer.insert(name, value);
}

/// A member by the name of its aggregation, whether or not a type stands before it.
fn member<'a>(answer: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    answer.get(name).or_else(|| {
        let typed = |key: &str| key.split_once('#').is_some_and(|(_, rest)| rest == name);
        answer.iter().find(|(key, _)| typed(key)).map(|(_, value)| value)
    })
}

fn member_mut<'a>(answer: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Value> {
    let typed = |key: &str| key.split_once('#').is_some_and(|(_, rest)| rest == name);
    answer.iter_mut().find(|(key, _)| *key == name || typed(key)).map(|(_, value)| value)
}

fn no_path(path: &[String]) -> EsError {
    EsError::bad(
        "action_request_validation_exception",
        format!("Validation Failed: 1: No aggregation found for path [{}];", path.join(">")),
    )
}

/// The number that a path names in a bucket; `None` if the bucket has none.
fn number_at(bucket: &Map<String, Value>, path: &[String]) -> Result<Option<f64>, EsError> {
    let [first, rest @ ..] = path else { return Err(no_path(path)) };
    if rest.is_empty() && (first == "_count" || first == "_key") {
        return Ok(bucket
            .get(if first == "_count" { "doc_count" } else { "key" })
            .and_then(Value::as_f64));
    }
    if let Some(inner) = member(bucket, first).and_then(Value::as_object) {
        return match rest {
            [] => match inner.get("value") {
                Some(value) => Ok(value.as_f64()),
                None => Err(no_path(path)),
            },
            rest => number_at(inner, rest),
        };
    }
    // `stats.max`, `percentiles.95`
    let split = first.split_once('.').filter(|_| rest.is_empty());
    let inner = split.and_then(|(name, part)| Some((member(bucket, name)?, part)));
    match inner {
        Some((inner, part)) => {
            let values = inner.get("values").unwrap_or(inner);
            let shown = values.get(part).or_else(|| values.get(format!("{part}.0")));
            shown.map(Value::as_f64).ok_or_else(|| no_path(path))
        }
        // A derivative has none in its first bucket.
        None => Ok(None),
    }
}

/// Keys and numbers of the buckets that a path goes through.
fn numbers_of(
    answer: &Map<String, Value>,
    path: &[String],
) -> Result<Vec<(Value, Option<f64>)>, EsError> {
    let [first, rest @ ..] = path else { return Err(no_path(path)) };
    let found = member(answer, first).ok_or_else(|| no_path(path))?;
    if rest.is_empty() {
        return Err(no_path(path));
    }
    let pairs: Vec<(Value, &Map<String, Value>)> = match found.get("buckets") {
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_object)
            .map(|bucket| {
                let key = bucket.get("key_as_string").or_else(|| bucket.get("key"));
                (key.cloned().unwrap_or(Value::Null), bucket)
            })
            .collect(),
        Some(Value::Object(keyed)) => keyed
            .iter()
            .filter_map(|(key, bucket)| Some((json!(key), bucket.as_object()?)))
            .collect(),
        _ => match found.as_object() {
            Some(inner) => return numbers_of(inner, rest),
            None => return Err(no_path(path)),
        },
    };
    pairs.into_iter().map(|(key, bucket)| Ok((key, number_at(bucket, rest)?))).collect()
}

fn each_of(what: Each, values: &[Option<f64>]) -> Vec<Option<Value>> {
    match what {
        Each::CumulativeSum => {
            let mut sum = 0.0;
            let mut add = |value: &Option<f64>| {
                sum += value.unwrap_or(0.0);
                Some(json!({ "value": sum }))
            };
            values.iter().map(&mut add).collect()
        }
        Each::Derivative => {
            let mut before = None;
            let mut step = |value: &Option<f64>| {
                let last: Option<f64> = before;
                before = value.or(before);
                Some(json!({ "value": (*value)? - last? }))
            };
            values.iter().map(&mut step).collect()
        }
        Each::Moving { of, window, shift } => (0..values.len() as i64)
            .map(|at| {
                let end = (at + shift).clamp(0, values.len() as i64) as usize;
                let start = (at + shift - window as i64).clamp(0, end as i64) as usize;
                let seen: Vec<f64> = values[start..end].iter().flatten().copied().collect();
                Some(json!({ "value": moved_over(of, &seen) }))
            })
            .collect(),
    }
}

fn moved_over(of: Moved, seen: &[f64]) -> Option<f64> {
    match of {
        Moved::Sum => Some(seen.iter().sum()),
        _ if seen.is_empty() => None,
        Moved::Min => seen.iter().copied().reduce(f64::min),
        Moved::Max => seen.iter().copied().reduce(f64::max),
        Moved::Mean => Some(seen.iter().sum::<f64>() / seen.len() as f64),
    }
}

fn all_of(what: All, numbers: &[(Value, Option<f64>)]) -> Value {
    let seen: Vec<f64> = numbers.iter().filter_map(|(_, number)| *number).collect();
    let sum: f64 = seen.iter().sum();
    let mean = (!seen.is_empty()).then(|| sum / seen.len() as f64);
    let (least, most) =
        (seen.iter().copied().reduce(f64::min), seen.iter().copied().reduce(f64::max));
    let with_keys = |best: Option<f64>| {
        let keys = numbers.iter().filter(|(_, number)| best.is_some() && *number == best);
        let text = |key: &Value| key.as_str().map_or_else(|| key.to_string(), str::to_owned);
        json!({ "value": best, "keys": keys.map(|(key, _)| text(key)).collect::<Vec<_>>() })
    };
    match what {
        All::Avg => json!({ "value": mean }),
        All::Sum => json!({ "value": sum }),
        All::Min => with_keys(least),
        All::Max => with_keys(most),
        All::Stats => {
            json!({ "count": seen.len(), "min": least, "max": most, "avg": mean, "sum": sum })
        }
    }
}

fn sort(list: &mut Vec<Value>, keys: &[(Vec<String>, bool)]) -> Result<(), EsError> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut ranked = Vec::with_capacity(list.len());
    for bucket in list.drain(..) {
        let members = bucket.as_object();
        let rank = keys.iter().map(|(path, _)| match members {
            Some(members) => number_at(members, path),
            None => Ok(None),
        });
        ranked.push((rank.collect::<Result<Vec<_>, _>>()?, bucket));
    }
    // Buckets without any of the values are left out, as Elasticsearch does.
    ranked.retain(|(rank, _)| rank.iter().any(Option::is_some));
    ranked.sort_by(|(left, _), (right, _)| {
        let mut pairs = left.iter().zip(right).zip(keys);
        let order = pairs.find_map(|((left, right), (_, descending))| {
            let order = match (left, right) {
                (Some(left), Some(right)) if *descending => right.total_cmp(left),
                (Some(left), Some(right)) => left.total_cmp(right),
                // Without a value: last.
                (left, right) => right.is_some().cmp(&left.is_some()),
            };
            order.is_ne().then_some(order)
        });
        order.unwrap_or(std::cmp::Ordering::Equal)
    });
    list.extend(ranked.into_iter().map(|(_, bucket)| bucket));
    Ok(())
}
