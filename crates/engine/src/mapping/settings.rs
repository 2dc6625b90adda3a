//! The settings of a table.

use super::{illegal, is_true};
use crate::EngineError;
use model::{Intake, SortOrder, TableKind};
use serde_json::Value;
use std::collections::BTreeMap;

/// Our own settings, checked.
#[derive(Debug)]
pub(crate) struct TableSettings {
    pub(crate) kind: TableKind,
    pub(crate) intake: Intake,
    pub(crate) time_field: Option<String>,
    pub(crate) sort: Option<SortOrder>,
    pub(crate) retention_ms: Option<i64>,
}

impl Default for TableSettings {
    fn default() -> TableSettings {
        TableSettings {
            kind: TableKind::Events,
            intake: Intake::Classified,
            time_field: None,
            sort: None,
            retention_ms: None,
        }
    }
}

/// Settings of Elasticsearch that change nothing here; those that end in a dot are families.
const HARMLESS: [&str; 22] = [
    "number_of_shards",
    "number_of_replicas",
    "number_of_routing_shards",
    "auto_expand_replicas",
    "refresh_interval",
    "codec",
    "priority",
    "hidden",
    "max_result_window",
    "max_inner_result_window",
    "max_terms_count",
    "mapping.total_fields.limit",
    "mapping.depth.limit",
    "mapping.nested_fields.limit",
    "query.default_field",
    "lifecycle.",
    "translog.",
    "merge.",
    "routing.allocation.",
    "search.slowlog.",
    "indexing.slowlog.",
    "unassigned.",
];

impl TableSettings {
    /// Reads `settings`, nested or dotted, with or without `index.`.
    pub(super) fn parse(value: &Value) -> Result<TableSettings, EngineError> {
        let mut flat = BTreeMap::new();
        match value {
            Value::Null => {}
            Value::Object(_) => flatten("", value, &mut flat),
            _ => return Err(illegal("settings must be an object")),
        }
        let mut settings = TableSettings::default();
        let mut sort_field = None;
        let mut sort_order = None;
        for (name, value) in &flat {
            let name = name.strip_prefix("index.").unwrap_or(name);
            match name {
                "clerestory.kind" => settings.kind = read_kind(value)?,
                "clerestory.intake" => settings.intake = read_intake(value)?,
                "clerestory.time_field" => settings.time_field = Some(read_text(name, value)?),
                "clerestory.retention" => settings.retention_ms = Some(read_retention(value)?),
                "clerestory.sort" => settings.sort = Some(read_sort(value)?),
                "clerestory.sort.field" | "sort.field" => sort_field = Some(single(name, value)?),
                "clerestory.sort.order" | "sort.order" => sort_order = Some(single(name, value)?),
                "mapping.coerce" if is_true(value) => {}
                "mapping.ignore_malformed" if !is_true(value) => {}
                "mode" if *value == "standard" => {}
                "default_pipeline" | "final_pipeline" if *value == "_none" => {}
                name if HARMLESS.iter().any(|known| is_or_is_within(name, known)) => {}
                name if name.starts_with("clerestory.") => {
                    return Err(illegal(&format!(
                        "unknown setting [index.{name}]; known are kind, intake, time_field, sort \
                         and retention"
                    )));
                }
                name => {
                    let reason = format!("unknown or unsupported setting [index.{name}]");
                    return Err(illegal(&reason));
                }
            }
        }
        if let Some(field) = sort_field {
            let descending = match sort_order.as_deref() {
                None | Some("asc") => false,
                Some("desc") => true,
                Some(_) => return Err(illegal("the order of a sort is [asc] or [desc]")),
            };
            settings.sort = Some(SortOrder { field, descending });
        } else if sort_order.is_some() {
            return Err(illegal("a sort order needs a sort field"));
        }
        Ok(settings)
    }
}

fn is_or_is_within(name: &str, known: &str) -> bool {
    if known.ends_with('.') { name.starts_with(known) } else { name == known }
}

fn flatten<'a>(prefix: &str, value: &'a Value, out: &mut BTreeMap<String, &'a Value>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&name, value, out);
            }
        }
        value => {
            out.insert(prefix.to_owned(), value);
        }
    }
}

fn read_text(name: &str, value: &Value) -> Result<String, EngineError> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| illegal(&format!("setting [index.{name}] must be a text")))
}

/// One text, also as an array of one.
fn single(name: &str, value: &Value) -> Result<String, EngineError> {
    match value {
        Value::Array(values) if values.len() == 1 => read_text(name, &values[0]),
        Value::Array(_) => {
            Err(illegal(&format!("setting [index.{name}]: a table is sorted by one field")))
        }
        value => read_text(name, value),
    }
}

fn read_kind(value: &Value) -> Result<TableKind, EngineError> {
    match value.as_str() {
        Some("events") => Ok(TableKind::Events),
        Some("entities") => Ok(TableKind::Entities),
        _ => Err(illegal("setting [index.clerestory.kind] must be [events] or [entities]")),
    }
}

fn read_intake(value: &Value) -> Result<Intake, EngineError> {
    match value.as_str() {
        Some("closed") => Ok(Intake::Closed),
        Some("classified") => Ok(Intake::Classified),
        _ => Err(illegal("setting [index.clerestory.intake] must be [closed] or [classified]")),
    }
}

/// `field`, `-field`, `field:asc` or `field:desc`.
fn read_sort(value: &Value) -> Result<SortOrder, EngineError> {
    let text = read_text("clerestory.sort", value)?;
    let (field, descending) = match text.rsplit_once(':') {
        Some((field, "asc")) => (field, false),
        Some((field, "desc")) => (field, true),
        _ => match text.strip_prefix('-') {
            Some(field) => (field, true),
            None => (text.as_str(), false),
        },
    };
    Ok(SortOrder { field: field.to_owned(), descending })
}

/// `30d`, `12h`, `90m`, `45s`, `500ms`.
fn read_retention(value: &Value) -> Result<i64, EngineError> {
    let refused = || {
        illegal("setting [index.clerestory.retention] must be a time such as [30d], [12h] or [90m]")
    };
    let text = value.as_str().ok_or_else(refused)?;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit_ms: i64 = match &text[digits..] {
        "d" => 86_400_000,
        "h" => 3_600_000,
        "m" => 60_000,
        "s" => 1000,
        "ms" => 1,
        _ => return Err(refused()),
    };
    let number: i64 = text[..digits].parse().map_err(|_| refused())?;
    number.checked_mul(unit_ms).filter(|&ms| ms > 0).ok_or_else(refused)
}

/// The opposite of [`read_retention`], in the largest unit that fits.
pub(super) fn write_retention(ms: i64) -> String {
    for (unit_ms, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")] {
        if ms % unit_ms == 0 {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}
