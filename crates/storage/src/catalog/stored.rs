//! How tables, segments and records lie in the values of the catalog.

use super::{FIRST_EPOCH, SegmentRecord};
use model::{
    Class, Field, FieldId, FieldName, FieldType, Intake, Ruling, Schema, SegmentId, Seq, SortOrder,
    Table, TableId, TableKind, TableName, Timestamp,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct StoredTable {
    id: u32,
    name: String,
    kind: String,
    intake: String,
    time_field: Option<String>,
    sort: Option<StoredSort>,
    retention_ms: Option<i64>,
    dynamic: bool,
    dropped_at: Option<i64>,
    #[serde(default)]
    rules: u32,
    fields: Vec<StoredField>,
}

#[derive(Serialize, Deserialize)]
struct StoredSort {
    field: String,
    descending: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredField {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    es_type: String,
    keyword_up_to: Option<u32>,
    #[serde(default)]
    companion_of: Option<u32>,
    class: Option<String>,
    kind: String,
    withheld: bool,
    #[serde(default)]
    rulings: Vec<StoredRuling>,
}

#[derive(Serialize, Deserialize)]
struct StoredRuling {
    by: String,
    at: i64,
    reason: String,
    class: Option<String>,
    kind: String,
    rules: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredSegment {
    id: u64,
    table: u32,
    rows: u32,
    bytes: u64,
    min_seq: u64,
    max_seq: u64,
    time_min: Option<i64>,
    time_max: Option<i64>,
    level: u8,
    has_given_ids: bool,
    fields: u32,
    #[serde(default)]
    rules: u32,
    /// Absent: the first, before there were others.
    #[serde(default = "first_epoch")]
    epoch: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shadow_of: Option<u64>,
}

fn first_epoch() -> u32 {
    FIRST_EPOCH
}

const FIELD_TYPES: [(FieldType, &str); 8] = [
    (FieldType::Keyword, "keyword"),
    (FieldType::Text, "text"),
    (FieldType::Long, "long"),
    (FieldType::Double, "double"),
    (FieldType::Boolean, "boolean"),
    (FieldType::Date, "date"),
    (FieldType::Ip, "ip"),
    (FieldType::GeoPoint, "geo_point"),
];
const KINDS: [(TableKind, &str); 2] =
    [(TableKind::Events, "events"), (TableKind::Entities, "entities")];
const INTAKES: [(Intake, &str); 2] =
    [(Intake::Closed, "closed"), (Intake::Classified, "classified")];

fn word_of<T: PartialEq>(words: &[(T, &'static str)], value: &T) -> String {
    let (_, word) =
        words.iter().find(|(candidate, _)| candidate == value).expect("every variant is listed");
    (*word).to_owned()
}

fn meaning_of<T: Copy>(words: &[(T, &'static str)], word: &str) -> Option<T> {
    words.iter().find(|(_, candidate)| *candidate == word).map(|(value, _)| *value)
}

/// The value of a table's row.
pub(super) fn write_table(table: &Table, dropped_at: Option<Timestamp>) -> Vec<u8> {
    let stored = StoredTable {
        id: table.id.0,
        name: table.name.as_str().to_owned(),
        kind: word_of(&KINDS, &table.kind),
        intake: word_of(&INTAKES, &table.intake),
        time_field: table.time_field.clone(),
        sort: table
            .sort
            .as_ref()
            .map(|sort| StoredSort { field: sort.field.clone(), descending: sort.descending }),
        retention_ms: table.retention_ms,
        dynamic: table.dynamic,
        dropped_at: dropped_at.map(|at| at.0),
        rules: table.schema.rules(),
        fields: table.schema.fields().iter().map(write_field).collect(),
    };
    serde_json::to_vec(&stored).expect("text and numbers are always JSON")
}

fn write_field(field: &Field) -> StoredField {
    StoredField {
        name: field.name.as_str().to_owned(),
        ty: word_of(&FIELD_TYPES, &field.ty),
        es_type: field.es_type.clone(),
        keyword_up_to: field.keyword_up_to,
        companion_of: field.companion_of.map(|field| field.0),
        class: field.class.map(|class| class.as_str().to_owned()),
        kind: field.kind.clone(),
        withheld: field.withheld,
        rulings: field
            .rulings
            .iter()
            .map(|ruling| StoredRuling {
                by: ruling.by.clone(),
                at: ruling.at.0,
                reason: ruling.reason.clone(),
                class: ruling.class.map(|class| class.as_str().to_owned()),
                kind: ruling.kind.clone(),
                rules: ruling.rules,
            })
            .collect(),
    }
}

/// Reads what [`write_table`] wrote; `None` if it is something else.
pub(super) fn read_table(value: &[u8]) -> Option<(Table, Option<Timestamp>)> {
    let stored: StoredTable = serde_json::from_slice(value).ok()?;
    let dropped_at = stored.dropped_at.map(Timestamp);
    let fields = stored.fields.into_iter().map(read_field).collect::<Option<Vec<_>>>()?;
    let count = fields.len();
    let schema = Schema::from_fields(fields).with_rules(stored.rules);
    let sort = stored.sort.map(|sort| SortOrder { field: sort.field, descending: sort.descending });
    let table = Table {
        id: TableId(stored.id),
        name: TableName::parse(&stored.name).ok()?,
        kind: meaning_of(&KINDS, &stored.kind)?,
        intake: meaning_of(&INTAKES, &stored.intake)?,
        time_field: stored.time_field,
        sort,
        retention_ms: stored.retention_ms,
        dynamic: stored.dynamic,
        schema,
    };
    // A name that came twice would shift the ids of all fields behind it.
    (table.schema.fields().len() == count).then_some((table, dropped_at))
}

fn read_field(stored: StoredField) -> Option<Field> {
    let rulings = stored.rulings.into_iter().map(read_ruling).collect::<Option<Vec<_>>>()?;
    Some(Field {
        name: FieldName::parse(&stored.name).ok()?,
        ty: meaning_of(&FIELD_TYPES, &stored.ty)?,
        es_type: stored.es_type,
        keyword_up_to: stored.keyword_up_to,
        companion_of: stored.companion_of.map(FieldId),
        class: read_class(stored.class)?,
        kind: stored.kind,
        withheld: stored.withheld,
        rulings,
    })
}

fn read_ruling(stored: StoredRuling) -> Option<Ruling> {
    Some(Ruling {
        by: stored.by,
        at: Timestamp(stored.at),
        reason: stored.reason,
        class: read_class(stored.class)?,
        kind: stored.kind,
        rules: stored.rules,
    })
}

/// The outer `None`: no class has this name.
fn read_class(word: Option<String>) -> Option<Option<Class>> {
    match word {
        Some(word) => word.parse::<Class>().ok().map(Some),
        None => Some(None),
    }
}

/// The value of a segment's row; its deletes have a row of their own.
pub(super) fn write_segment(segment: &SegmentRecord) -> Vec<u8> {
    let stored = StoredSegment {
        id: segment.id.0,
        table: segment.table.0,
        rows: segment.rows,
        bytes: segment.bytes,
        min_seq: segment.min_seq.0,
        max_seq: segment.max_seq.0,
        time_min: segment.time_min,
        time_max: segment.time_max,
        level: segment.level,
        has_given_ids: segment.has_given_ids,
        fields: segment.fields,
        rules: segment.rules,
        epoch: segment.epoch,
        shadow_of: segment.shadow_of.map(|id| id.0),
    };
    serde_json::to_vec(&stored).expect("numbers are always JSON")
}

/// Reads what [`write_segment`] wrote, without deletes; `None` if it is something else.
pub(super) fn read_segment(value: &[u8]) -> Option<SegmentRecord> {
    let stored: StoredSegment = serde_json::from_slice(value).ok()?;
    Some(SegmentRecord {
        id: SegmentId(stored.id),
        table: TableId(stored.table),
        rows: stored.rows,
        bytes: stored.bytes,
        min_seq: Seq(stored.min_seq),
        max_seq: Seq(stored.max_seq),
        time_min: stored.time_min,
        time_max: stored.time_max,
        level: stored.level,
        has_given_ids: stored.has_given_ids,
        fields: stored.fields,
        rules: stored.rules,
        epoch: stored.epoch,
        shadow_of: stored.shadow_of.map(SegmentId),
        deletes: None,
    })
}

/// The value of a record's row; `None` if the id is too long.
pub(super) fn write_record(id: &str, value: &[u8]) -> Option<Vec<u8>> {
    let id_bytes = u16::try_from(id.len()).ok()?;
    let mut stored = Vec::with_capacity(2 + id.len() + value.len());
    stored.extend_from_slice(&id_bytes.to_le_bytes());
    stored.extend_from_slice(id.as_bytes());
    stored.extend_from_slice(value);
    Some(stored)
}

/// Reads what [`write_record`] wrote; `None` if it is something else.
pub(super) fn read_record(mut stored: Vec<u8>) -> Option<(String, Vec<u8>)> {
    let id_bytes = usize::from(u16::from_le_bytes(*stored.first_chunk()?));
    if stored.len() < 2 + id_bytes {
        return None;
    }
    let value = stored.split_off(2 + id_bytes);
    stored.drain(..2);
    Some((String::from_utf8(stored).ok()?, value))
}
