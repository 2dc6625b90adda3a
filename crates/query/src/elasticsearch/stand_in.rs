//! A stand-in for the leaf in tests: a few rows in memory, asked in the plainest way.

use super::aggregation::calendar::Calendar;
use super::bind::{Binder, Literals};
use super::fields::Fields;
use super::zone::Zone;
use super::{EsError, SearchRequest};
use crate::{Ask, GroupBy, Measure, MeasureOf, OutColumn, Question, SortBy, SortKey};
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Float64Builder, Int64Array, ListBuilder,
    RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use model::{
    Class, Field, FieldName, FieldType, Intake, Schema, Table, TableId, TableKind, TableName,
    Timestamp, Value as Stored,
};
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use storage::Filter;

/// Noon of 18 March 2026.
pub(super) const NOW: Timestamp = Timestamp(1_773_835_200_000);

/// The keys of a group and its rows.
type Members = (Vec<Option<Stored>>, Vec<usize>);

/// Pseudonyms that can be read.
pub(super) struct Plain;

impl Literals for Plain {
    fn literal(&self, field: &Field, literal: &str) -> String {
        match field.class {
            Some(Class::Personal) if !literal.starts_with("email:") => format!("email:{literal}"),
            _ => literal.to_owned(),
        }
    }

    fn query_text(&self, text: &str) -> String {
        text.to_owned()
    }
}

fn field(name: &str, ty: FieldType, es_type: &str) -> Field {
    let mut field = Field::new(FieldName::parse(name).unwrap(), ty, es_type);
    field.class = Some(Class::Open);
    field
}

/// A table with a field of each kind.
pub(super) fn table(id: u32, name: &str) -> Table {
    let mut message = field("message", FieldType::Text, "text");
    message.keyword_up_to = Some(256);
    let mut email = field("user.email", FieldType::Keyword, "keyword");
    (email.class, email.kind) = (Some(Class::Personal), "email".to_owned());
    let mut pulse = field("user.pulse", FieldType::Long, "long");
    pulse.class = Some(Class::Special);
    let fields = vec![
        field("at", FieldType::Date, "date"),
        message,
        field("level", FieldType::Keyword, "keyword"),
        field("tags", FieldType::Keyword, "keyword"),
        field("code", FieldType::Long, "long"),
        field("load", FieldType::Double, "double"),
        field("ok", FieldType::Boolean, "boolean"),
        field("client", FieldType::Ip, "ip"),
        email,
        pulse,
    ];
    Table {
        id: TableId(id),
        name: TableName::parse(name).unwrap(),
        kind: TableKind::Events,
        intake: Intake::Classified,
        time_field: Some("at".to_owned()),
        sort: None,
        retention_ms: None,
        dynamic: true,
        schema: Schema::from_fields(fields),
    }
}

