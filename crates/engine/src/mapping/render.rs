//! A table as `GET /{index}`, `GET _mapping` and `GET _settings` show it.

use super::settings::write_retention;
use model::{Field, FieldId, FieldType, Intake, Table, TableKind};
use serde_json::{Map, Value, json};

/// `{"properties": …}`, with `"dynamic": "strict"` where that is so.
pub fn render_mapping(table: &Table) -> Value {
    let mut mapping = Map::new();
    if !table.dynamic {
        mapping.insert("dynamic".to_owned(), json!("strict"));
    }
    if !table.schema.fields().is_empty() {
        let mut properties = Map::new();
        for (number, field) in table.schema.fields().iter().enumerate() {
            if field.companion_of.is_some() {
                continue;
            }
            let is_mine = |other: &&Field| other.companion_of == Some(FieldId(number as u32));
            insert(&mut properties, field, table.schema.fields().iter().find(is_mine));
        }
        properties.sort_keys();
        mapping.insert("properties".to_owned(), Value::Object(properties));
    }
    Value::Object(mapping)
}

fn insert(properties: &mut Map<String, Value>, field: &Field, companion: Option<&Field>) {
    let mut properties = properties;
    let path = field.name.as_str();
    let (above, leaf) = path.rsplit_once('.').unwrap_or(("", path));
    for part in above.split('.').filter(|part| !part.is_empty()) {
        let object = properties.entry(part).or_insert_with(|| json!({ "properties": {} }));
        properties = object
            .get_mut("properties")
            .and_then(Value::as_object_mut)
            .expect("no field lies above another");
    }
    let mut definition = json!({ "type": field.es_type });
    if let (FieldType::Text, Some(up_to)) = (field.ty, field.keyword_up_to) {
        let mut keyword = json!({ "type": "keyword" });
        if up_to != i32::MAX as u32 {
            keyword["ignore_above"] = json!(up_to);
        }
        definition["fields"] = json!({ "keyword": keyword });
    }
    if let Some(companion) = companion {
        definition["fields"][companion.name.leaf()] = json!({ "type": companion.es_type });
    }
    properties.insert(leaf.to_owned(), definition);
}

/// `{"index": …}` with numbers as texts, as Elasticsearch shows settings.
pub fn render_settings(table: &Table) -> Value {
    let mut own = json!({
        "kind": match table.kind {
            TableKind::Events => "events",
            TableKind::Entities => "entities",
        },
        "intake": match table.intake {
            Intake::Closed => "closed",
            Intake::Classified => "classified",
        },
    });
    if let Some(time_field) = &table.time_field {
        own["time_field"] = json!(time_field);
    }
    if let Some(retention_ms) = table.retention_ms {
        own["retention"] = json!(write_retention(retention_ms));
    }
    let mut index = json!({
        "number_of_shards": "1",
        "number_of_replicas": "0",
        "provided_name": table.name.as_str(),
        "uuid": format!("table-{}", table.id.0),
        "clerestory": own,
    });
    if let Some(sort) = &table.sort {
        let order = if sort.descending { "desc" } else { "asc" };
        index["sort"] = json!({ "field": sort.field, "order": order });
    }
    json!({ "index": index })
}

/// What `GET /{index}` shows under the name of the table.
pub fn render_index(table: &Table) -> Value {
    json!({
        "aliases": {},
        "mappings": render_mapping(table),
        "settings": render_settings(table),
    })
}
