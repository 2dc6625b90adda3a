//! `_field_caps`: which fields there are and what can be done with them.

use super::{EsError, json, params};
use model::{Class, Field, FieldType, StoredType, Table, TableId};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A `_field_caps` request.
#[derive(Clone, Debug)]
pub struct FieldCapsRequest {
    patterns: Vec<String>,
    include_unmapped: bool,
}

/// Where a field has one type.
#[derive(Default)]
struct Capability {
    searchable: bool,
    aggregatable: bool,
    metadata: bool,
    tables: Vec<String>,
}

/// By name, then by type.
type Capabilities = BTreeMap<String, BTreeMap<String, Capability>>;

/// Fields that every row has: name, type, searchable, aggregatable.
const METADATA: [(&str, &str, bool, bool); 5] = [
    ("_id", "_id", true, false),
    ("_index", "_index", true, false),
    ("_seq_no", "_seq_no", false, false),
    ("_source", "_source", false, false),
    ("_version", "_version", false, false),
];

impl FieldCapsRequest {
    /// Reads a request; see [`SearchRequest::parse`](super::SearchRequest::parse).
    ///
    /// # Errors
    /// Status 400 with Elasticsearch's type and reason.
    pub fn parse(body: &Value, params: &[(String, String)]) -> Result<FieldCapsRequest, EsError> {
        let mut request = FieldCapsRequest { patterns: Vec::new(), include_unmapped: false };
        if !body.is_null() {
            for (key, value) in json::object(body, "_field_caps")? {
                match key.as_str() {
                    "fields" => request.patterns = json::texts(value, key)?,
                    "index_filter" | "runtime_mappings" => {}
                    other => {
                        return Err(EsError::parsing(format!(
                            "[field_caps_request] unknown field [{other}]"
                        )));
                    }
                }
            }
        }
        for (name, value) in params {
            match name.as_str() {
                "fields" => request.patterns.extend(value.split(',').map(str::to_owned)),
                "include_unmapped" => request.include_unmapped = json::flag(value)?,
                "include_empty_fields" | "filters" | "types" => {}
                name if params::is_passed_over(name) => {}
                other => return Err(params::unrecognized("/_field_caps", other)),
            }
        }
        if request.patterns.is_empty() {
            return Err(EsError::bad(
                "action_request_validation_exception",
                "Validation Failed: 1: no fields specified;",
            ));
        }
        if request.patterns.len() > 1024 {
            return Err(EsError::illegal("[fields] may have at most 1024 patterns"));
        }
        Ok(request)
    }

    /// The answer over `tables`, with the fields that `may_read` covers.
    pub fn run(&self, tables: &[Arc<Table>], may_read: &dyn Fn(TableId, &Field) -> bool) -> Value {
        let mut found = Capabilities::new();
        for table in tables {
            for field in table.schema.fields().iter().filter(|field| may_read(table.id, field)) {
                self.add(&mut found, table, field);
            }
            for (name, ty, searchable, aggregatable) in METADATA {
                self.put(&mut found, table, name, ty, (searchable, aggregatable, true));
            }
        }
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        let fields: Map<String, Value> =
            found.into_iter().map(|(name, types)| (name, self.show(types, &names))).collect();
        json!({"indices": names, "fields": fields})
    }

    fn add(&self, found: &mut Capabilities, table: &Table, field: &Field) {
        let name = field.name.as_str();
        let (ty, searchable, aggregatable) = match field.stored() {
            StoredType::Text => ("text", true, false),
            StoredType::Sealed => (field.es_type.as_str(), false, false),
            StoredType::Keyword
                if field.class.is_some_and(|class| class > Class::Open)
                    && field.ty != FieldType::Keyword =>
            {
                ("keyword", true, true)
            }
            _ => (field.es_type.as_str(), true, field.ty != FieldType::GeoPoint),
        };
        self.put(found, table, name, ty, (searchable, aggregatable, false));
        if field.stored() == StoredType::Text && field.keyword_up_to.is_some() {
            let companion = format!("{name}.keyword");
            self.put(found, table, &companion, "keyword", (true, true, false));
        }
        // What a companion stands below is a field, as with `.keyword`.
        let above = field
            .companion_of
            .map_or(name, |_| name.rsplit_once('.').map_or("", |(above, _)| above));
        for (dot, _) in above.match_indices('.') {
            self.put(found, table, &name[..dot], "object", (false, false, false));
        }
    }

    fn put(
        &self,
        found: &mut Capabilities,
        table: &Table,
        name: &str,
        ty: &str,
        (searchable, aggregatable, metadata): (bool, bool, bool),
    ) {
        if !self.patterns.iter().any(|pattern| json::matches(pattern, name)) {
            return;
        }
        let types = found.entry(name.to_owned()).or_default();
        let entry = types.entry(ty.to_owned()).or_insert_with(|| Capability {
            searchable,
            aggregatable,
            metadata,
            tables: Vec::new(),
        });
        entry.searchable &= searchable;
        entry.aggregatable &= aggregatable;
        let table = table.name.as_str().to_owned();
        if entry.tables.last() != Some(&table) {
            entry.tables.push(table);
        }
    }

    fn show(&self, mut types: BTreeMap<String, Capability>, tables: &[&str]) -> Value {
        if self.include_unmapped {
            let with =
                |name: &str| types.values().any(|ty| ty.tables.iter().any(|table| table == name));
            let without: Vec<String> =
                tables.iter().filter(|name| !with(name)).map(|name| (*name).to_owned()).collect();
            if !without.is_empty() {
                types.insert(
                    "unmapped".to_owned(),
                    Capability { tables: without, ..Capability::default() },
                );
            }
        }
        let several = types.len() > 1;
        let show = |(ty, capability): (String, Capability)| {
            let mut members = Map::new();
            members.insert("type".to_owned(), json!(ty));
            members.insert("metadata_field".to_owned(), json!(capability.metadata));
            members.insert("searchable".to_owned(), json!(capability.searchable));
            members.insert("aggregatable".to_owned(), json!(capability.aggregatable));
            if several {
                members.insert("indices".to_owned(), json!(capability.tables));
            }
            (ty, Value::Object(members))
        };
        Value::Object(types.into_iter().map(show).collect())
    }
}