/// Calls `then` with a binder over `tables`.
pub(super) fn with_binder<T>(tables: Vec<Table>, then: impl FnOnce(Binder<'_>) -> T) -> T {
    let tables: Vec<Arc<Table>> = tables.into_iter().map(Arc::new).collect();
    let may_read = |_: TableId, field: &Field| field.class != Some(Class::Special);
    let fields = Fields { tables: &tables, may_read: &may_read };
    then(Binder { fields, literals: &Plain, now: NOW })
}

/// Rows of the table `logs`, as flat JSON objects.
pub(super) struct Rows(pub(super) Vec<Value>);

impl Rows {
    /// Answers a request.
    pub(super) fn search(&self, body: &Value) -> Result<Value, EsError> {
        self.search_with(body, &[])
    }

    pub(super) fn search_with(
        &self,
        body: &Value,
        params: &[(&str, &str)],
    ) -> Result<Value, EsError> {
        let params: Vec<(String, String)> =
            params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = SearchRequest::parse(body, &params)?;
        let ask = |question: &Question| Ok(self.ask(question));
        with_binder(vec![table(1, "logs")], |binder| request.answer(binder, &ask))
    }

    fn ask(&self, question: &Question) -> RecordBatch {
        let rows: Vec<usize> =
            (0..self.0.len()).filter(|row| self.matches(*row, &question.filter)).collect();
        match &question.ask {
            Ask::Count => batch(vec![(
                "count".to_owned(),
                Arc::new(UInt64Array::from(vec![rows.len() as u64])) as ArrayRef,
            )]),
            Ask::Rows { .. } => panic!("nobody asks for rows without an order"),
            Ask::Top { keys, limit, after, columns } => {
                self.top(rows, keys, *limit, after, columns)
            }
            Ask::Fold { groups, measures } => self.fold(&rows, groups, measures),
            Ask::Funnel(_) | Ask::Retention(_) => panic!("Elasticsearch has no word for these"),
        }
    }

    fn values(&self, row: usize, field: &str) -> Vec<Stored> {
        let stored = |value: &Value| match value {
            Value::String(text) => Stored::Str(text.clone()),
            Value::Bool(flag) => Stored::Bool(*flag),
            Value::Number(number) => match number.as_i64() {
                Some(long) if field != "load" => Stored::Long(long),
                _ => Stored::Double(number.as_f64().unwrap()),
            },
            _ => panic!("a value is a scalar"),
        };
        match self.0[row].get(field) {
            None => Vec::new(),
            Some(Value::Array(list)) => list.iter().map(stored).collect(),
            Some(one) => vec![stored(one)],
        }
    }

    fn matches(&self, row: usize, filter: &Filter) -> bool {
        let any =
            |field: &str, test: &dyn Fn(&Stored) -> bool| self.values(row, field).iter().any(test);
        match filter {
            Filter::All => true,
            Filter::Nothing => false,
            Filter::Exists(field) => any(field, &|_| true),
            Filter::Term(field, value) => any(field, &|found| compare(found, value).is_eq()),
            Filter::Terms(field, values) => {
                any(field, &|found| values.iter().any(|value| compare(found, value).is_eq()))
            }
            Filter::Range { field, from, to } => any(field, &|found| {
                (match from {
                    Bound::Unbounded => true,
                    Bound::Included(end) => compare(found, end).is_ge(),
                    Bound::Excluded(end) => compare(found, end).is_gt(),
                }) && (match to {
                    Bound::Unbounded => true,
                    Bound::Included(end) => compare(found, end).is_le(),
                    Bound::Excluded(end) => compare(found, end).is_lt(),
                })
            }),
            Filter::And(of) => of.iter().all(|part| self.matches(row, part)),
            Filter::Or { of, at_least } => {
                of.iter().filter(|part| self.matches(row, part)).count() >= *at_least
            }
            Filter::Not(inner) => !self.matches(row, inner),
            Filter::Boost(inner, _) | Filter::Score(inner, _) => self.matches(row, inner),
            Filter::Best { of, .. } => of.iter().any(|part| self.matches(row, part)),
            other => panic!("the stand-in does not know {other:?}"),
        }
    }

    fn top(
        &self,
        mut rows: Vec<usize>,
        keys: &[SortKey],
        limit: usize,
        after: &Option<Vec<Option<Stored>>>,
        columns: &[OutColumn],
    ) -> RecordBatch {
        let value = |row: usize, key: &SortKey| match &key.by {
            SortBy::Field(field) => self.values(row, field).into_iter().next(),
            SortBy::Score => Some(Stored::Double(1.0)),
            SortBy::Seq => Some(Stored::Long(row as i64)),
        };
        let order = |key: &SortKey, left: &Option<Stored>, right: &Option<Stored>| {
            let missing = if key.missing_first { Ordering::Less } else { Ordering::Greater };
            match (left, right) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => missing,
                (Some(_), None) => missing.reverse(),
                (Some(left), Some(right)) if key.descending => compare(right, left),
                (Some(left), Some(right)) => compare(left, right),
            }
        };
        if let Some(after) = after {
            rows.retain(|row| {
                let pairs = keys.iter().zip(after);
                let orders = pairs.map(|(key, end)| order(key, &value(*row, key), end));
                orders.into_iter().find(|order| order.is_ne()).is_some_and(Ordering::is_gt)
            });
        }
        rows.sort_by(|left, right| {
            let each = keys.iter().map(|key| order(key, &value(*left, key), &value(*right, key)));
            each.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        rows.truncate(limit);
        let texts = |text: &dyn Fn(usize) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| text(*row))))
        };
        let mut out: Vec<(String, ArrayRef)> = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            let array = match column {
                OutColumn::Table => texts(&|_| "logs".to_owned()),
                OutColumn::Id => texts(&|row| format!("id{row}")),
                OutColumn::Source { .. } => texts(&|row| self.0[row].to_string()),
                OutColumn::Score => Arc::new(Float32Array::from(vec![1.5_f32; rows.len()])),
                OutColumn::Fields(names) => texts(&|row| {
                    let pick = names.iter().filter_map(|name| {
                        self.0[row].get(name).map(|value| (name.clone(), json!([value])))
                    });
                    Value::Object(pick.collect()).to_string()
                }),
                _ => Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64))),
            };
            out.push((format!("c{place}"), array));
        }
        for (place, key) in keys.iter().enumerate() {
            let values: Vec<Option<Stored>> = rows.iter().map(|row| value(*row, key)).collect();
            out.push((format!("_sort{place}"), array(&values)));
        }
        batch(out)
    }

    fn fold(&self, rows: &[usize], groups: &[crate::Group], measures: &[MeasureOf]) -> RecordBatch {
        let mut found: BTreeMap<Vec<String>, Members> = BTreeMap::new();
        for &row in rows {
            let mut paths: Vec<Vec<Option<Stored>>> = vec![Vec::new()];
            for group in groups {
                let mut keys: Vec<Option<Stored>> = Vec::new();
                for key in self.keys(row, &group.by) {
                    if !keys.contains(&Some(key.clone())) {
                        keys.push(Some(key));
                    }
                }
                if keys.is_empty() && group.keep_missing {
                    keys.push(None);
                }
                paths = paths
                    .iter()
                    .flat_map(|path| {
                        keys.iter().map(|key| path.iter().cloned().chain([key.clone()]).collect())
                    })
                    .collect();
            }
            for path in paths {
                let name =
                    path.iter().map(|key| key.as_ref().map_or("-".to_owned(), written)).collect();
                found.entry(name).or_insert_with(|| (path, Vec::new())).1.push(row);
            }
        }
        if groups.is_empty() && found.is_empty() {
            found.insert(Vec::new(), (Vec::new(), Vec::new()));
        }
        let found: Vec<Members> = found.into_values().collect();
        let mut out = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            let keys: Vec<Option<Stored>> =
                found.iter().map(|(path, _)| path[place].clone()).collect();
            let column = match &group.by {
                GroupBy::Ranges { .. } | GroupBy::Filters(_) => {
                    Arc::new(UInt32Array::from_iter(keys.iter().map(|key| match key {
                        Some(Stored::Long(place)) => Some(*place as u32),
                        _ => None,
                    })))
                }
                _ => array(&keys),
            };
            out.push((format!("g{place}"), column));
        }
        for (place, measure) in measures.iter().enumerate() {
            let column =
                self.measure(&found.iter().map(|(_, rows)| &**rows).collect::<Vec<_>>(), measure);
            out.push((format!("m{place}"), column));
        }
        batch(out)
    }

    fn keys(&self, row: usize, by: &GroupBy) -> Vec<Stored> {
        let number = |value: &Stored| match value {
            Stored::Long(number) => *number as f64,
            Stored::Double(number) => *number,
            _ => panic!("not a number"),
        };
        match by {
            GroupBy::Terms(field) => self.values(row, field),
            GroupBy::Date { field, interval, time_zone, offset_ms } => {
                let calendar = Calendar {
                    interval: *interval,
                    zone: Zone::Named(*time_zone),
                    offset_ms: *offset_ms,
                };
                let floor =
                    |value: &Stored| Stored::Long(calendar.floor(number(value) as i64).unwrap());
                self.values(row, field).iter().map(floor).collect()
            }
            GroupBy::Number { field, interval, offset } => {
                let floor = |value: &Stored| {
                    Stored::Double(
                        ((number(value) - offset) / interval).floor() * interval + offset,
                    )
                };
                self.values(row, field).iter().map(floor).collect()
            }
            GroupBy::Ranges { field, ranges } => {
                let values = self.values(row, field);
                let inside = |(from, to): &(Option<f64>, Option<f64>)| {
                    values.iter().map(number).any(|value| {
                        from.is_none_or(|from| value >= from) && to.is_none_or(|to| value < to)
                    })
                };
                places(ranges.iter().map(inside))
            }
            GroupBy::Filters(filters) => {
                places(filters.iter().map(|filter| self.matches(row, filter)))
            }
            GroupBy::Mapped { .. } => panic!("Elasticsearch joins nothing"),
        }
    }

    fn measure(&self, groups: &[&[usize]], measure: &MeasureOf) -> ArrayRef {
        let rows = |group: &[usize]| -> Vec<usize> {
            let inside = |row: &usize| {
                measure.filter.as_ref().is_none_or(|filter| self.matches(*row, filter))
            };
            group.iter().copied().filter(inside).collect()
        };
        let numbers = |group: &[usize], field: &str| -> Vec<f64> {
            let all = rows(group).into_iter().flat_map(|row| self.values(row, field));
            all.filter_map(|value| match value {
                Stored::Long(number) => Some(number as f64),
                Stored::Double(number) => Some(number),
                Stored::Bool(flag) => Some(f64::from(u8::from(flag))),
                Stored::Str(_) => None,
            })
            .collect()
        };
        let floats = |compute: &dyn Fn(&[usize]) -> Option<f64>| -> ArrayRef {
            Arc::new(Float64Array::from_iter(groups.iter().map(|group| compute(group))))
        };
        let counts = |compute: &dyn Fn(&[usize]) -> usize| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(
                groups.iter().map(|group| compute(group) as u64),
            ))
        };
        let values = |group: &[usize], field: &str| -> Vec<String> {
            rows(group)
                .into_iter()
                .flat_map(|row| self.values(row, field))
                .map(|v| written(&v))
                .collect()
        };
        match &measure.measure {
            Measure::Rows => counts(&|group| rows(group).len()),
            Measure::Values(field) => counts(&|group| values(group, field).len()),
            Measure::Sum(field) => floats(&|group| {
                let numbers = numbers(group, field);
                (!numbers.is_empty()).then(|| numbers.iter().sum())
            }),
            Measure::Min(field) => {
                floats(&|group| numbers(group, field).into_iter().reduce(f64::min))
            }
            Measure::Max(field) => {
                floats(&|group| numbers(group, field).into_iter().reduce(f64::max))
            }
            Measure::SumOfSquares(field) => floats(&|group| {
                Some(numbers(group, field).iter().map(|number| number * number).sum())
            }),
            Measure::Distinct(field) => counts(&|group| {
                let mut all = values(group, field);
                all.sort();
                all.dedup();
                all.len()
            }),
            Measure::Quantiles(field, ranks) => {
                let mut list = ListBuilder::new(Float64Builder::new());
                for group in groups {
                    let mut all = numbers(group, field);
                    all.sort_by(f64::total_cmp);
                    for rank in ranks {
                        let place = rank * (all.len().max(1) - 1) as f64;
                        list.values().append_option(all.get(place.round() as usize).copied());
                    }
                    list.append(true);
                }
                Arc::new(list.finish())
            }
            other => panic!("the stand-in does not know {other:?}"),
        }
    }
}

