//! `sort` and `search_after`.

use super::super::bind::{Binder, literal_number};
use super::super::columns::{Cell, CellColumn};
use super::super::date_format::DateFormat;
use super::super::fields::Kind;
use super::super::parse::{Literal, literal};
use super::super::zone::UTC;
use super::super::{EsError, json};
use crate::{SortBy, SortKey};
use arrow::array::RecordBatch;
use model::Value as Stored;
use serde_json::{Value, json};

/// The most keys of an order.
const KEYS_MAX: usize = 32;

/// One key of `sort`, as it was typed.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct SortField {
    pub(in super::super) field: String,
    descending: bool,
    missing_first: bool,
    /// A field that no table has is no mistake.
    unmapped: bool,
    format: Option<String>,
}

/// An order over fields whose types are known.
pub(super) struct Order {
    /// What the leaf sorts by.
    pub(super) keys: Vec<SortKey>,
    /// For each key as typed: where its value comes from, and how it is shown.
    shown: Vec<Shown>,
}

enum Shown {
    /// No table has the field: null.
    Absent,
    Score,
    Seq {
        place: usize,
    },
    Field {
        place: usize,
        kind: Kind,
        format: Option<DateFormat>,
    },
}

/// Reads every form of `sort`.
pub(in super::super) fn parse_sort(value: &Value) -> Result<Vec<SortField>, EsError> {
    let mut fields = Vec::new();
    let list = match value {
        Value::Array(list) => list.as_slice(),
        Value::Null => &[],
        one => std::slice::from_ref(one),
    };
    for item in list {
        match item {
            Value::String(text) => fields.push(from_text(text)?),
            Value::Object(members) => {
                for (field, options) in members {
                    fields.push(from_options(field, options)?);
                }
            }
            other => {
                return Err(EsError::parsing(format!(
                    "malformed sort format, within the sort array, an object, or an actual string \
                     are allowed, but found [{}]",
                    json::token(other)
                )));
            }
        }
    }
    if fields.len() > KEYS_MAX {
        return Err(EsError::illegal(format!("[sort] may have at most {KEYS_MAX} keys")));
    }
    Ok(fields)
}

fn plain(field: &str) -> SortField {
    SortField {
        field: field.to_owned(),
        descending: field == "_score",
        missing_first: false,
        unmapped: false,
        format: None,
    }
}

/// `field` or `field:desc`
fn from_text(text: &str) -> Result<SortField, EsError> {
    match text.rsplit_once(':') {
        Some((field, order @ ("asc" | "desc"))) => {
            Ok(SortField { descending: order == "desc", ..plain(field) })
        }
        _ => Ok(plain(text)),
    }
}

fn direction(text: &str) -> Result<bool, EsError> {
    match text.to_ascii_lowercase().as_str() {
        "asc" => Ok(false),
        "desc" => Ok(true),
        _ => Err(EsError::illegal(format!("Unknown SortOrder [{text}]"))),
    }
}

fn from_options(field: &str, options: &Value) -> Result<SortField, EsError> {
    let mut sort = plain(field);
    if matches!(field, "_script" | "_geo_distance") {
        return Err(EsError::parsing(format!(
            "sorting by [{field}] is not supported by Clerestory"
        )));
    }
    if let Value::String(order) = options {
        sort.descending = direction(order)?;
        return Ok(sort);
    }
    let mut mode = None;
    for (key, value) in json::object(options, "sort")? {
        match key.as_str() {
            "order" => sort.descending = direction(&json::text(value, key)?)?,
            "missing" => match value.as_str() {
                Some("_last") => sort.missing_first = false,
                Some("_first") => sort.missing_first = true,
                _ => {
                    return Err(EsError::illegal(
                        "[missing] of a sort is [_first] or [_last]; other values are not supported \
                         by Clerestory",
                    ));
                }
            },
            "unmapped_type" => sort.unmapped = !value.is_null(),
            "mode" => mode = Some(json::text(value, key)?),
            "format" => {
                let format = json::text(value, key)?;
                DateFormat::parse(&format)?;
                sort.format = Some(format);
            }
            "numeric_type" => {}
            "nested" => return Err(EsError::parsing("[nested] is not supported by Clerestory")),
            other => return Err(EsError::parsing(format!("[field_sort] unknown field [{other}]"))),
        }
    }
    let usual = if sort.descending { "max" } else { "min" };
    match mode.as_deref() {
        None => Ok(sort),
        Some(mode) if mode == usual => Ok(sort),
        Some(mode) => Err(EsError::illegal(format!(
            "sort mode [{mode}] is not supported by Clerestory in this direction; [{usual}] is"
        ))),
    }
}

