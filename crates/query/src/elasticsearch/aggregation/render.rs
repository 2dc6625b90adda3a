//! Buckets as Elasticsearch shows them.

use super::super::fields::Kind as FieldKind;
use super::choose::{Bucket, Chosen};
use super::key::Key;
use super::plan::{Plan, Shape, Shown};
use super::{Aggregation, Kind, Step};
use serde_json::{Map, Value, json};

type Members = Map<String, Value>;

/// The members of an aggregation into buckets; `below` has those of each bucket.
pub(super) fn buckets(plan: &Plan<'_>, chosen: &Chosen, below: Vec<Members>) -> Members {
    let mut out = Members::new();
    let pairs = chosen.buckets.iter().zip(below);
    match &plan.shape {
        Shape::Terms { spec, shown, missing, .. } => {
            out.insert("doc_count_error_upper_bound".to_owned(), json!(0));
            out.insert("sum_other_doc_count".to_owned(), json!(chosen.other));
            let list = pairs.map(|(bucket, below)| {
                let mut members = Members::new();
                let stands_for_missing =
                    bucket.keys.first() == Some(&Key::Null) || shown.kind.is_none();
                let key = match missing {
                    Some(missing) if stands_for_missing => missing,
                    _ => &bucket.keys[0],
                };
                put_key(&mut members, shown, key);
                members.insert("doc_count".to_owned(), json!(bucket.count));
                if spec.show_error {
                    members.insert("doc_count_error_upper_bound".to_owned(), json!(0));
                }
                members.extend(below);
                Value::Object(members)
            });
            out.insert("buckets".to_owned(), Value::Array(list.collect()));
        }
        Shape::Histogram { spec, shown, .. } => {
            let dates = matches!(spec.step, Step::Date(_));
            let each = pairs.map(|(bucket, below)| {
                let name = histogram_name(shown, dates, &bucket.keys[0]);
                let mut members = Members::new();
                if dates {
                    members.insert("key_as_string".to_owned(), json!(name));
                }
                members.insert("key".to_owned(), plain(&bucket.keys[0]));
                (name, finish(members, bucket, below))
            });
            out.insert("buckets".to_owned(), gather(each, spec.keyed));
        }
        Shape::Ranges { spec, shown, ranges } => {
            let dates = spec.dates || shown.kind == Some(FieldKind::Date);
            let each = pairs.zip(ranges).map(|((bucket, below), (key, from, to))| {
                let text = |end: &Option<f64>| match end {
                    None => "*".to_owned(),
                    Some(end) if dates => shown.format.write(*end as i64, shown.zone),
                    Some(end) => json!(end).to_string(),
                };
                let name = key.clone().unwrap_or_else(|| format!("{}-{}", text(from), text(to)));
                let mut members = Members::new();
                if !spec.keyed {
                    members.insert("key".to_owned(), json!(name));
                }
                for (word, end) in [("from", from), ("to", to)] {
                    let Some(number) = end else { continue };
                    members.insert(word.to_owned(), json!(number));
                    if dates {
                        members.insert(format!("{word}_as_string"), json!(text(end)));
                    }
                }
                (name, finish(members, bucket, below))
            });
            out.insert("buckets".to_owned(), gather(each, spec.keyed));
        }
        Shape::Filters(spec) => {
            let names = spec.names.iter().flatten().chain(&spec.other).cloned();
            let mut names = names.map(Some).chain(std::iter::repeat(None));
            let keyed = spec.keyed && spec.names.is_some();
            let each = pairs.map(|(bucket, below)| {
                let name = if spec.names.is_some() { names.next().flatten() } else { None };
                let mut members = Members::new();
                if let (Some(name), false) = (&name, keyed) {
                    members.insert("key".to_owned(), json!(name));
                }
                (name.unwrap_or_default(), finish(members, bucket, below))
            });
            out.insert("buckets".to_owned(), gather(each, keyed));
        }
        Shape::Composite { spec, shown, .. } => {
            let key = |bucket: &Bucket| -> Value {
                let each = spec.sources.iter().zip(shown).zip(&bucket.keys);
                let members = each.map(|((source, shown), key)| {
                    let dated = source.format.is_some() && shown.kind == Some(FieldKind::Date);
                    let value = match key {
                        Key::Long(millis) if dated => {
                            json!(shown.format.write(*millis, shown.zone))
                        }
                        key => plain(key),
                    };
                    (source.name.clone(), value)
                });
                Value::Object(members.collect())
            };
            if let Some(last) = chosen.buckets.last() {
                out.insert("after_key".to_owned(), key(last));
            }
            let list = pairs.map(|(bucket, below)| {
                let mut members = Members::new();
                members.insert("key".to_owned(), key(bucket));
                Value::Object(finish(members, bucket, below))
            });
            out.insert("buckets".to_owned(), Value::Array(list.collect()));
        }
    }
    out
}