fn places(inside: impl Iterator<Item = bool>) -> Vec<Stored> {
    let inside = inside.enumerate().filter(|(_, inside)| *inside);
    inside.map(|(place, _)| Stored::Long(place as i64)).collect()
}

fn written(value: &Stored) -> String {
    match value {
        Stored::Str(text) => text.clone(),
        Stored::Long(number) => format!("{number:020}"),
        Stored::Double(number) => format!("{number:020.3}"),
        Stored::Bool(flag) => flag.to_string(),
    }
}

fn compare(left: &Stored, right: &Stored) -> Ordering {
    match (left, right) {
        (Stored::Str(left), Stored::Str(right)) => left.cmp(right),
        (Stored::Bool(left), Stored::Bool(right)) => left.cmp(right),
        (Stored::Long(left), Stored::Long(right)) => left.cmp(right),
        (Stored::Double(left), Stored::Double(right)) => left.total_cmp(right),
        (Stored::Long(left), Stored::Double(right)) => (*left as f64).total_cmp(right),
        (Stored::Double(left), Stored::Long(right)) => left.total_cmp(&(*right as f64)),
        _ => Ordering::Less,
    }
}

fn array(values: &[Option<Stored>]) -> ArrayRef {
    match values.iter().flatten().next() {
        Some(Stored::Long(_)) => {
            Arc::new(Int64Array::from_iter(values.iter().map(|value| match value {
                Some(Stored::Long(number)) => Some(*number),
                _ => None,
            })))
        }
        Some(Stored::Double(_)) => {
            Arc::new(Float64Array::from_iter(values.iter().map(|value| match value {
                Some(Stored::Double(number)) => Some(*number),
                _ => None,
            })))
        }
        Some(Stored::Bool(_)) => {
            Arc::new(BooleanArray::from_iter(values.iter().map(|value| match value {
                Some(Stored::Bool(flag)) => Some(*flag),
                _ => None,
            })))
        }
        _ => Arc::new(StringArray::from_iter(values.iter().map(|value| match value {
            Some(Stored::Str(text)) => Some(text.clone()),
            _ => None,
        }))),
    }
}

fn batch(columns: Vec<(String, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}