/// Adds `_shard_doc`, the order of arrival, to an order that lacks it: pages of a point in time
/// neither skip nor repeat rows that tie.
pub(in super::super) fn with_tiebreak(sort: &mut Vec<SortField>) {
    let breaks =
        |field: &SortField| matches!(field.field.as_str(), "_shard_doc" | "_doc" | "_seq_no");
    if !sort.is_empty() && !sort.iter().any(breaks) {
        sort.push(plain("_shard_doc"));
    }
}

impl Order {
    pub(super) fn plan(binder: &Binder<'_>, sort: &[SortField]) -> Result<Order, EsError> {
        let mut order = Order { keys: Vec::new(), shown: Vec::new() };
        for field in sort {
            let place = order.keys.len();
            let (by, shown) = match field.field.as_str() {
                "_score" => (SortBy::Score, Shown::Score),
                "_doc" | "_shard_doc" | "_seq_no" => (SortBy::Seq, Shown::Seq { place }),
                "_id" => {
                    return Err(EsError::illegal(
                        "Fielddata access on the _id field is disallowed, you can re-enable it by \
                         updating the dynamic cluster setting: indices.id_field_data.enabled",
                    ));
                }
                name => match binder.fields.resolve(name)? {
                    None if field.unmapped => {
                        order.shown.push(Shown::Absent);
                        continue;
                    }
                    None => {
                        return Err(EsError::query(format!(
                            "No mapping found for [{name}] in order to sort on"
                        )));
                    }
                    Some(found) if found.kind == Kind::Text => {
                        return Err(EsError::fielddata(name, found.table()));
                    }
                    Some(found) if found.kind == Kind::Sealed => {
                        return Err(EsError::illegal(format!(
                            "[{name}] is sealed: its values are counted, not sorted by"
                        )));
                    }
                    Some(found) => {
                        let format = field.format.as_deref().map(DateFormat::parse).transpose()?;
                        let shown = Shown::Field { place, kind: found.kind, format };
                        (SortBy::Field(name.to_owned()), shown)
                    }
                },
            };
            let (descending, missing_first) = (field.descending, field.missing_first);
            order.keys.push(SortKey { by, descending, missing_first });
            order.shown.push(shown);
        }
        if order.keys.is_empty() {
            order.keys.push(SortKey { by: SortBy::Seq, descending: false, missing_first: false });
        }
        Ok(order)
    }

    /// Rows with equal sort values follow in the order in which they came; not shown.
    pub(super) fn break_ties(&mut self) {
        if !self.keys.iter().any(|key| key.by == SortBy::Seq) {
            self.keys.push(SortKey { by: SortBy::Seq, descending: false, missing_first: false });
        }
    }

    /// The sort values of a row as they are stored, one for each key of the leaf.
    pub(super) fn place(&self, columns: &[CellColumn], row: usize) -> Vec<Option<Stored>> {
        let value = |column: &CellColumn| match column.cell(row) {
            Cell::Null | Cell::List(_) => None,
            Cell::Bool(flag) => Some(Stored::Bool(flag)),
            Cell::Long(number) => Some(Stored::Long(number)),
            Cell::Double(number) => Some(Stored::Double(number)),
            Cell::Text(text) => Some(Stored::Str(text)),
        };
        columns.iter().map(value).collect()
    }

    pub(super) fn has_score(&self) -> bool {
        self.keys.iter().any(|key| key.by == SortBy::Score)
    }