fn finish(mut members: Members, bucket: &Bucket, below: Members) -> Members {
    members.insert("doc_count".to_owned(), json!(bucket.count));
    members.extend(below);
    members
}

/// An object by name, or a list.
fn gather(each: impl Iterator<Item = (String, Members)>, keyed: bool) -> Value {
    if keyed {
        Value::Object(each.map(|(name, members)| (name, Value::Object(members))).collect())
    } else {
        Value::Array(each.map(|(_, members)| Value::Object(members)).collect())
    }
}

fn histogram_name(shown: &Shown, dates: bool, key: &Key) -> String {
    match key {
        Key::Long(millis) if dates => shown.format.write(*millis, shown.zone),
        key => plain(key).to_string(),
    }
}

/// A key as a JSON value.
fn plain(key: &Key) -> Value {
    match key {
        Key::Null => Value::Null,
        Key::Bool(flag) => json!(flag),
        Key::Long(number) => json!(number),
        Key::Double(number) => json!(number),
        Key::Text(text) => json!(text),
    }
}

/// `key` and, for dates and booleans, `key_as_string`.
fn put_key(members: &mut Members, shown: &Shown, key: &Key) {
    let text = match (key, shown.kind) {
        (Key::Bool(flag), _) => {
            members.insert("key".to_owned(), json!(u8::from(*flag)));
            flag.to_string()
        }
        (Key::Long(millis), Some(FieldKind::Date)) => {
            members.insert("key".to_owned(), json!(millis));
            shown.format.write(*millis, shown.zone)
        }
        _ => {
            members.insert("key".to_owned(), plain(key));
            return;
        }
    };
    members.insert("key_as_string".to_owned(), json!(text));
}

/// What `typed_keys` puts before the name of an aggregation that is no metric.
pub(super) fn type_word(aggregation: &Aggregation, plan: Option<&Plan<'_>>) -> &'static str {
    match (&aggregation.kind, plan.map(|plan| &plan.shape)) {
        (Kind::Terms(_), Some(Shape::Terms { shown, .. })) => match shown.kind {
            Some(FieldKind::Long | FieldKind::Date | FieldKind::Bool) => "lterms",
            Some(FieldKind::Double) => "dterms",
            Some(_) => "sterms",
            None => "umterms",
        },
        (Kind::Histogram(spec), _) if matches!(spec.step, Step::Date(_)) => "date_histogram",
        (Kind::Histogram(_), _) => "histogram",
        (Kind::Ranges(spec), _) if spec.dates => "date_range",
        (Kind::Ranges(_), _) => "range",
        (Kind::Filter(_), _) => "filter",
        (Kind::Filters(_), _) => "filters",
        (Kind::Missing(_), _) => "missing",
        (Kind::Global, _) => "global",
        (Kind::Composite(_), _) => "composite",
        (Kind::TopHits(_), _) => "top_hits",
        _ => "sterms",
    }
}