    /// The place in the order that `search_after` names.
    pub(super) fn after(
        &self,
        binder: &Binder<'_>,
        values: &[Value],
    ) -> Result<Vec<Option<Stored>>, EsError> {
        let mut after = Vec::with_capacity(values.len());
        for (shown, value) in self.shown.iter().zip(values) {
            if matches!(shown, Shown::Absent) {
                continue;
            }
            if value.is_null() {
                after.push(None);
                continue;
            }
            let value = literal(value, "search_after")?;
            after.push(stored(binder, shown, &value)?);
        }
        if after.is_empty() {
            return Err(EsError::illegal(
                "search_after needs at least one sort key that a table has; add [_seq_no]",
            ));
        }
        Ok(after)
    }

    /// The columns of the sort values, one for each key of the leaf.
    pub(super) fn columns(&self, batch: &RecordBatch) -> Result<Vec<CellColumn>, EsError> {
        (0..self.keys.len())
            .map(|place| CellColumn::named(batch, &format!("_sort{place}")))
            .collect()
    }

    /// `sort` of a hit.
    pub(super) fn values(
        &self,
        columns: &[CellColumn],
        row: usize,
        score: Option<f64>,
    ) -> Vec<Value> {
        let cell = |place: usize| columns.get(place).map_or(Cell::Null, |column| column.cell(row));
        let value = |shown: &Shown| match shown {
            Shown::Absent => Value::Null,
            Shown::Score => json!(score),
            Shown::Seq { place } => show(cell(*place)),
            Shown::Field { place, kind: Kind::Date, format: Some(format) } => match cell(*place) {
                Cell::Long(millis) => json!(format.write(millis, UTC)),
                _ => Value::Null,
            },
            Shown::Field { place, .. } => show(cell(*place)),
        };
        self.shown.iter().map(value).collect()
    }
}

fn show(cell: Cell) -> Value {
    match cell {
        Cell::Bool(flag) => json!(u8::from(flag)),
        Cell::Long(number) => json!(number),
        Cell::Double(number) => json!(number),
        Cell::Text(text) => json!(text),
        Cell::Null | Cell::List(_) => Value::Null,
    }
}

/// A value of `search_after` as it is stored. The smallest and largest integer are
/// Elasticsearch's way to say that there was none.
fn stored(binder: &Binder<'_>, shown: &Shown, value: &Literal) -> Result<Option<Stored>, EsError> {
    let failed = |why: &str| {
        EsError::illegal(format!("Failed to parse search_after value for field [{why}]"))
    };
    let long = || match value {
        Literal::Long(number) => Some(*number),
        Literal::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(match shown {
        Shown::Absent => None,
        // What was shown has the digits of a 32-bit float.
        Shown::Score => Some(Stored::Double(f64::from(literal_number(value)? as f32))),
        Shown::Seq { .. } => Some(Stored::Long(long().ok_or_else(|| failed("_doc"))?)),
        Shown::Field { kind, format, .. } => match kind {
            Kind::Long | Kind::Date if matches!(long(), Some(i64::MAX | i64::MIN)) => None,
            Kind::Date => {
                let usual = DateFormat::default();
                let text = value.to_text();
                let format = format.as_ref().unwrap_or(&usual);
                let own = match value {
                    Literal::Long(millis) => Ok(*millis),
                    _ => binder.date(&text, format, UTC, false),
                };
                let millis =
                    own.or_else(|error| binder.date(&text, &usual, UTC, false).map_err(|_| error))?;
                Some(Stored::Long(millis))
            }
            Kind::Long => Some(match long() {
                Some(number) => Stored::Long(number),
                None => Stored::Double(literal_number(value)?),
            }),
            Kind::Double => Some(Stored::Double(literal_number(value)?)),
            Kind::Bool => Some(Stored::Bool(match value {
                Literal::Bool(flag) => *flag,
                other => matches!(other.to_text().as_str(), "1" | "true"),
            })),
            _ => Some(Stored::Str(value.to_text())),
        },
    })
}
